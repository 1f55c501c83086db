"""A law: alpha for a width and a target, with what it belongs to, as a file.

    ln alpha*(n) = intercept + beta * ln(n / n_0)       at the target it was fitted for.

A fitted width has its own alpha*, with its own interval: the line is for the others.

Another target is reached along the local curve, ln L0 = ln target + b t + c t^2 / 2 in
t = ln alpha - ln alpha*(n), whose b and c are known at the fitted widths and taken linear in ln n
between them. Before the parabola turns it goes on as a straight line, so that a denser target
always has a smaller alpha. The law widens with the step from its target, and by stated amounts
where it leaves its data, see `alpha_for`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.budget_term import BudgetTerm, term_from_json, term_of
from analysis.errors import AnalysisError
from analysis.exponent import theory_exponent
from analysis.files import write_json_atomically
from analysis.gate import Status
from analysis.law_file import check_document, read_document
from analysis.law_parts import WidthShape, intervals, line_of_one, own_log_alpha, shapes
from analysis.records import Units
from analysis.results import Refit
from analysis.units import target_count

VERSION = 1
FORM = "local_line"

# Assumption: the sd of the exponent outside the fitted widths; measured exponents run from -0.4 to
# +0.7 by target (tests/data/l0_curves_minilm_layer3.csv).
_EXPONENT_SD_OUTSIDE = 0.35
# Assumption: outside the fitted L0 the elasticity may be half as large again or half as large.
_ELASTICITY_SHARE_OUTSIDE = 0.5
# Assumption: the local curve is nowhere flatter than this share of its elasticity at the target.
_LEAST_SLOPE_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """A fitted law. Numbers are unrounded."""

    target_l0: float
    """Below 1 a fraction of latent_dim, from 1 on a count."""
    units: Units
    """Of alpha."""
    status: Status
    """What it may be called."""
    missing: tuple[str, ...]
    """What a law still needs."""
    recipe: Mapping[str, Any]
    """Architecture, penalty, d_in, activations and recipe it belongs to."""
    reference_width: float
    """n_0."""
    intercept: float
    """Ln alpha* at n_0."""
    beta: float
    """Exponent in width; theory's where one width has measured none."""
    covariance: tuple[tuple[float, float], tuple[float, float]]
    """Of (intercept, beta)."""
    between_width_scatter: float
    """Sd of ln alpha* around the line."""
    noise: float
    """Sd of ln L0 between runs."""
    shapes: tuple[WidthShape, ...]
    """By width, rising."""
    budget: BudgetTerm | None
    """How alpha moves with the training budget; None where the recipe's is not known."""
    intervals: Mapping[str, Any]
    """95 % intervals of beta and of alpha at every fitted width, as the refit reports them."""
    data_hash: str
    """SHA-256 of the runs behind it."""

    @property
    def is_beta_measured(self) -> bool:
        """Whether the exponent comes from runs; that of a single width is theory's."""
        return len(self.shapes) > 1

    @classmethod
    def from_refit(cls, fit: Refit) -> "Law":
        """The law of a refit; provisional ones too, which say so.

        Raises:
            AnalysisError: No width brackets the target.
        """
        reasons = "; ".join(width.reason for width in fit.widths if width.reason)
        if fit.local is None or fit.noise is None:
            raise AnalysisError(f"widths must bracket the target at least once, but: {reasons}.")
        if fit.exponent is None and all(width.alpha_star is None for width in fit.widths):
            raise AnalysisError(f"widths must allow an interval at least once, but: {reasons}.")
        fitted = shapes(fit, fit.local)
        if fit.exponent is not None:
            line, covariance = fit.exponent.line_mean, fit.exponent.line_covariance
            reference, scatter = fit.exponent.reference_width, fit.exponent.tau
        else:
            line, covariance = line_of_one(fit.local, fit.theory_exponent)
            reference, scatter = float(fitted[0].latent_dim), 0.0
        return cls(
            target_l0=fit.target_l0,
            units=fit.units,
            status=fit.status,
            missing=fit.missing,
            recipe=fit.recipe.to_json(),
            reference_width=reference,
            intercept=line[0],
            beta=line[1],
            covariance=covariance,
            between_width_scatter=scatter,
            noise=fit.noise,
            shapes=fitted,
            budget=term_of(fit),
            intervals=intervals(fit),
            data_hash=fit.data_hash,
        )

    def alpha_for(
        self, latent_dim: int, target_l0: float, *, budget: float | None = None
    ) -> tuple[float, float]:
        """Mean and sd of ln alpha, in the law's units, for a width, a target and a budget.

        A width whose own runs gave an interval has its own mean and sd. Between the fitted widths
        the sd is the line's plus the scatter between widths. For another target comes on top what
        the sds of b and c make of the step t: those of b t and c t^2 / 2, over the slope where the
        step ends. Outside the fitted widths and L0 the sd grows by 0.35 per unit of ln width
        beyond the widths, and by half of the step in ln alpha beyond the L0 of the runs; both are
        assumptions. Another budget moves it by the law's budget term, whose uncertainty comes on
        top.

        Args:
            latent_dim: Width.
            target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
            budget: In the unit of the law's `budget`; None for that of its runs.

        Raises:
            AnalysisError: The target lies outside (0, latent_dim], or the law has no budget term
                to go by.
        """
        asked = target_count(target_l0, latent_dim)
        own = self.target_l0 * latent_dim if self.target_l0 < 1 else self.target_l0
        mean, sd = own_log_alpha(self.intervals, latent_dim) or self._on_line(latent_dim)
        step, step_sd = self._step(latent_dim, math.log(asked / own), math.log(asked))
        trained, trained_sd = self._shift(budget)
        return mean + step + trained, math.hypot(sd, step_sd, trained_sd)

    def is_own_width(self, latent_dim: int) -> bool:
        """Whether a width's alpha is that of its own runs, not of the line."""
        return own_log_alpha(self.intervals, latent_dim) is not None

    def _on_line(self, latent_dim: int) -> tuple[float, float]:
        x = np.array([1.0, math.log(latent_dim / self.reference_width)])
        mean = self.intercept + self.beta * float(x[1])
        variance = float(x @ np.array(self.covariance) @ x) + self.between_width_scatter**2
        variance += (_EXPONENT_SD_OUTSIDE * self._log_width_outside(latent_dim)) ** 2
        return mean, math.sqrt(variance)

    def _shift(self, budget: float | None) -> tuple[float, float]:
        if budget is None:
            return 0.0, 0.0
        if self.budget is None:
            raise AnalysisError(f"budget must be left out for this law, but got {budget:.6g}.")
        return self.budget.shift(budget)

    def _log_width_outside(self, latent_dim: int) -> float:
        low, high = self.shapes[0].latent_dim, self.shapes[-1].latent_dim
        return max(0.0, math.log(low / latent_dim), math.log(latent_dim / high))

    def _step(self, latent_dim: int, rise: float, log_asked: float) -> tuple[float, float]:
        """Change of ln alpha for a change of ln L0 by `rise`, and its sd."""
        slope, slope_sd, curvature, curvature_sd, low, high = (
            self._shape_at(latent_dim, name)
            for name in ("slope", "slope_sd", "curvature", "curvature_sd", "l0_low", "l0_high")
        )
        step, local_slope = _solve_step(slope, curvature, rise)
        outside = max(0.0, math.log(low) - log_asked, log_asked - math.log(high))
        beyond = min(outside / abs(rise), 1.0) if rise else 0.0
        height_sd = math.hypot(step * slope_sd, step**2 / 2 * curvature_sd)
        shape_sd = height_sd / abs(local_slope)
        return step, math.hypot(shape_sd, step * _ELASTICITY_SHARE_OUTSIDE * beyond)

    def _shape_at(self, latent_dim: int, name: str) -> float:
        widths = [math.log(shape.latent_dim) for shape in self.shapes]
        values = [float(getattr(shape, name)) for shape in self.shapes]
        return float(np.interp(math.log(latent_dim), widths, values))

    def to_json(self) -> dict[str, Any]:
        """The document that `save` writes."""
        return {
            "version": VERSION,
            "form": FORM,
            "units": self.units.value,
            "status": self.status.value,
            "missing": list(self.missing),
            "target_l0": self.target_l0,
            "recipe": dict(self.recipe),
            "parameters": {
                "reference_width": self.reference_width,
                "intercept": self.intercept,
                "beta": self.beta if self.is_beta_measured else None,
                "between_width_scatter": self.between_width_scatter,
                "noise": self.noise,
            },
            "covariance": [list(row) for row in self.covariance],
            "shapes": [asdict(shape) for shape in self.shapes],
            "ranges": {
                "latent_dim": [self.shapes[0].latent_dim, self.shapes[-1].latent_dim],
                "l0": [
                    min(shape.l0_low for shape in self.shapes),
                    max(shape.l0_high for shape in self.shapes),
                ],
            },
            "budget": None if self.budget is None else self.budget.to_json(),
            "intervals": dict(self.intervals),
            "data_hash": self.data_hash,
        }

    def save(self, path: Path | str) -> None:
        """Writes the law as JSON, atomically.

        Raises:
            OSError: The file cannot be written.
        """
        write_json_atomically(Path(path), self.to_json())

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        penalty: str | None = None,
        units: Units | str | None = Units.canonical,
    ) -> "Law":
        """Reads a law file.

        Args:
            path: The file.
            penalty: The penalty it is wanted for; another one is refused, an unknown one is not.
            units: The units it must be in; None takes any.

        Raises:
            AnalysisError: The file is missing, malformed, of another version, units or penalty.
        """
        document = read_document(Path(path))
        check_document(document, path=Path(path), version=VERSION, form=FORM)
        law = cls.from_json(document)
        if units is not None and law.units != units:
            raise AnalysisError(f"units must be {units} in {path}, but got {law.units}.")
        own = law.recipe.get("penalty")
        if penalty is not None and own is not None and own != penalty:
            raise AnalysisError(f"penalty must be {penalty} in {path}, but got {own}.")
        return law

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Law":
        """The law of a checked document."""
        parameters = document["parameters"]
        (a, b), (c, d) = document["covariance"]
        return cls(
            target_l0=document["target_l0"],
            units=Units(document["units"]),
            status=Status(document["status"]),
            missing=tuple(document["missing"]),
            recipe=document["recipe"],
            reference_width=parameters["reference_width"],
            intercept=parameters["intercept"],
            beta=theory_exponent(document["target_l0"])
            if parameters["beta"] is None
            else parameters["beta"],
            covariance=((a, b), (c, d)),
            between_width_scatter=parameters["between_width_scatter"],
            noise=parameters["noise"],
            shapes=tuple(WidthShape(**shape) for shape in document["shapes"]),
            budget=term_from_json(document.get("budget")),
            intervals=document["intervals"],
            data_hash=document["data_hash"],
        )


def _solve_step(slope: float, curvature: float, rise: float) -> tuple[float, float]:
    """T of slope * t + curvature * t^2 / 2 = rise, on the branch through 0, and the slope there.

    Where the parabola is about to turn it goes on as a straight line, so that L0 always falls.
    """
    least = _LEAST_SLOPE_SHARE * slope
    discriminant = slope**2 + 2 * curvature * rise
    if discriminant > least**2:
        local_slope = -math.sqrt(discriminant)
        return 2 * rise / (slope + local_slope), local_slope
    straight_from = (least - slope) / curvature
    left = rise - (least**2 - slope**2) / (2 * curvature)
    return straight_from + left / least, least
