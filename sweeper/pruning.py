"""Ending a run that cannot land, by its own curve: `sweep.pruner=gross|projected|guide|none`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.guide_verdict import early_warnings
from analysis.records import State
from sae.history import HISTORY_FILE, HistoryRow, read_history
from sae.recipe import full_strength_from
from sae.trainer_config import Controller
from sweeper.projection import Projection, project
from sweeper.record import Ticket
from sweeper.settings import Settings
from sweeper.sweep_config import PrunerName

GROSS_FRACTION = 0.1
"""Part of the run before which nothing is gross: L0 may still end at a tenth (assumption)."""
GROSS_FACTOR = 4.0
"""L0 over the target from which a run is a gross failure (assumption)."""
GROSS_DEAD = 0.05
"""Fewer dead latents than this, so that it is no collapse that a longer run mends
(assumption)."""
STILL_FALLING = 0.99
"""A loss below this times that of a twentieth of the run before is still falling: assumption."""
LOSS_LAG = 0.05
"""Part of the run over which the loss must not have fallen."""
PROJECTED_FRACTION = 0.5
"""Part of the run from which L0 is projected; `python -m benchmarks.pruning` scores all this."""
PROJECTED_UNTIL = 0.8
"""Part of the run after which its end is waited for: what is left costs less than a trial, and the
search lands sooner from an exact L0 than from a projection (assumption). `python -m
benchmarks.pruning` prints what is spared, and how far projections are off."""
HELD_OUT_SHIFT = 0.0
"""ln of held-out L0 over what the training batches' curve projects (measured on layer 3: 0.02,
python -m benchmarks.pruning)."""
PROJECTION_SD = 0.03
"""Sd of that shift from run to run (same command: 0.028); the curve leaves its own doubt open."""
CERTAINTY = 3.0
"""Sds beyond the band at which a run is ended."""
MEANT_FOR_THE_TARGET = 0.1
"""|ln(expected L0 / target)| up to which a run was meant to land; others are the law's data, or
were asked for, and run to their end."""


class PrunedError(Exception):
    """Ends a run from within its training."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(str(facts["stop_reason"]))
        self.facts = dict(facts)
        """Of the record: state, l0_bound, projected_l0, projected_l0_sd, stop_reason."""


@dataclass(kw_only=True)
class Pruner:
    """Looks at every row of a run's history, and raises where going on is pointless.

    Args:
        rule: What counts as pointless.
        target: L0 aimed at, a count.
        tolerance: Of the band.
        total_steps: Length of the run.
        settled_from: First step under the full learning rate and alpha.
        d_in: Of the activations; the guide's loss is held against it.
    """

    rule: PrunerName
    target: float
    tolerance: float
    total_steps: int
    settled_from: int
    d_in: int
    rows: list[HistoryRow] = field(default_factory=list[HistoryRow])
    """What the run has shown, earlier attempts included."""

    def __call__(self, row: HistoryRow) -> None:
        """Takes a row in.

        Raises:
            PrunedError: The run cannot land.
        """
        self.rows = [earlier for earlier in self.rows if earlier.step < row.step] + [row]
        if row.step >= self.total_steps or self.rule is PrunerName.none:
            return
        if self.rule is PrunerName.guide:
            self._judge_by_guide()
        elif self._is_gross():
            raise PrunedError(
                {
                    "state": State.pruned.value,
                    "l0_bound": "above",
                    "stop_reason": f"L0 {row.l0:.4g} at step {row.step} is more than "
                    f"{GROSS_FACTOR:g} times the target {self.target:.4g}, the loss no longer "
                    f"falls and {row.dead_fraction_window:.1%} of the latents are dead",
                }
            )
        share = row.step / self.total_steps
        if self.rule is PrunerName.projected and PROJECTED_FRACTION <= share <= PROJECTED_UNTIL:
            self._judge_projection()

    def _judge_by_guide(self) -> None:
        row = self.rows[-1]
        signs = early_warnings(
            {
                "steps_done": row.step,
                "total_steps": self.total_steps,
                "loss": row.loss,
                "d_in": self.d_in,
                "l0": row.l0,
                "target_l0": self.target,
                "dead_fraction": row.dead_fraction_window,
            }
        )
        if signs:
            raise PrunedError(
                {
                    "state": State.pruned.value,
                    # The guide answers each of its signs by a larger alpha.
                    "l0_bound": "above",
                    "stop_reason": f"the guide stops at step {row.step}: {'; '.join(signs)}",
                }
            )

    def _is_gross(self) -> bool:
        row = self.rows[-1]
        lag = LOSS_LAG * self.total_steps
        start = max(GROSS_FRACTION * self.total_steps, self.settled_from) + lag
        if row.step < start or not row.l0 > GROSS_FACTOR * self.target:
            return False
        earlier = [each for each in self.rows if each.step <= row.step - lag]
        if not earlier:
            return False
        before = max(earlier, key=lambda each: each.step)
        # Comparisons with NaN, which a trainer of one's own may report, are false.
        return row.dead_fraction_window < GROSS_DEAD and row.loss >= STILL_FALLING * before.loss

    def projection(self) -> Projection | None:
        """Held-out L0 at the run's end, as the rows so far let expect it."""
        found = project(
            [row.step for row in self.rows],
            [row.l0 for row in self.rows],
            self.total_steps,
            self.settled_from,
        )
        if found is None:
            return None
        return Projection(
            ln_l0=found.ln_l0 + HELD_OUT_SHIFT, sd=math.hypot(found.sd, PROJECTION_SD)
        )

    def _judge_projection(self) -> None:
        found = self.projection()
        if found is None:
            return
        off = found.ln_l0 - math.log(self.target)
        if abs(off) <= math.log1p(self.tolerance) + CERTAINTY * found.sd:
            return
        l0 = math.exp(found.ln_l0)
        raise PrunedError(
            {
                "state": State.pruned.value,
                "l0_bound": "above" if off > 0 else "below",
                "projected_l0": l0,
                "projected_l0_sd": found.sd,
                "stop_reason": f"L0 is projected to end at {l0:.4g}, give or take "
                f"{found.sd:.1%}, for a target of {self.target:.4g}",
            }
        )


def pruner_for(settings: Settings, ticket: Ticket, directory: Path, d_in: int) -> Pruner | None:
    """The pruner of a trial; None where its L0 is not meant to be its target's, or is steered.

    The guide's signs, where they are asked for, are for every run.

    Args:
        settings: The trial's configuration.
        ticket: Says what L0 the search expected.
        directory: The trial's, where a killed attempt left its history.
        d_in: Of its activations.
    """
    rule = settings.sweep.pruner
    if rule is PrunerName.none:
        return None
    if rule is not PrunerName.guide and not _is_meant_for_the_target(settings, ticket):
        return None
    return Pruner(
        rule=rule,
        target=settings.target_l0_count,
        tolerance=settings.sweep.tolerance,
        total_steps=settings.trainer.total_steps,
        settled_from=0 if settings.sweep.train else full_strength_from(settings.trainer),
        d_in=d_in,
        rows=read_history(directory / HISTORY_FILE),
    )


def _is_meant_for_the_target(settings: Settings, ticket: Ticket) -> bool:
    """Whether its L0 follows from its alpha, which was chosen to meet the target."""
    expected = ticket.predicted_l0
    steered = settings.trainer.controller is not Controller.none
    if settings.sae.needs_target or steered or not expected:
        return False
    return abs(math.log(expected / settings.target_l0_count)) <= MEANT_FOR_THE_TARGET
