"""What the audit works on: the guide's four jobs, and what a finding about a claim looks like."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import pandas as pd

from analysis import guide
from analysis.errors import AnalysisError
from analysis.foreign_tables import read_table

PACKAGED_JOBS: Final = Path(__file__).parents[1] / "data" / "guide_jobs.csv"
OTHER_WIDTH_OF_JOB_4: Final = 32768  # its footer's "Validated For: latent_dim = 32768, 65536"
L0_HALF_DIGIT: Final = 0.00005  # 4.97 % and 1.06 % are rounded to 0.01 %
_COLUMNS: Final = ("latent_dim", "l1_alpha", "l0_fraction", "loss", "dead_fraction")
_STATED_FOR_ALL: Final = ("latent_dim", "l1_alpha", "l0_fraction")


class Outcome(StrEnum):
    """What recomputing a claim shows."""

    holds = "holds"
    unidentified = "unidentified"
    """Any other value would fit the same data: no degrees of freedom."""
    unsupported = "unsupported"
    """Nothing in the guide's data speaks for it."""
    inconsistent = "inconsistent"
    """Two statements of the guide exclude each other."""
    refuted = "refuted"
    """The guide's own data contradict it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of the guide, recomputed."""

    number: int
    """Its place in the audit, 1 to 29."""
    claim: str
    """What the guide says."""
    source: str
    """The section it says it in."""
    recomputed: str
    """What comes out of its own data, in words and numbers."""
    outcome: Outcome
    """The verdict."""
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    """The numbers, unrounded."""
    degrees_of_freedom: int | None = None
    """Points less parameters, where the claim is a fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One of the guide's four runs; NaN where its text states nothing."""

    latent_dim: int
    """Number of latents."""
    l1_alpha: float
    """Sparsity coefficient in the guide's units."""
    l0: float
    """Fraction of the latents active at the end."""
    loss: float
    """Final loss."""
    dead: float
    """Fraction of dead latents at the end."""

    @property
    def l0_count(self) -> float:
        """Latents active per token."""
        return self.l0 * self.latent_dim


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """L0 = amplitude * exp(-rate * alpha)."""

    amplitude: float
    """Fraction of latents at alpha 0, the ceiling."""
    rate: float
    """Decay per unit of alpha."""

    def at(self, l1_alpha: float) -> float:
        """L0 as a fraction."""
        return self.amplitude * math.exp(-self.rate * l1_alpha)

    def alpha(self, l0: float) -> float:
        """The alpha of that L0; negative above the ceiling."""
        return math.log(self.amplitude / l0) / self.rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The jobs by their number, and the curve that the guide draws through two of them."""

    jobs: Mapping[int, Job]
    """Jobs 1 to 4."""
    target: float = guide.DEFAULT_TARGET_L0
    """Fraction of latents aimed at."""

    @property
    def curve(self) -> Curve:
        """The exponential through jobs 1 and 3, recomputed."""
        return exponential_through(self.jobs[1], self.jobs[3])


def exponential_through(first: Job, second: Job) -> Curve:
    """The one exponential through two jobs: two points, two parameters."""
    span = second.l1_alpha - first.l1_alpha
    rate = math.log(first.l0 / second.l0) / span
    return Curve(amplitude=first.l0 * math.exp(rate * first.l1_alpha), rate=rate)


def load_evidence(path: Path = PACKAGED_JOBS) -> Evidence:
    """Reads the jobs from a table with a row per job, `job` 1 to 4, in a file as for trials.

    Raises:
        AnalysisError: The file is not readable, a column or job is missing, a job lacks what the
            guide states for all of them, or two jobs share what must differ.
    """
    table = read_table(path)
    for column in ("job", *_COLUMNS):
        if column not in table:
            raise AnalysisError(f"jobs must have the column {column!r}, but {path} has not.")
    jobs = {
        int(row["job"]): _job(row) for _, row in table.iterrows() if row["job"] in (1, 2, 3, 4)
    }
    for number in (1, 2, 3, 4):
        if number not in jobs:
            raise AnalysisError(f"jobs must hold jobs 1 to 4, but {path} has no job {number}.")
    if jobs[1].l1_alpha == jobs[3].l1_alpha:
        raise AnalysisError("jobs 1 and 3 must differ in l1_alpha, but do not: no curve.")
    if not (0 < jobs[1].dead < 1 and jobs[1].loss > 0 and jobs[2].loss > 0):
        raise AnalysisError("jobs 1 and 2 must state loss, and job 1 dead_fraction, above 0.")
    return Evidence(jobs=jobs)


def _job(row: "pd.Series[float]") -> Job:
    numbers = {column: pd.to_numeric(row[column], errors="coerce") for column in _COLUMNS}
    for column in _STATED_FOR_ALL:
        if not numbers[column] > 0:
            raise AnalysisError(
                f"{column} of job {row['job']} must be a positive number, but got {row[column]!r}."
            )
    return Job(
        latent_dim=int(numbers["latent_dim"]),
        l1_alpha=float(numbers["l1_alpha"]),
        l0=float(numbers["l0_fraction"]),
        loss=float(numbers["loss"]),
        dead=float(numbers["dead_fraction"]),
    )
