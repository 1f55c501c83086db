"""A training step whose kernels are launched by CUDA graphs, numbers that change given as tensors.

Gradients and update are two graphs, so that what a step gives can be looked at before it counts.
Steps that revive dead latents are others than those that do not, and have two graphs of their own
for the number of latents that they list, which changes now and then (`sae.dead_set`).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings, StepStatistics, TrainableSae
from sae.captured_call import CapturedCall
from sae.dead_set import DeadLatents


class _Graphs:
    """Those of the steps that revive a number of latents, or none."""

    def __init__(self, device: torch.device, revival: Revival | None) -> None:
        self.gradients: CapturedCall[StepStatistics] = CapturedCall(device)
        self.update: CapturedCall[None] = CapturedCall(device)
        self.revival = None if revival is None else _of_its_own(revival)
        self._shown: DeadLatents | None = None

    def show(self, revival: Revival | None) -> None:
        """Copies a list of latents to where the graphs read it, unless it is there."""
        if self.revival is None or revival is None or revival.dead is self._shown:
            return
        self._shown, own = revival.dead, self.revival.dead
        own.listed.copy_(revival.dead.listed)
        if own.are_dead is not None and revival.dead.are_dead is not None:
            own.are_dead.copy_(revival.dead.are_dead)


def _of_its_own(revival: Revival) -> Revival:
    listed, are_dead = revival.dead.listed, revival.dead.are_dead
    copied = None if are_dead is None else are_dead.clone()
    return replace(revival, dead=DeadLatents(listed=listed.clone(), are_dead=copied))


class CapturedStep:
    """The steps of one run that do the same with the same memory."""

    def __init__(self, model: TrainableSae, batch_size: int, target_l0: float | None) -> None:
        """Runs nothing yet.

        Args:
            model: What is trained.
            batch_size: Tokens of a step.
            target_l0: What every step is told; steps told otherwise are no steps of this graph.
        """
        self._device = model.workspace.device
        self._model = model
        self._target_l0 = target_l0
        d_in = len(model.parameters["b_dec"])
        self._x_BD = torch.zeros(batch_size, d_in, device=self._device)
        self._alpha = torch.zeros((), device=self._device)
        self._rate = torch.zeros((), device=self._device)
        self._plain = _Graphs(self._device, None)
        self._reviving: _Graphs | None = None
        self._now = self._plain

    def fits(self, settings: StepSettings, tokens_at_once: int) -> bool:
        """Whether a step can be one of these: no parts, the same target, a list filled up."""
        whole = tokens_at_once >= len(self._x_BD)
        revival = settings.revival
        is_filled_up = revival is None or revival.dead.are_dead is not None
        return whole and is_filled_up and settings.target_l0 == self._target_l0

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """As the model's; the statistics are overwritten by the next step."""
        # The update's graph renews them, but weights may have changed since.
        self._model.renew_copies()
        self._x_BD.copy_(x_BD)
        self._alpha.fill_(settings.alpha)
        self._now = graphs = self._graphs_for(settings.revival)
        graphs.show(settings.revival)
        return graphs.gradients(lambda: self._compute(graphs.revival))

    def update(self, learning_rate: float, move: Callable[[Tensor], None]) -> None:
        """Clips the gradients and moves the parameters.

        Args:
            learning_rate: Of this step.
            move: Does it, from the learning rate as a scalar on the device.
        """
        self._rate.fill_(learning_rate)
        self._now.update(lambda: self._move(move))

    def _graphs_for(self, revival: Revival | None) -> _Graphs:
        if revival is None:
            return self._plain
        found = self._reviving
        known = None if found is None or found.revival is None else found.revival.dead.listed
        if found is None or known is None or len(known) != len(revival.dead.listed):
            # The graphs of another length go first: their buffers are allocated anew.
            self._reviving = None
            self._reviving = found = _Graphs(self._device, revival)
        return found

    def _move(self, move: Callable[[Tensor], None]) -> None:
        move(self._rate)
        self._model.renew_copies()

    def _compute(self, revival: Revival | None) -> StepStatistics:
        settings = StepSettings(alpha=self._alpha, target_l0=self._target_l0, revival=revival)
        return self._model.compute_gradients(self._x_BD, settings)
