"""Adam over a dictionary of parameters, by torch's fused kernel.

The kernel is called directly: `torch.optim` imports torch's compiler, which takes as long as the
rest of torch (measured: python -X importtime -c 'import torch.optim.adam').
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from sae.workspace import is_transposed

BETAS = (0.9, 0.999)
"""Adam's usual decay rates, as in the measured recipe."""
EPSILON = 1e-8
"""Keeps the step finite where a gradient was always zero."""


class Adam:
    """Fused Adam (Kingma and Ba 2014), with its state open for checkpoints and resets.

    The kernel walks parameter, gradient and moments by memory order, so where their strides
    differ it pairs the wrong elements and says nothing. Here such a pair is refused.
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
            ValueError: The shapes of a parameter and its gradient differ, or the order of their
                elements in memory.
        """
        factors = rate_factors or {}
        self._state: dict[str, Tensor] = {}
        self._groups: dict[float, _Group] = {}
        for name, parameter in parameters.items():
            gradient = gradients[name]
            if gradient.shape != parameter.shape:
                raise ValueError(f"The gradient of {name} must have its shape.")
            if gradient.stride() != parameter.stride() or not _is_gapless(parameter):
                raise ValueError(f"{name} and its gradient must lie in memory alike for Adam.")
            group = self._groups.setdefault(factors.get(name, 1.0), _Group())
            self._state.update(group.add(name, parameter, gradient))

    def step(self, learning_rate: float | Tensor, divisor: Tensor | None = None) -> None:
        """Moves every parameter against its gradient.

        Args:
            learning_rate: Adam's step size; a scalar on the device where a CUDA graph replays it.
            divisor: What the gradients are divided by first, a scalar; None for one. The kernel
                writes them back divided.
        """
        for factor, group in self._groups.items():
            group.step(learning_rate * factor, divisor)

    def state_tensors(self) -> dict[str, Tensor]:
        """The live state, as `<parameter>.step`, `<parameter>.exp_avg` and `.exp_avg_sq`."""
        return dict(self._state)


class _Group:
    """Parameters that share a learning rate, in the lists that the kernel takes."""

    def __init__(self) -> None:
        self.parameters: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.steps: list[Tensor] = []

    def add(self, name: str, parameter: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """Takes a parameter in; returns its state by the names that checkpoints use."""
        mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
        step = torch.zeros((), device=parameter.device)
        self.parameters.append(_contiguous(parameter))
        self.gradients.append(_contiguous(gradient))
        self.means.append(_contiguous(mean))
        self.squares.append(_contiguous(square))
        self.steps.append(step)
        return {f"{name}.step": step, f"{name}.exp_avg": mean, f"{name}.exp_avg_sq": square}

    def step(self, learning_rate: float | Tensor, divisor: Tensor | None) -> None:
        for step in self.steps:
            step += 1
        kernel = torch.ops.aten._fused_adam_
        (kernel.tensor_lr if isinstance(learning_rate, Tensor) else kernel.default)(
            self.parameters,
            self.gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            lr=learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            grad_scale=divisor,
            found_inf=None,
        )


def _is_gapless(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or is_transposed(tensor)


def _contiguous(tensor: Tensor) -> Tensor:
    """The same memory as a contiguous tensor: of any other the kernel makes copies."""
    return tensor.t() if is_transposed(tensor) else tensor
