"""One group's runs width by width: what the target is there, and what each run counts for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.arrays import FloatArray
from analysis.bracketing import LocalCell
from analysis.curves import Comparison, compare_forms
from analysis.errors import AnalysisError
from analysis.local import DEFAULT_PRIOR
from analysis.records import State
from analysis.units import target_count


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthRuns:
    """The usable runs of one width that can have the target."""

    runs: pd.DataFrame
    """Rows of the trial table."""
    comparison: Comparison
    """The global forms."""
    cell: LocalCell
    """What the local fit takes: the runs at positive alphas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Impossible:
    """The usable runs of one width that cannot have the target."""

    latent_dim: int
    """Width."""
    runs: pd.DataFrame
    """Rows of the trial table."""
    reason: str
    """Why not."""


def widths_of(
    runs: pd.DataFrame, target_l0: float, bounds: Mapping[int, float] | None = None
) -> tuple[list[WidthRuns], list[Impossible]]:
    """The widths of one group's runs, rising: those that can have the target, and the others.

    Args:
        runs: Usable runs of one recipe.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        bounds: By width, the smallest alpha at which nothing was left of a run.
    """
    bounds = bounds or {}
    possible: list[WidthRuns] = []
    impossible: list[Impossible] = []
    for width, of_width in runs.groupby("latent_dim", sort=True):
        latent_dim = int(str(width))
        try:
            target = target_count(target_l0, latent_dim)
        except AnalysisError as error:
            impossible.append(
                Impossible(
                    latent_dim=latent_dim, runs=of_width, reason=str(error).removesuffix(".")
                )
            )
        else:
            possible.append(_width_runs(latent_dim, of_width, target, bounds.get(latent_dim)))
    return possible, impossible


def runs_of_nothing(trials: pd.DataFrame) -> pd.DataFrame:
    """The runs at an alpha above 0 whose L0 was 0, or that diverged."""
    nothing = (trials["state"] == State.complete) & (trials["l0"] == 0)
    nothing |= trials["state"] == State.diverged
    return trials[nothing.fillna(value=False) & (trials["alpha_canonical"] > 0)]


def smallest_alphas(trials: pd.DataFrame) -> dict[int, float]:
    """By width, the smallest alpha."""
    smallest = trials.groupby("latent_dim")["alpha_canonical"].min()
    return {int(str(width)): float(alpha) for width, alpha in smallest.items()}


def _width_runs(
    latent_dim: int, runs: pd.DataFrame, target: float, bound: float | None
) -> WidthRuns:
    alphas, l0 = (runs[name].to_numpy(dtype=np.float64) for name in ("alpha_canonical", "l0"))
    evaluation = _evaluation_weights(runs)
    comparison = compare_forms(alphas, l0, evaluation)
    robust = np.array(comparison.run_weights)
    positive = alphas > 0
    return WidthRuns(
        runs=runs,
        comparison=comparison,
        cell=LocalCell(
            latent_dim=latent_dim,
            log_alpha=np.log(alphas[positive]),
            log_l0=np.log(l0[positive]),
            target=target,
            weights=(evaluation * robust)[positive],
            off_curve=(robust < 1)[positive],
            log_alpha_bound=None if bound is None else math.log(bound),
        ),
    )


def _evaluation_weights(runs: pd.DataFrame) -> FloatArray:
    """Seeds' variance over seeds' and evaluation's: runs judged on few tokens count less.

    The seeds' part is the stated default; the fit scales both by the noise it finds.
    """
    relative = (runs["l0_se"] / runs["l0"]).to_numpy(dtype=np.float64)
    seeds = DEFAULT_PRIOR.noise[0] ** 2
    return seeds / (seeds + np.where(np.isfinite(relative), relative, 0.0) ** 2)
