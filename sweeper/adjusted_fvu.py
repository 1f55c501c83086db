"""The fvu that a run would have at its target: without it, the dense edge of the band wins.

At one recipe fvu falls as L0 rises, about as L0^-0.4 where SAEs are used, so that of two equal
recipes the one that ended denser looks better. `adjusted = fvu * (l0 / target)^-slope` takes that
out, with the slope d ln fvu / d ln L0 of the cell's own runs.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.records import State

SLOPE = -0.4
"""Before a cell has its own runs: tests/data/l0_curves_minilm_layer3.csv has -0.36 to -0.44
between neighbours about 5 % of 512, 1024 and 2048 latents."""
SLOPE_SD = 0.2
"""Its spread: -0.24 to -0.8 from 1 % to 10 % of the latents, widths 512 to 4096 of that file."""
FVU_NOISE_SD = 0.02
"""sd of ln fvu from seed to seed and from the curve's bend: assumption."""
LOCAL = math.log(2)
"""Runs within this of the target, in ln L0, say what the slope is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FvuPoint:
    """A complete run."""

    recipe: Hashable
    """Runs of one recipe lie on one curve."""
    log_error: float
    """ln(l0 / target)."""
    ln_fvu: float


def local_slope(points: Iterable[FvuPoint]) -> float:
    """The slope of ln fvu against ln L0 at the target.

    Args:
        points: Complete runs; each recipe has its own level, all share the slope.

    Returns:
        The least-squares slope within recipes, drawn to `SLOPE` as far as the runs leave it open
        (the posterior mean under a Gaussian prior).
    """
    by_recipe: dict[Hashable, list[FvuPoint]] = {}
    for point in points:
        if abs(point.log_error) <= LOCAL:
            by_recipe.setdefault(point.recipe, []).append(point)
    precision = SLOPE_SD**-2
    weighted = precision * SLOPE
    for runs in by_recipe.values():
        x_mean = sum(run.log_error for run in runs) / len(runs)
        y_mean = sum(run.ln_fvu for run in runs) / len(runs)
        for run in runs:
            x, y = run.log_error - x_mean, run.ln_fvu - y_mean
            precision += (x / FVU_NOISE_SD) ** 2
            weighted += x * y / FVU_NOISE_SD**2
    return weighted / precision


def adjusted_fvu(fvu: float, log_error: float, slope: float) -> float:
    """The fvu at the target of a run that ended beside it.

    Args:
        fvu: Measured.
        log_error: ln(l0 / target).
        slope: d ln fvu / d ln L0.
    """
    return fvu * math.exp(-slope * log_error)


def fvu_point(record: Mapping[str, Any], recipe: Hashable) -> FvuPoint | None:
    """What a record says of the slope; None where its run has no L0 or no fvu to take a log of."""
    error, fvu = record.get("l0_log_error"), record.get("fvu")
    if record["state"] != State.complete or error is None or not fvu:
        return None
    return FvuPoint(recipe=recipe, log_error=error, ln_fvu=math.log(fvu))
