"""One trial of a sweep, as its Optuna study holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweeper.distributions import Value
from sweeper.errors import SweepError

ALPHA = "l1_alpha"
NUMBER_ATTR = "number"
SEED_ATTR = "seed"
RECORD_ATTR = "record"
RETRY_ATTR = "retry_of"
PREDICTED_ATTR = "predicted"
RUN_BY_ATTR = "run_by"


@dataclass(frozen=True, kw_only=True, slots=True)
class BookedTrial:
    """One trial as the study knows it."""

    number: int
    """Over the whole sweep."""
    cell: str
    l1_alpha: float
    seed: int
    is_running: bool
    record: Mapping[str, Any] | None
    """None until it is told."""
    optuna_number: int
    """Within its cell's study."""
    predicted: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the sampler expected before the trial ran."""
    retry_of: int | None = None
    """The failed trial that it repeats."""
    params: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """The searched keys, alpha aside."""
    run_by: str | None = None
    """The command that runs it, by its name in the crew."""

    @property
    def recipe(self) -> tuple[tuple[str, Value], ...]:
        """The searched keys as something to compare and to count by."""
        return tuple(sorted(self.params.items()))

    @property
    def state(self) -> str | None:
        """How it ended, as its record says; None until it is told."""
        return None if self.record is None else str(self.record["state"])

    @property
    def is_retry(self) -> bool:
        """Whether it repeats a failed trial."""
        return self.retry_of is not None

    def told(self, record: Mapping[str, Any]) -> "BookedTrial":
        """The same trial with its record."""
        return replace(self, record=record, is_running=False)


def booked_trial(cell: str, frozen: FrozenTrial) -> BookedTrial:
    """The trial as its study holds it.

    Args:
        cell: Whose study that is.
        frozen: The trial in it; it has its number.

    Raises:
        SweepError: The study has lost what was noted before the number.
    """
    for key, known in ((ALPHA, frozen.params), (SEED_ATTR, frozen.user_attrs)):
        if key not in known:
            raise SweepError(
                f"sweep.storage must hold {key} of trial {frozen.user_attrs[NUMBER_ATTR]}, but it "
                "is gone; without it the study cannot go on."
            )
    return BookedTrial(
        number=frozen.user_attrs[NUMBER_ATTR],
        cell=cell,
        l1_alpha=frozen.params[ALPHA],
        seed=frozen.user_attrs[SEED_ATTR],
        is_running=frozen.state is TrialState.RUNNING,
        record=frozen.user_attrs.get(RECORD_ATTR),
        optuna_number=frozen.number,
        predicted=frozen.user_attrs.get(PREDICTED_ATTR, {}),
        retry_of=frozen.user_attrs.get(RETRY_ATTR),
        params=without_alpha(frozen.params),
        run_by=frozen.user_attrs.get(RUN_BY_ATTR),
    )


def without_alpha(params: Mapping[str, Any]) -> dict[str, Value]:
    """The searched keys of a trial, alpha aside."""
    return {key: value for key, value in params.items() if key != ALPHA}
