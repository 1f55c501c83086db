"""How far from the target a study calls a run in band."""

import json
import math

import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import State
from analysis.sources import DEFINITION_FILE, Source, folder_of, is_url
from analysis.targets import DEFAULT_TOLERANCE


def tolerance_of(source: Source, trials: pd.DataFrame, asked: float | None = None) -> float:
    """The tolerance to judge a study's trials by.

    The one asked for; else that of the study's definition; else, where that is out of reach as for
    a database, the one nearest to the default by which the trials were judged.

    Args:
        source: What the trials were loaded from.
        trials: As `analysis.load_trials` returns them.
        asked: In band is |ln(l0 / target)| <= ln(1 + tolerance); None for the study's own.

    Raises:
        AnalysisError: The one asked for is not positive and finite.
    """
    if asked is not None:
        if not 0 < asked < math.inf:
            raise AnalysisError(f"tolerance must be positive and finite, but got {asked!r}.")
        return asked
    defined = None if is_url(source) else _of_definition(source)
    return _of_records(trials) if defined is None else defined


def _of_definition(source: Source) -> float | None:
    try:
        content = json.loads((folder_of(source) / DEFINITION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a table of anybody's; or damaged, which the sweep will say
        return None
    told = content.get("tolerance") if isinstance(content, dict) else None
    return float(told) if isinstance(told, int | float) and told > 0 else None


def _of_records(trials: pd.DataFrame) -> float:
    judged = trials[(trials["state"] == State.complete).fillna(value=False)]
    judged = judged.dropna(subset=["in_band", "l0_log_error"])
    error, landed = judged["l0_log_error"].abs(), judged["in_band"].astype(bool)
    farthest, nearest = error[landed].max(), error[~landed].min()
    default = math.log1p(DEFAULT_TOLERANCE)
    if farthest >= nearest:  # trials of several studies, each with its own
        return DEFAULT_TOLERANCE
    if farthest > default:
        return math.expm1(float(farthest))
    if nearest <= default:
        return math.expm1(math.nextafter(float(nearest), 0))
    return DEFAULT_TOLERANCE
