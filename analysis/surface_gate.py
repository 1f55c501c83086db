"""What a surface over widths and budgets may say of one target, pair by pair.

The gate of `analysis.gate`, with a second coordinate: a pair of width and budget counts if its
runs bracket the target, at least one pair must do so at three alphas, and an exponent needs two
pairs that differ in its coordinate. Where ln width and ln budget change together from pair to
pair, neither exponent is told apart from the other; then alpha is known on their line alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.bracketing import LocalCell
from analysis.gate import ALPHAS_FOR_AN_INTERVAL

Pair = tuple[int, float]
"""Width and budget."""

# Widths and budgets whose logarithms are nearer than this are one.
_ONE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceGate:
    """The pairs that bracket one target, and what follows from where they lie."""

    pairs: tuple[Pair, ...]
    """That bracket the target, rising."""
    full: tuple[Pair, ...]
    """Those that do so at three alphas or more."""

    @property
    def reason(self) -> str | None:
        """Why no alpha may be named; None where one may."""
        if not self.pairs:
            return "target_l0 must be bracketed at some width and budget, but is at none"
        if not self.full:
            return (
                f"target_l0 must be bracketed at {ALPHAS_FOR_AN_INTERVAL} alphas or more at some "
                "width and budget, but is at none"
            )
        return None

    @property
    def width_reason(self) -> str | None:
        """Why no exponent in width may be named; None where one may."""
        return self._reason_of("widths", {width for width, _ in self.pairs}, (0.0, 1.0, 0.0))

    @property
    def budget_reason(self) -> str | None:
        """Why no exponent in the budget may be named; None where one may."""
        return self._reason_of("budgets", {budget for _, budget in self.pairs}, (0.0, 0.0, 1.0))

    def alpha_reason(self, latent_dim: int, budget: float) -> str | None:
        """Why no alpha may be named for this width and budget; None where one may."""
        if self.reason is not None or self._follows((1.0, math.log(latent_dim), math.log(budget))):
            return self.reason
        listed = ", ".join(f"{width} at {of:.4g}" for width, of in self.pairs)
        return (
            "latent_dim and budget must be among those whose runs bracket the target, or where "
            f"their exponents lead ({listed}), but got {latent_dim} at {budget:.4g}"
        )

    def _reason_of(
        self, name: str, values: set[int] | set[float], exponent: tuple[float, float, float]
    ) -> str | None:
        if self.reason is not None:
            return self.reason
        if len(values) < 2:
            return (
                f"{name} that bracket the target must be two or more for an exponent, "
                f"but got {len(values)}"
            )
        if not self._follows(exponent):
            return (
                "widths and budgets that bracket the target must not change together for an "
                f"exponent, but do over {len(self.pairs)} pairs"
            )
        return None

    def _follows(self, wanted: tuple[float, float, float]) -> bool:
        """Whether a sum of 1, ln width and ln budget follows from those at the pairs."""
        rows = np.array([(1.0, math.log(width), math.log(of)) for width, of in self.pairs])
        with_it = np.vstack([rows, wanted])
        ranks = (np.linalg.matrix_rank(each, tol=_ONE) for each in (rows, with_it))
        return len(set(ranks)) == 1


def judge_surface(cells: Mapping[Pair, LocalCell]) -> SurfaceGate:
    """The gate for the runs of every pair, each with its target."""
    pairs = sorted(pair for pair, cell in cells.items() if cell.bracketed_once)
    full = [pair for pair in pairs if cells[pair].n_alphas >= ALPHAS_FOR_AN_INTERVAL]
    return SurfaceGate(pairs=tuple(pairs), full=tuple(full))
