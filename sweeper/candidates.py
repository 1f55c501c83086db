"""Goal `fvu`: the candidates of a cell, ranked by their fvu at the target.

Alpha is found anew for each candidate, since it depends on the recipe. The first run of a
candidate is at the law's alpha. A candidate that is the best of all while its run is out of band
runs again until it is in band, so that no answer rests on an extrapolation; the others do not,
since a run spent there changes nothing. Nor does one whose search came to the same alpha twice,
such as the end of its interval. Of a candidate whose runs were all pruned no fvu is known: it runs
again too, since only its alpha was at fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.records import State
from sweeper.adjusted_fvu import FvuPoint, adjusted_fvu, fvu_point, local_slope
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.distributions import Value
from sweeper.record import is_in_band
from sweeper.repeats import repeated_alpha
from sweeper.trial_book import judged_for

MOST_RUNS = 4
"""Runs spent on getting one candidate into the band, those that were pruned among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One set of searched values, judged by its run nearest to the target.

    Only runs of the seed that it was searched with are looked at, where one came to its end:
    further seeds are run for the best alone, and their luck is no merit of its.
    """

    trial: BookedTrial
    """That run."""
    adjusted_fvu: float
    """Its fvu at the target."""
    in_band: bool
    runs: int
    """Runs with that seed for this cell's target, those that failed or are running included."""
    is_running: bool
    """Whether one of them is running."""
    is_stuck: bool
    """Whether another would only be the same again."""


def ranked(cell: Cell, trials: Sequence[BookedTrial]) -> list[Candidate]:
    """Every candidate with a complete run, the lowest fvu at the target first.

    Args:
        cell: Gives target and tolerance.
        trials: Trials of the cell's group, in the order of their numbers.
    """
    points = {trial.number: _point(cell, trial) for trial in trials}
    slope = local_slope(point for point in points.values() if point is not None)
    found: list[Candidate] = []
    for runs in _by_recipe(trials):
        of_search = _of_search(runs)
        ended = _ended(of_search, points) or _ended(runs, points)
        if not ended:
            continue
        point, nearest = min(ended, key=lambda pair: (abs(pair[0].log_error), pair[1].number))
        fvu = (nearest.record or {})["fvu"]
        found.append(
            Candidate(
                trial=nearest,
                adjusted_fvu=adjusted_fvu(fvu, point.log_error, slope),
                in_band=is_in_band(point.log_error, cell.settings.sweep.tolerance),
                runs=_number_of_runs(cell, of_search),
                is_running=any(run.is_running for run in runs),
                is_stuck=_is_stuck(cell, of_search),
            )
        )
    return sorted(found, key=lambda candidate: (candidate.adjusted_fvu, candidate.trial.number))


def _by_recipe(trials: Sequence[BookedTrial]) -> list[list[BookedTrial]]:
    found: dict[object, list[BookedTrial]] = {}
    for trial in trials:
        found.setdefault(trial.recipe, []).append(trial)
    return list(found.values())


def _of_search(runs: Sequence[BookedTrial]) -> list[BookedTrial]:
    """The runs of the seed that a candidate was searched with."""
    return [run for run in runs if run.seed == runs[0].seed]


def _number_of_runs(cell: Cell, runs: Sequence[BookedTrial]) -> int:
    return sum(run.cell == cell.name for run in runs)


def _is_stuck(cell: Cell, of_search: Sequence[BookedTrial]) -> bool:
    return repeated_alpha(cell, of_search, of_search[0].seed) is not None


def _ended(
    runs: Sequence[BookedTrial], points: Mapping[int, FvuPoint | None]
) -> list[tuple[FvuPoint, BookedTrial]]:
    return [(point, run) for run in runs if (point := points[run.number]) is not None]


def best_in_band(candidates: Sequence[Candidate]) -> Candidate | None:
    """The first of the ranked candidates whose run is in band."""
    return next((candidate for candidate in candidates if candidate.in_band), None)


def to_bring_into_band(candidates: Sequence[Candidate]) -> Candidate | None:
    """The best candidate, where its run is out of band and may still be brought there."""
    for candidate in candidates:
        if candidate.in_band:
            return None
        if candidate.runs < MOST_RUNS and not candidate.is_stuck:
            return None if candidate.is_running else candidate
    return None


def pruned_so_far(cell: Cell, trials: Sequence[BookedTrial]) -> Mapping[str, Value] | None:
    """The first candidate that has only pruned runs, and may still come to its end.

    Args:
        cell: Whose own runs count.
        trials: Trials of the cell's group, in the order of their numbers.
    """
    for runs in _by_recipe(trials):
        of_search = _of_search(runs)
        is_pruned = {run.state for run in of_search} - {State.failed} == {State.pruned}
        may_go_on = _number_of_runs(cell, of_search) < MOST_RUNS and not _is_stuck(cell, of_search)
        if is_pruned and may_go_on:
            return of_search[0].params
    return None


def _point(cell: Cell, trial: BookedTrial) -> FvuPoint | None:
    if trial.record is None or trial.record["state"] != State.complete:
        return None
    return fvu_point(judged_for(trial.record, cell), trial.recipe)
