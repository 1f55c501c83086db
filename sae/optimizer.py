"""Adam over a dictionary of parameters, guarded against fused Adam's silent error."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Adam:
    """Fused Adam (Kingma and Ba 2014), with its state open for checkpoints and resets.

    On the CPU `torch.optim.Adam(fused=True)` walks parameter, gradient and moments by memory
    order, so where their strides differ it pairs the wrong elements and says nothing. Here such
    a pair is refused.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Binds each parameter to the gradient of the same name.

        Raises:
            ValueError: A parameter or gradient is not contiguous, or their shapes differ.
        """
        self._parameters = dict(parameters)
        for name, parameter in self._parameters.items():
            gradient = gradients[name]
            if gradient.shape != parameter.shape:
                raise ValueError(f"The gradient of {name} must have its shape.")
            if not (parameter.is_contiguous() and gradient.is_contiguous()):
                raise ValueError(f"{name} and its gradient must be contiguous for fused Adam.")
            parameter.grad = gradient
        self._adam = torch.optim.Adam(list(self._parameters.values()), betas=betas, fused=True)
        for parameter in self._parameters.values():
            self._adam.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def step(self, learning_rate: float) -> None:
        """Moves every parameter against its gradient."""
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """The live state, as `<parameter>.step`, `<parameter>.exp_avg` and `.exp_avg_sq`."""
        return {
            f"{name}.{key}": value
            for name, parameter in self._parameters.items()
            for key, value in self._adam.state[parameter].items()
        }
