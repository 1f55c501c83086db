"""What a sweep may be told: the keys under `sweep.`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, cast

from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TRAINER_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Goal(StrEnum):
    """When a cell is finished."""

    land = "land"
    """A trial is in band."""
    law = "law"
    """A trial is in band, and runs on both sides of the target let the law be fitted."""
    fvu = "fvu"
    """The budget has gone into the lowest fvu at the target."""


class Keep(StrEnum):
    """Whose weights stay on disk."""

    best = "best"
    all = "all"
    none = "none"


class PrunerName(StrEnum):
    """Which runs are ended early."""

    gross = "gross"
    """Only those that are far too dense and no longer learn."""
    projected = "projected"
    """Those, too, whose L0 is projected to miss the band."""
    guide = "guide"
    """Any with one of the founding guide's early-warning signs; to its letter that is nearly every
    run, since it wants a tenth of the latents dead."""
    none = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepConfig:
    """The study's name, goal and budget.

    Raises:
        SweepError: A value breaks its rule.
    """

    study_name: str | None = None
    """Folder and Optuna name; null: the app's name and a hash of what defines the study."""
    storage: str | None = None
    """URL of a database for the Optuna studies; null: a journal file in the study's folder."""
    goal: Goal = Goal.land
    sampler: SamplerName = SamplerName.tpe
    """Optuna's sampler for every searched key but alpha."""
    sampler_options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Its arguments, by Optuna's names; its seed is `seed` unless given here."""
    enqueue: Any = None
    """Known alphas, each run once and before any other, whatever a cell has reached and however
    few its n_trials: a list for every cell, or a table of lists by cell."""
    warm_start: str | None = None
    """An earlier study's folder, or a table of its trials: what it found joins the prior."""
    n_trials: int = 12
    """Most trials per cell."""
    slots: int = 1
    """Jobs that run at the same time."""
    join: bool = False
    """Run the study beside other commands that run it, each with slots of its own."""
    pack: int = 1
    """Trials of one cell that a job trains together, on shared batches."""
    tolerance: float = 0.05
    """In band means |ln(l0 / target)| <= ln(1 + tolerance)."""
    timeout: float | None = None
    """Seconds after which no further trial is started; null: no limit."""
    max_steps: int | None = None
    """Training steps of the whole study, beyond which no further trial is started."""
    max_retries: int = 1
    """How often a failed trial is repeated, and how often one whose process was killed goes on
    within one command; a diverged one is not repeated."""
    keep: Keep = Keep.best
    """`best` keeps, per cell, the weights of the run that is its answer."""
    report: bool = True
    """Whether the report is written at the end; false leaves it to `sae-analysis report`."""
    train: str | None = None
    """`package.module:function`, a trainer of one's own; null: this project's."""

    pruner: PrunerName = PrunerName.gross
    """Which runs are ended early."""
    budgets: tuple[float, ...] = (1.0,)
    """Fractions of trainer.total_steps, rising to 1: alpha is searched on the short runs first."""
    mixed: bool = False
    """Let cells join a study whose other cells have other settings than these."""
    dry_run: bool = False
    """Print cells, prior, time, memory and disk, and start nothing."""
    confirm: int = 0
    """Further seeds to run at the answer's alpha."""

    def known_alphas(self, cell: str) -> tuple[float, ...]:
        """The alphas that a cell runs before its search."""
        if isinstance(self.enqueue, dict):
            by_cell = cast("dict[str, list[float]]", self.enqueue)
            return tuple(float(alpha) for alpha in by_cell.get(cell, ()))
        return tuple(float(alpha) for alpha in self.enqueue or ())

    def __post_init__(self) -> None:
        check_budgets(self.budgets)
        _check_known_alphas(self.enqueue)
        for name in ("n_trials", "slots", "pack", "timeout", "max_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SweepError(f"sweep.{name} must be positive, but got {value}.")
        if self.timeout == math.inf:
            raise SweepError("sweep.timeout must be finite, or null for no limit, but got inf.")
        if self.confirm < 0:
            raise SweepError(f"sweep.confirm must not be negative, but got {self.confirm}.")
        if self.study_name is not None and not STUDY_NAME.fullmatch(self.study_name):
            raise SweepError(
                "sweep.study_name must be letters, digits, dots, dashes and underscores only, "
                f"100 at most and no dot or dash first, but got {self.study_name!r}."
            )
        if self.train is not None and not TRAINER_PATH.fullmatch(self.train):
            raise SweepError(
                f"sweep.train must be package.module:function, but got {self.train!r}."
            )
        if self.max_retries < 0:
            raise SweepError(
                f"sweep.max_retries must not be negative, but got {self.max_retries}."
            )
        if self.pack > 1 and self.train is not None:
            raise SweepError(
                f"sweep.pack must be 1 with a trainer of one's own, but got {self.pack} and "
                f"sweep.train={self.train}."
            )
        if not 0 < self.tolerance < 1:
            raise SweepError(f"sweep.tolerance must be between 0 and 1, but got {self.tolerance}.")


def check_budgets(budgets: Sequence[float]) -> None:
    """Refuses fractions that do not rise to 1.

    Raises:
        SweepError: They do not.
    """
    rising = all(low < high for low, high in pairwise(budgets))
    if not (budgets and budgets[0] > 0 and budgets[-1] == 1 and rising):
        raise SweepError(
            f"sweep.budgets must be fractions above 0 that rise to 1, but got {list(budgets)}."
        )


def _check_known_alphas(enqueue: Any) -> None:
    """Raises a SweepError unless it is a list of alphas, or a table of such lists."""
    is_table = isinstance(enqueue, dict)
    lists = (
        list(cast("dict[str, Any]", enqueue).values())
        if is_table
        else [() if enqueue is None else enqueue]
    )
    if not all(_are_alphas(listed) for listed in lists):
        raise SweepError(
            "sweep.enqueue must be a list of positive alphas, or a table of lists by cell, "
            f"but got {enqueue}."
        )


def _are_alphas(listed: Any) -> bool:
    if not isinstance(listed, list | tuple):
        return False
    alphas = cast("list[Any]", listed)
    return all(_is_number(alpha) and 0 < alpha < math.inf for alpha in alphas)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)
