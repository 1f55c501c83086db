"""Adam over a dictionary of parameters, by torch's kernel or, for matrices, one of our own.

Our own leaves what the next step needs of the new weights: their rounded copy, and the norms of
their rows.

torch's kernel is called directly: `torch.optim` imports torch's compiler, which takes as long as
the rest of torch (measured: python -X importtime -c 'import torch.optim.adam').
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from sae.deferred_gradient import DeferredGradient
from sae.derived import norms_of
from sae.huge_pages import empty_like
from sae.kernels.launching import Table
from sae.layout import is_transposed
from sae.workspace import Workspace

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
        workspace: Workspace | None = None,
    ) -> None:
        """Binds each parameter to the gradient of the same name.

        Args:
            parameters: What moves, by name.
            gradients: The gradients, by the same names.
            rate_factors: What the learning rate is multiplied by, for parameters named here.
            workspace: Where it has compiled loops or Triton kernels, matrices are moved by one,
                which leaves their rounded copies there; None: torch's kernel moves all.

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
            group = self._groups.setdefault(factors.get(name, 1.0), _Group(workspace))
            self._state.update(group.add(name, parameter, gradient))

    def step(
        self,
        learning_rate: float | Tensor,
        divisor: Tensor | None = None,
        deferred: Mapping[str, DeferredGradient] | None = None,
    ) -> None:
        """Moves every parameter against its gradient.

        Args:
            learning_rate: Adam's step size; a scalar on the device where a CUDA graph replays it.
            divisor: What the gradients are divided by first, a scalar; None for one. torch's
                kernel writes them back divided.
            deferred: Gradients of matrices by their names, in place of those that it is bound
                to; only where there are Triton kernels.
        """
        for rate_factor, group in self._groups.items():
            group.step(self._rate(learning_rate) * rate_factor, divisor, deferred or {})

    def _rate(self, rate: float | Tensor) -> float | Tensor:
        """The rate; on CUDA as a graph has it, so that steps without one have the same bits."""
        device = next(iter(self._state.values())).device
        return _on_device(rate, device) if device.type == "cuda" else rate

    def state_tensors(self) -> dict[str, Tensor]:
        """The live state, as `<parameter>.step`, `<parameter>.exp_avg` and `.exp_avg_sq`."""
        return dict(self._state)


@dataclass(frozen=True, slots=True)
class _Moving:
    """A parameter as contiguous memory, with what moves it."""

    name: str
    parameter: Tensor
    gradient: Tensor
    mean: Tensor
    square: Tensor
    step: Tensor


class _Group:
    """Parameters that share a learning rate."""

    def __init__(self, workspace: Workspace | None) -> None:
        is_own = workspace is not None and (workspace.compiled or workspace.fused)
        self._workspace = workspace if is_own else None
        self._matrices: list[_Moving] = []
        """That a kernel of our own moves."""
        self._others: list[_Moving] = []

    def add(self, name: str, parameter: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """Takes a parameter in; returns its state by the names that checkpoints use."""
        mean, square = empty_like(parameter).zero_(), empty_like(parameter).zero_()
        step = torch.zeros((), device=parameter.device)
        moving = _Moving(
            name=name,
            parameter=_contiguous(parameter),
            gradient=_contiguous(gradient),
            mean=_contiguous(mean),
            square=_contiguous(square),
            step=step,
        )
        is_own = self._workspace is not None and parameter.dim() == 2
        (self._matrices if is_own else self._others).append(moving)
        return {f"{name}.step": step, f"{name}.exp_avg": mean, f"{name}.exp_avg_sq": square}

    def step(
        self,
        learning_rate: float | Tensor,
        divisor: Tensor | None,
        deferred: Mapping[str, DeferredGradient],
    ) -> None:
        movings = (*self._matrices, *self._others)
        torch.ops.aten._foreach_add_.Scalar([moving.step for moving in movings], 1)
        if self._workspace is not None:
            for matrix in self._matrices:
                if self._workspace.compiled:
                    _move_compiled(matrix, float(learning_rate), divisor, self._workspace)
                else:
                    gradient = deferred.get(matrix.name, matrix.gradient)
                    _move_on_gpu(matrix, gradient, learning_rate, divisor, self._workspace)
        if self._others:
            _move_by_torch(self._others, learning_rate, divisor)
            increment_version([moving.parameter for moving in self._others])


def _move_by_torch(
    movings: list[_Moving], learning_rate: float | Tensor, divisor: Tensor | None
) -> None:
    kernel = torch.ops.aten._fused_adam_
    (kernel.tensor_lr if isinstance(learning_rate, Tensor) else kernel.default)(
        [moving.parameter for moving in movings],
        [moving.gradient for moving in movings],
        [moving.mean for moving in movings],
        [moving.square for moving in movings],
        [],
        [moving.step for moving in movings],
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


def _move_compiled(
    matrix: _Moving, learning_rate: float, divisor: Tensor | None, workspace: Workspace
) -> None:
    """As `_move_by_torch`, and keeps the rounded copy and the rows' norms up to date."""
    # Imported here since it needs numba, and loads what was compiled.
    from sae.kernels import adam

    (rows, columns), taken = matrix.parameter.shape, float(matrix.step)
    rates = (
        1.0 if divisor is None else 1 / float(divisor),
        *(1 - BETAS[0], BETAS[1], 1 - BETAS[1]),
        learning_rate / (1 - BETAS[0] ** taken),
        (1 - BETAS[1] ** taken) ** -0.5,
        EPSILON,
    )
    held = workspace.held_copy(matrix.name, matrix.parameter)
    norms_F = workspace.buffer(norms_of(matrix.name), rows, dtype=torch.float32)
    table = Table(half=False, batch=0, d_in=columns, latent_dim=rows)
    table.run(
        adam.adam,
        source=matrix.parameter,
        gradient=matrix.gradient,
        mean=matrix.mean,
        square=matrix.square,
        rates=torch.tensor(rates),
        norms=norms_F,
        packed=matrix.parameter if held is None else _contiguous(held.value),
        packed_rows=rows,
        copy_kind=0 if held is None else (adam.WORDS if held.is_words else adam.PLAIN),
    )
    increment_version(matrix.parameter)
    workspace.derived.keep(norms_of(matrix.name), norms_F, matrix.parameter)
    if held is not None:
        workspace.derived.keep(held.name, held.value, matrix.parameter)


def _move_on_gpu(
    matrix: _Moving,
    gradient: Tensor | DeferredGradient,
    learning_rate: float | Tensor,
    divisor: Tensor | None,
    workspace: Workspace,
) -> None:
    """As `_move_by_torch`, and keeps the rounded copy and the rows' norms up to date."""
    # Imported here since it needs Triton.
    from sae.gpu_kernels import adam

    parameter = matrix.parameter
    held = workspace.held_copy(matrix.name, parameter)
    norms_F = workspace.buffer(norms_of(matrix.name), len(parameter), dtype=torch.float32)
    adam.move(
        adam.Matrix(
            weight=parameter,
            mean=matrix.mean,
            square=matrix.square,
            step=matrix.step,
            copy=None if held is None else _contiguous(held.value),
            norms=norms_F,
        ),
        gradient,
        _on_device(learning_rate, parameter.device),
        _on_device(1.0 if divisor is None else divisor, parameter.device),
        adam.Rule(betas=BETAS, epsilon=EPSILON),
    )
    increment_version(parameter)
    workspace.derived.keep(norms_of(matrix.name), norms_F, parameter)
    if held is not None:
        workspace.derived.keep(held.name, held.value, parameter)


def _on_device(value: float | Tensor, device: torch.device) -> Tensor:
    """A scalar tensor, written there by the device, so that nothing waits."""
    return value if isinstance(value, Tensor) else torch.full((), value, device=device)


def _is_gapless(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or is_transposed(tensor)


def _contiguous(tensor: Tensor) -> Tensor:
    """The same memory as a contiguous tensor: of any other the kernel makes copies."""
    return tensor.t() if is_transposed(tensor) else tensor
