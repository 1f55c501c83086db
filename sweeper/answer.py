"""What is said of a cell's answer beside the table: is it luck, and how to train with it."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from analysis.records import AlphaMode, State
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell, assignments
from sweeper.progress import cell_state
from sweeper.sweep_config import SweepConfig
from sweeper.trial_book import judged_for

Chance = Callable[[Cell, BookedTrial], float]
"""Probability that another seed of a trial's run ends in the cell's band."""

NOT_OF_A_SINGLE_RUN = ("sweep.", "sweep=", "seed=", "l1_alpha=")
"""What a search is told and one run is not, or is told anew."""


def answer_lines(cell: Cell, trials: Sequence[BookedTrial], chance: Chance) -> list[str]:
    """Lines about a cell that landed; none for one that did not.

    Args:
        cell: The cell.
        trials: Trials of its group.
        chance: By the posterior of the cell's curve and the noise.
    """
    landed = cell_state(cell, trials).landed
    if landed is None:
        return []
    lines: list[str] = []
    if landed.l1_alpha > 0:
        lines.append(_luck(cell, landed, trials, chance))
    lines.append(f"  train with it: {training_command(cell, landed)}")
    return lines


def _luck(cell: Cell, landed: BookedTrial, trials: Sequence[BookedTrial], chance: Chance) -> str:
    same = [
        trial
        for trial in sorted(trials, key=lambda trial: trial.number)
        if (trial.l1_alpha, trial.recipe) == (landed.l1_alpha, landed.recipe)
        and trial.state == State.complete
    ]
    # The first one was searched for: that it landed says nothing of the others.
    again = {trial.seed: judged_for(_record(trial), cell) for trial in same[1:]}
    again.pop(same[0].seed, None)
    line = f"{cell.name}: alpha {landed.l1_alpha:.4g} gives L0 {_record(landed)['l0']:.4g}"
    if _record(landed).get("alpha_mode") != AlphaMode.controlled:
        # Where alpha was steered L0 depends on its whole path, of which no curve is known.
        line += f"; another seed lands with a chance of {chance(cell, landed):.0%}"
    if not again:
        return line
    in_band = sum(bool(record["in_band"]) for record in again.values())
    return f"{line}; {in_band} of {len(again)} further seeds did"


def training_command(cell: Cell, trial: BookedTrial) -> str:
    """The command that trains one SAE with a trial's alpha and seed.

    Args:
        cell: The trial's cell.
        trial: The run whose alpha is the answer.
    """
    own = [text for text in cell.overrides if not text.lstrip("+").startswith(NOT_OF_A_SINGLE_RUN)]
    alpha = () if cell.settings.sae.architecture.sets_l0 else (f"l1_alpha={trial.l1_alpha!r}",)
    searched = assignments(trial.params)
    kept = _kept_of_sweep(cell.settings.sweep)
    told = (*cell.config_flags, *own, *searched, *kept, f"seed={trial.seed}", *alpha)
    return shlex.join(["sae-sweep", *told])


def _kept_of_sweep(sweep: SweepConfig) -> list[str]:
    """What one run is told of the search: who trains, and the band that it is judged by."""
    kept: list[str] = []
    if sweep.train is not None:
        kept.append(f"sweep.train={sweep.train}")
    if sweep.tolerance != SweepConfig().tolerance:
        kept.append(f"sweep.tolerance={sweep.tolerance!r}")
    return kept


def _record(trial: BookedTrial) -> dict[str, Any]:
    return dict(trial.record or {})
