"""Adam over a dictionary of parameters, guarded against fused Adam's silent error."""

from collections.abc import Mapping

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
"""Adam's usual decay rates, as in the measured recipe."""


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
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        """Binds each parameter to the gradient of the same name.

        Args:
            parameters: What moves, by name.
            gradients: The gradients, by the same names.
            rate_factors: What the learning rate is multiplied by, for parameters named here.

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
        factors = rate_factors or {}
        self._factors = [factors.get(name, 1.0) for name in self._parameters]
        groups = [{"params": [parameter]} for parameter in self._parameters.values()]
        self._adam = torch.optim.Adam(groups, betas=BETAS, fused=True)
        for parameter in self._parameters.values():
            self._adam.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def step(self, learning_rate: float) -> None:
        """Moves every parameter against its gradient."""
        for group, factor in zip(self._adam.param_groups, self._factors, strict=True):
            group["lr"] = learning_rate * factor
        self._adam.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """The live state, as `<parameter>.step`, `<parameter>.exp_avg` and `.exp_avg_sq`."""
        return {
            f"{name}.{key}": value
            for name, parameter in self._parameters.items()
            for key, value in self._adam.state[parameter].items()
        }
