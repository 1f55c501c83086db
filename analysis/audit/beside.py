"""What a study says beside the guide: the same quantities, measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis import formatting as show
from analysis import guide
from analysis.curves import Form
from analysis.exponent import GUIDE_EXPONENT
from analysis.records import State, VerdictLevel
from analysis.results import Refit, WidthResult
from analysis.typed_tables import as_trials


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """One quantity by the guide and by a study."""

    quantity: str
    """What it is."""
    guide: str
    """By the guide."""
    study: str
    """By the study's runs, or why they say nothing."""
    agrees: bool | None
    """Whether the guide's value is compatible with the study's; None where that is open."""


def beside(trials: pd.DataFrame, fit: Refit) -> tuple[Beside, ...]:
    """Holds the guide's numbers against a study.

    Alphas are compared as they stand, since the guide never states its units; only exponents and
    fractions are free of them.

    Args:
        trials: The table that the refit was made from.
        fit: Its result for the target asked.
    """
    trials = as_trials(trials)
    return (
        _exponent(fit),
        *(_alpha(fit, width) for width in fit.widths),
        _form(fit),
        _dead(trials, fit),
        _verdicts(trials),
    )


def _exponent(fit: Refit) -> Beside:
    if fit.exponent is None:
        study, agrees = f"none: {fit.exponent_reason}", None
    else:
        beta = fit.exponent.beta
        study = f"{show.number(beta.value)} ({show.interval(beta.low, beta.high)})"
        agrees = beta.contains(GUIDE_EXPONENT)
    return Beside(
        quantity="exponent of alpha in width",
        guide=f"{GUIDE_EXPONENT}",
        study=study,
        agrees=agrees,
    )


def _alpha(fit: Refit, width: WidthResult) -> Beside:
    by_guide = guide.calculate_optimal_l1_alpha(width.latent_dim, fit.target_l0)
    agrees = None
    if width.point is None:
        study = f"none: {width.reason}"
    elif width.alpha_star is None:
        study = f"{show.number(width.point)} ({width.reason})"
    else:
        star = width.alpha_star
        agrees = star.contains(by_guide)
        study = f"{show.number(star.value)} ({show.interval(star.low, star.high)})"
    return Beside(
        quantity=f"alpha at width {width.latent_dim} for {show.target(fit.target_l0)}",
        guide=show.number(by_guide),
        study=f"{study}, {fit.units} units",
        agrees=agrees,
    )


def _form(fit: Refit) -> Beside:
    chosen: Mapping[int, Form] = {
        width.latent_dim: width.form_choice
        for width in fit.widths
        if width.form_choice is not None
    }
    listed = ", ".join(f"{form} at width {width}" for width, form in chosen.items())
    return Beside(
        quantity="form of L0 against alpha",
        guide="exponential",
        study=listed or "too few alphas to choose by leave-one-out",
        agrees=all(form is Form.exponential for form in chosen.values()) if chosen else None,
    )


def _dead(trials: pd.DataFrame, fit: Refit) -> Beside:
    rows = trials.loc[
        [row for width in fit.widths for row in width.rows], "dead_fraction"
    ].dropna()
    low, high = 0.60, 0.90
    if rows.empty:
        return Beside(quantity="dead latents", guide="60-90 %", study="not recorded", agrees=None)
    found = f"{show.percent(rows.min())} to {show.percent(rows.max())} in {len(rows)} runs"
    agrees = bool(low <= rows.min() and rows.max() <= high)
    return Beside(quantity="dead latents", guide="60-90 %", study=found, agrees=agrees)


def _verdicts(trials: pd.DataFrame) -> Beside:
    """How often the guide's criteria and ours come to the same verdict."""
    done = trials[trials["state"].fillna("") == State.complete]
    judged = done.dropna(subset=["verdict", "guide_verdict"])
    if judged.empty:
        return Beside(
            quantity="verdicts", guide="its criteria", study="no verdicts recorded", agrees=None
        )
    good = judged["verdict"] == VerdictLevel.success
    failed = int((judged.loc[good, "guide_verdict"] == VerdictLevel.failure).sum())
    same = int((judged["verdict"] == judged["guide_verdict"]).sum())
    text = f"the same in {same} of {len(judged)} runs; of {int(good.sum())} successes by our "
    return Beside(
        quantity="verdicts",
        guide="its criteria",
        study=f"{text}criteria the guide fails {failed}",
        agrees=same == len(judged),
    )
