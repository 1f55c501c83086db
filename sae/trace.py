"""What every step measured, kept on the device so that no step waits for a number."""

import math

import torch
from torch import Tensor

from sae.architectures.base import StepStatistics
from sae.device import memory_errors_named

COLUMNS = ("loss", "mse", "l1", "l0")
SETTLED_L0_CHANGE = 0.05
"""A run has converged if its L0 changed by less than this over the last 5 % of its steps."""
WINDOW = 0.025
"""Part of the run that is averaged before two moments of it are compared."""

BLOCKS = 10
"""Blocks of steps whose means tell an oscillation."""


class Trace:
    """Per-step loss, mse, l1 and l0, and since when each latent has not fired."""

    def __init__(self, total_steps: int, latent_dim: int, device: torch.device) -> None:
        with memory_errors_named({"trainer.total_steps": total_steps}, device):
            self.values = torch.zeros(total_steps, len(COLUMNS), device=device)
        self.tokens_since_fired_F = torch.zeros(latent_dim, device=device)

    def record(self, step: int, statistics: StepStatistics, batch_size: int) -> None:
        """Keeps the statistics of a step; nothing is copied to the host."""
        columns = (
            statistics.loss - statistics.auxiliary,
            statistics.mse,
            statistics.l1,
            statistics.firings.sum() / batch_size,
        )
        torch.stack(columns, out=self.values[step])
        self.tokens_since_fired_F += batch_size
        self.tokens_since_fired_F.masked_fill_(statistics.firings > 0, 0)

    def mean(self, start: int, end: int) -> dict[str, float]:
        """Means over the steps from `start` up to, not including, `end`."""
        means = self.values[start:end].mean(0).tolist()
        return dict(zip(COLUMNS, means, strict=True))

    def dead_fraction(self, window: float) -> float:
        """Part of the latents that have not fired for `window` tokens."""
        return float((self.tokens_since_fired_F >= window).float().mean())

    def relative_change(self, column: str, lag: float) -> float:
        """Change of a column's mean at the end of the run against a part `lag` of it earlier.

        Both means are over 2.5 % of the steps, and of different steps.

        Returns:
            (late - early) / early; infinite where the early mean is zero and the late is not.
        """
        total = len(self.values)
        width = max(1, round(WINDOW * total))
        early_end = max(width, total - max(width, round(lag * total)))
        late = self.mean(total - width, total)[column]
        early = self.mean(early_end - width, early_end)[column]
        if early == 0:
            return 0.0 if late == 0 else math.inf
        return (late - early) / early

    def oscillation(self, column: str, part: float) -> float:
        """Spread of a column about its trend over the last `part` of the steps.

        The steps are averaged in blocks first, so that the noise of single batches does not count.

        Returns:
            The standard deviation of the blocks' means about a straight line, over their mean;
            0 where there are too few steps to tell.
        """
        late = self.values[-max(1, round(part * len(self.values))) :, COLUMNS.index(column)]
        size = len(late) // BLOCKS
        if size == 0:
            return 0.0
        blocks = late[len(late) - size * BLOCKS :].cpu().double().view(BLOCKS, size).mean(1)
        time = torch.arange(BLOCKS, dtype=blocks.dtype) - (BLOCKS - 1) / 2
        about = blocks - blocks.mean() - time * (time @ blocks) / (time @ time)
        mean = float(blocks.mean().abs())
        return float((about.square().sum() / (BLOCKS - 2)).sqrt()) / mean if mean else 0.0

    def converged(self) -> bool:
        """Whether L0 has settled; a single step does not tell."""
        change = self.relative_change("l0", 0.05)
        return len(self.values) > 1 and abs(change) < SETTLED_L0_CHANGE

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors, for checkpoints."""
        return {"trace": self.values, "tokens_since_fired": self.tokens_since_fired_F}
