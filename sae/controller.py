"""Steers alpha during training so that L0 ends on its target.

A plain integral controller oscillates: weights follow alpha with a lag of some hundred steps, and
L0 goes on falling for as long as training does. So this one predicts (a Smith predictor) where L0
will be at the end if alpha stays, and moves alpha by what is missing:

    ln L0(end) = ln L0(now) + elasticity (ln alpha - ln settled) + drift (ln T_end - ln T_now)

`settled` is the alpha that the weights have caught up with: for the greater part within `LAG`, for
the rest within `SLOW_LAG`. T is training time (the sum of learning rates so far, which is what
counts: see the design's budget table), and drift is the slope of ln L0, cleared of what alpha did,
against ln T, taken from the run itself once its warm-ups are over, mostly from measurements while
alpha stood still. What the prediction may be wrong by, which is much at first, moves nothing. L0
is measured on held-out tokens (see `sae.held_out_l0`). From `FREEZE` on alpha stays: the rest of
the run is an ordinary one.

The constants' figures were read off single runs; `python -m benchmarks.controller` says how well
all of them do together.
"""

import math

import torch
from torch import Tensor

from sae.recipe import alpha_at, full_strength_from, learning_rate_at
from sae.trainer_config import TrainerConfig

FREEZE = 0.8
"""Part of the run after which alpha no longer moves."""
INTERVAL = 0.04
"""Part of the run between two measurements."""
ELASTICITY = -1.1
"""d ln L0 / d ln alpha within a run: measured -1.1 after alpha rose from 2 to 3 in the middle of
3,000 steps, -0.8 after it fell from 4 to 2 (all-MiniLM-L6-v2 layer 3, width 1024). Once alpha
rests the prediction does not depend on it, so it need not be exact."""
LAG = 0.05
"""Training time (sum of learning rates) in which the weights catch up with alpha to two thirds:
50 steps at 1e-3 in both measurements above."""
SLOW_LAG = 0.25
"""The same for the part of the response that takes its time."""
SLOW_PART = 0.35
"""Of the response. Fitted to a run whose alpha rose twentyfold and fell again by half: without it
the fall of L0 that was still to come counted as drift, and the run ended 12 % too high."""
GAIN = 0.8
"""Part of the missing change of ln alpha that is made at once."""
LARGEST_MOVE = 0.7
"""Of ln alpha at one measurement; keeps one wild prediction from undoing the run."""
JUMPRELU_FALLING_LAG = 0.15
"""Like `LAG`, for thresholds that come down, slowly. A compromise (width 1024, 1,500 steps): with
0.05 a start ten times too high ends at three times the target, with 0.3 one from the prior
ends 11 % below it; with 0.15 they end at +22 % and -4 %."""
SMALLEST_L0 = 0.1
"""Stands in for an L0 of nothing, which has no logarithm."""
DRIFT_PRIOR = -1.0
"""Slope of ln L0 against ln training time before the run has shown its own."""
DRIFT_PRIOR_SD = 0.4
"""How far runs are from that (assumption)."""
DRIFT_WINDOW = 8
"""Measurements from which the slope is taken."""
NOISE, NOISE_PER_MOVE = 0.03, 0.3
"""Standard deviation of a measured ln L0 about the model: at rest, and per unit of ln alpha that
the weights have not caught up with (assumption)."""
DRIFT_TO_COME = 0.75
"""Slope over the rest of the run relative to that so far: the fall slows down, and more so while
the learning rate decays. Half-way through standard and gated runs at a fixed alpha (layer 3,
widths 1024 and 4096, three targets) it is 0.64 to 0.86."""
DOUBT_TO_RAISE, DOUBT_TO_LOWER = 0.13, 0.06
"""What the predicted ln L0 may be wrong by: the former per squared, the latter per cubed ln of
T_end / T_now. Alpha moves only by what is missing beyond. Where alpha rises in doubt and comes
down later, what went off stays off; so from an eighth of the training on it comes down sooner than
it rises (gated, width 4096, 5 %: a run ended 8.0 % sparser than one with its last alpha from the
start when both were alike, and 4.3 % so). Before, so little can be told that it hardly moves."""

LEVEL = 5
"""The table's column with the level of alpha."""


def sure_part(missing: float, ahead: float) -> float:
    """The part of what is missing that is more than the prediction may be wrong by.

    Args:
        missing: ln of the L0 that is predicted for the end over the target.
        ahead: ln of the training time at the end over that so far.
    """
    least, most = -DOUBT_TO_LOWER * ahead**3, DOUBT_TO_RAISE * ahead**2
    return missing - max(least, min(most, missing))


class L0Controller:
    """Alpha of every step, from the measurements so far.

    Its state is one table, a row for each measurement: training time, ln L0, ln of the alpha
    that the fast and the slow part of the weights had caught up with, of alpha itself, and of
    the level of alpha from then on.
    """

    def __init__(
        self, trainer: TrainerConfig, alpha: float, target_l0: float, falling_lag: float = LAG
    ) -> None:
        """Starts at `alpha`, reached by the usual warm-up.

        Args:
            trainer: The recipe.
            alpha: Where alpha starts, positive.
            target_l0: Active latents per token wanted at the end.
            falling_lag: Training time in which the weights catch up where alpha fell.
        """
        self.falling_lag = falling_lag
        self.trainer = trainer
        self.start = math.log(alpha)
        self.target = math.log(target_l0)
        self.interval = max(1, round(INTERVAL * trainer.total_steps))
        self.last = int(FREEZE * trainer.total_steps)
        self.settles = full_strength_from(trainer) // self.interval
        rates = torch.tensor(
            [learning_rate_at(step, trainer) for step in range(trainer.total_steps)],
            dtype=torch.float64,
        )
        self._time = rates.cumsum(0)
        self.table = torch.zeros(self.last // self.interval, 6, dtype=torch.float64)

    def alpha_at(self, step: int) -> float:
        """The coefficient of a step: warm-up times the level set by the last measurement."""
        return alpha_at(step, math.exp(self._level(self._measured(step))), self.trainer)

    def measures_after(self, step: int) -> bool:
        """Whether `observe` is due after a step."""
        done = step + 1
        return done % self.interval == 0 and done <= self.last

    def observe(self, step: int, l0: float) -> None:
        """Takes a measurement in, and sets alpha for the steps that follow.

        Args:
            step: The step after which L0 was measured.
            l0: On held-out tokens.
        """
        row = self._measured(step)
        now = float(self._time[step])
        level = self._level(row)
        alpha = math.log(self.alpha_at(step))
        l0_now = math.log(max(l0, SMALLEST_L0))
        fast, slow = self._settled(row, now, alpha)
        self.table[row, :5] = torch.tensor([now, l0_now, fast, slow, alpha])
        settled = (1 - SLOW_PART) * fast + SLOW_PART * slow
        pending = ELASTICITY * (alpha - settled)
        warming_up = alpha_at(step, 1.0, self.trainer) < 1
        slope = self._slope(row)
        ahead = math.log(float(self._time[-1]) / now)
        drift = DRIFT_TO_COME * slope * ahead
        missing = sure_part(l0_now + pending + drift - self.target, ahead)
        move = GAIN * missing / (-ELASTICITY * self._response(now, missing))
        wanted = self._no_higher(step, level, alpha + move) if warming_up else level + move
        self.table[row, LEVEL] = max(level - LARGEST_MOVE, min(level + LARGEST_MOVE, wanted))

    def _no_higher(self, step: int, level: float, wanted: float) -> float:
        """During alpha's warm-up it rises by itself: all that can be told is that it rose too far.

        Nothing can be told before the learning rate has risen.
        """
        if learning_rate_at(step, self.trainer) < self.trainer.learning_rate:
            return level
        return wanted if wanted < math.log(self.alpha_at(step)) else level

    def _measured(self, step: int) -> int:
        """Number of measurements made before a step."""
        return min(step // self.interval, len(self.table))

    def _level(self, measured: int) -> float:
        return float(self.table[measured - 1, LEVEL]) if measured else self.start

    def _settled(self, row: int, now: float, alpha: float) -> tuple[float, float]:
        """Ln of the alpha that the fast and the slow part have caught up with."""
        if row == 0:
            return alpha, alpha
        before, _, fast, slow, _, _ = self.table[row - 1].tolist()
        lag = self.falling_lag if alpha < fast else LAG

        def follow(settled: float, lag: float) -> float:
            return alpha + (settled - alpha) * math.exp(-(now - before) / lag)

        return follow(fast, lag), follow(slow, max(lag, SLOW_LAG))

    def _response(self, now: float, missing: float) -> float:
        """Part of a change of alpha made now that the weights will have followed by the end."""
        left = float(self._time[-1]) - now
        lag = LAG if missing > 0 else self.falling_lag
        fast, slow = math.exp(-left / lag), math.exp(-left / max(lag, SLOW_LAG))
        return 1 - (1 - SLOW_PART) * fast - SLOW_PART * slow

    def _slope(self, row: int) -> float:
        """Slope of ln L0 at constant alpha against ln training time, never rising.

        The mean of the posterior under a normal prior, by least squares in which a measurement
        counts the less the farther the weights were from alpha. Those of the warm-ups do not
        count: half of a wide SAE's latents are on then, whatever alpha is (width 4096, 5 %: with
        them the slope came out as 0 when they were over, alpha rose to 2.4 times what it ended
        at, and the run was 18 % sparser than one with that alpha from the start).
        """
        if row < self.settles:
            return DRIFT_PRIOR
        recent = self.table[max(self.settles, row + 1 - DRIFT_WINDOW) : row + 1]
        settled = (1 - SLOW_PART) * recent[:, 2] + SLOW_PART * recent[:, 3]
        noise = NOISE + NOISE_PER_MOVE * (recent[:, 4] - settled).abs()
        weight = noise.pow(-2)
        x, y = recent[:, 0].log(), recent[:, 1] - ELASTICITY * settled
        x = x - (weight * x).sum() / weight.sum()
        precision = DRIFT_PRIOR_SD**-2
        known = float((weight * x * y).sum()) + precision * DRIFT_PRIOR
        return max(-1.5, min(0.0, known / (float((weight * x * x).sum()) + precision)))

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensor that a checkpoint must hold."""
        return {"controller": self.table}
