"""A training step whose kernels are launched by CUDA graphs, numbers that change given as tensors.

Gradients and update are two graphs, so that what a step gives can be looked at before it counts.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sae.architectures.base import StepSettings, StepStatistics, TrainableSae
from sae.captured_call import CapturedCall


class CapturedStep:
    """The steps of one run that do the same with the same memory."""

    def __init__(self, model: TrainableSae, batch_size: int, target_l0: float | None) -> None:
        """Runs nothing yet.

        Args:
            model: What is trained.
            batch_size: Tokens of a step.
            target_l0: What every step is told; steps told otherwise are no steps of this graph.
        """
        device = model.workspace.device
        self._model = model
        self._target_l0 = target_l0
        self._x_BD = torch.zeros(batch_size, len(model.parameters["b_dec"]), device=device)
        self._alpha = torch.zeros((), device=device)
        self._rate = torch.zeros((), device=device)
        self._gradients: CapturedCall[StepStatistics] = CapturedCall(device)
        self._update: CapturedCall[None] = CapturedCall(device)

    def fits(self, settings: StepSettings, tokens_at_once: int) -> bool:
        """Whether a step can be one of these: nothing to revive, no parts, the same target."""
        whole = tokens_at_once >= len(self._x_BD)
        return whole and settings.revival is None and settings.target_l0 == self._target_l0

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """As the model's; the statistics are overwritten by the next step."""
        # The update's graph renews them, but weights may have changed since.
        self._model.renew_copies()
        self._x_BD.copy_(x_BD)
        self._alpha.fill_(settings.alpha)
        return self._gradients(self._compute)

    def update(self, learning_rate: float, move: Callable[[Tensor], None]) -> None:
        """Clips the gradients and moves the parameters.

        Args:
            learning_rate: Of this step.
            move: Does it, from the learning rate as a scalar on the device.
        """
        self._rate.fill_(learning_rate)
        self._update(lambda: self._move(move))

    def _move(self, move: Callable[[Tensor], None]) -> None:
        move(self._rate)
        self._model.renew_copies()

    def _compute(self) -> StepStatistics:
        settings = StepSettings(alpha=self._alpha, target_l0=self._target_l0)
        return self._model.compute_gradients(self._x_BD, settings)
