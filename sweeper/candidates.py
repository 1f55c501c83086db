"""Goal `fvu`: the candidates of a cell, ranked by their fvu at the target.

Alpha is found anew for each candidate, since it depends on the recipe. The first run of a
candidate is at the law's alpha. A candidate that is the best of all while its run is out of band
runs again until it is in band, so that no answer rests on an extrapolation; the others do not,
since a run spent there changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records import State
from sweeper.adjusted_fvu import FvuPoint, adjusted_fvu, fvu_point, local_slope
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.record import is_in_band
from sweeper.trial_book import judged_for

MOST_RUNS = 4
"""Runs spent on getting one candidate into the band."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One set of searched values, judged by its run nearest to the target."""

    trial: BookedTrial
    """That run."""
    adjusted_fvu: float
    """Its fvu at the target."""
    in_band: bool
    runs: int
    """Runs of this candidate, those that failed or are running included."""
    is_running: bool
    """Whether one of them is running."""


def ranked(cell: Cell, trials: Sequence[BookedTrial]) -> list[Candidate]:
    """Every candidate with a complete run, the lowest fvu at the target first.

    Args:
        cell: Gives target and tolerance.
        trials: Trials of the cell's group.
    """
    points = {trial.number: _point(cell, trial) for trial in trials}
    slope = local_slope(point for point in points.values() if point is not None)
    by_recipe: dict[object, list[BookedTrial]] = {}
    for trial in trials:
        by_recipe.setdefault(trial.recipe, []).append(trial)
    found: list[Candidate] = []
    for runs in by_recipe.values():
        ended = [(point, run) for run in runs if (point := points[run.number]) is not None]
        if not ended:
            continue
        point, nearest = min(ended, key=lambda pair: (abs(pair[0].log_error), pair[1].number))
        fvu = (nearest.record or {})["fvu"]
        found.append(
            Candidate(
                trial=nearest,
                adjusted_fvu=adjusted_fvu(fvu, point.log_error, slope),
                in_band=is_in_band(point.log_error, cell.settings.sweep.tolerance),
                runs=len(runs),
                is_running=any(run.is_running for run in runs),
            )
        )
    return sorted(found, key=lambda candidate: (candidate.adjusted_fvu, candidate.trial.number))


def best_in_band(candidates: Sequence[Candidate]) -> Candidate | None:
    """The first of the ranked candidates whose run is in band."""
    return next((candidate for candidate in candidates if candidate.in_band), None)


def to_bring_into_band(candidates: Sequence[Candidate]) -> Candidate | None:
    """The best candidate, where its run is out of band and may still be brought there."""
    for candidate in candidates:
        if candidate.in_band:
            return None
        if candidate.runs < MOST_RUNS:
            return None if candidate.is_running else candidate
    return None


def _point(cell: Cell, trial: BookedTrial) -> FvuPoint | None:
    if trial.record is None or trial.record["state"] != State.complete:
        return None
    return fvu_point(judged_for(trial.record, cell), trial.recipe)
