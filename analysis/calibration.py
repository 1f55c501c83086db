"""Whether predictions made before each run were right: prequential calibration.

A trial's record keeps the L0 predicted before it ran (`predicted_l0`, with `predicted_l0_sd` in
ln L0). Nothing was fitted to the run that is judged, so the share of runs inside their 80 % and
95 % intervals is an honest test of the law's intervals.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from analysis.errors import AnalysisError
from analysis.records import State

_LEVELS = (0.8, 0.95)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One run that was predicted."""

    row: int
    """Its row in the trial table."""
    latent_dim: int
    """Width."""
    alpha: float
    """Canonical alpha."""
    predicted_l0: float
    """Median of the prediction."""
    sd: float
    """Sd of ln L0 in the prediction."""
    l0: float
    """What came."""

    @property
    def log_error(self) -> float:
        """Ln (L0 / predicted)."""
        return math.log(self.l0 / self.predicted_l0)

    @property
    def score(self) -> float:
        """The error in units of its predicted sd."""
        return self.log_error / self.sd


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """All predicted runs, in the order in which they ran."""

    predictions: tuple[Prediction, ...]
    """By trial number."""
    inside_80: float
    """Share of runs inside the central 80 % interval."""
    inside_95: float
    """Share inside the central 95 % interval."""
    mean_score: float
    """0 if predictions lean neither way."""
    rms_score: float
    """1 if the predicted sds are right; above 1 they were too small."""
    rms_log_error: float
    """Size of the errors themselves."""
    unpredicted: int
    """Complete runs without a prediction."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "n": len(self.predictions),
            "unpredicted": self.unpredicted,
            "inside_80": self.inside_80,
            "inside_95": self.inside_95,
            "mean_score": self.mean_score,
            "rms_score": self.rms_score,
            "rms_log_error": self.rms_log_error,
            "predictions": [
                {**asdict(each), "log_error": each.log_error, "score": each.score}
                for each in self.predictions
            ],
        }


def calibrate(trials: pd.DataFrame) -> Calibration:
    """Compares what came with what was predicted before it ran.

    Args:
        trials: A table as `analysis.load_trials` returns it.

    Raises:
        AnalysisError: No complete run has a usable prediction.
    """
    complete = trials[(trials["state"].fillna("") == State.complete) & (trials["l0"] > 0)]
    predicted = complete[(complete["predicted_l0"] > 0) & (complete["predicted_l0_sd"] > 0)]
    if predicted.empty:
        raise AnalysisError(
            f"predicted_l0 must be known for at least one complete run, but is for none of "
            f"{len(complete)}."
        )
    ordered = predicted.sort_values("trial", kind="stable")
    predictions = tuple(
        Prediction(
            row=int(str(row)),
            latent_dim=int(run["latent_dim"]),
            alpha=float(run["alpha_canonical"]),
            predicted_l0=float(run["predicted_l0"]),
            sd=float(run["predicted_l0_sd"]),
            l0=float(run["l0"]),
        )
        for row, run in ordered.iterrows()
    )
    scores = np.array([each.score for each in predictions])
    errors = np.array([each.log_error for each in predictions])
    inside = [float(np.mean(np.abs(scores) <= ndtri((1 + level) / 2))) for level in _LEVELS]
    return Calibration(
        predictions=predictions,
        inside_80=inside[0],
        inside_95=inside[1],
        mean_score=float(np.mean(scores)),
        rms_score=float(np.sqrt(np.mean(scores**2))),
        rms_log_error=float(np.sqrt(np.mean(errors**2))),
        unpredicted=len(complete) - len(predicted),
    )
