"""Recomputes the guide's claims from the guide's own data.

Every number in the text of a finding comes out of a computation over the four jobs and the
guide's constants; change the jobs and the findings change.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.audit import (
    count_claims,
    criteria_claims,
    curve_claims,
    scaling_claims,
    scope_claims,
)
from analysis.audit.evidence import PACKAGED_JOBS, Claim, Outcome, load_evidence
from analysis.audit.golden import golden_numbers

__all__ = ["PACKAGED_JOBS", "Audit", "Claim", "Outcome", "audit"]

_CHECKS = (
    *curve_claims.CLAIMS,
    *scaling_claims.CLAIMS,
    *count_claims.CLAIMS,
    *criteria_claims.CLAIMS,
    *scope_claims.CLAIMS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The guide, recomputed."""

    claims: tuple[Claim, ...]
    """All claims in order."""
    golden: Mapping[str, float]
    """The numbers behind them, unrounded."""

    def counts(self) -> dict[str, int]:
        """How many claims have each outcome, in the order of `Outcome`."""
        counted = Counter(claim.outcome for claim in self.claims)
        return {outcome.value: counted[outcome] for outcome in Outcome}

    def answer(self) -> str:
        """The audit in two sentences."""
        counts = self.counts()
        others = ", ".join(
            f"{counts[outcome]} {outcome}" for outcome in Outcome if outcome != "holds"
        )
        exponent = next(claim for claim in self.claims if claim.number == 7)
        return (
            f"Of {len(self.claims)} claims of the guide {counts['holds']} hold ({others}). Its "
            f"exponent {exponent.numbers['exponent']:.2f} comes from "
            f"{exponent.degrees_of_freedom} degrees of freedom."
        )

    def table(self) -> pd.DataFrame:
        """One row per claim: number, claim, source, recomputed, outcome, degrees_of_freedom."""
        columns = ("number", "claim", "source", "recomputed", "outcome", "degrees_of_freedom")
        rows = [[getattr(claim, column) for column in columns] for claim in self.claims]
        table = pd.DataFrame(rows, columns=list(columns))
        return table.astype({"degrees_of_freedom": "Int64", "outcome": "string"})

    def to_json(self) -> dict[str, Any]:
        """The audit as plain JSON values; NaN becomes null."""
        claims = [_plain(dataclasses.asdict(claim)) for claim in self.claims]
        return {
            "answer": self.answer(),
            "counts": self.counts(),
            "claims": claims,
            "golden": _plain(self.golden),
        }


def audit(jobs: Path = PACKAGED_JOBS) -> Audit:
    """Recomputes all claims.

    Args:
        jobs: CSV or Parquet file of the guide's four jobs; the packaged one by default.

    Raises:
        AnalysisError: The jobs cannot be read or lack what a claim is about.
    """
    evidence = load_evidence(jobs)
    claims = tuple(check(evidence) for check in _CHECKS)
    return Audit(claims=claims, golden=golden_numbers(evidence))


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            plain[key] = _plain(value)
        elif isinstance(value, float) and not math.isfinite(value):
            plain[key] = None
        else:
            plain[key] = value
    return plain
