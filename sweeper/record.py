"""The record of one trial: what was asked, what came, and what is made of it."""

import hashlib
import json
import math
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from analysis.errors import AnalysisError
from analysis.records import SETTING_COLUMNS, State, settings_text, validate_record
from analysis.verdict import ROUNDING
from sae.architectures.config import Architecture
from sae.files import write_json_atomically
from sweeper.errors import SweepError
from sweeper.settings import Settings, flatten, to_plain

RESULT_FILE = "result.json"
TICKET_FILE = "trial.json"

OF_RECORDS = frozenset(
    {
        "sae.architecture", "sae.latent_dim", "sae.jumprelu.penalty", "trainer.learning_rate",
        "trainer.batch_size", "trainer.total_steps", "trainer.controller",
    }
)  # fmt: skip
"""Keys of training whose values every record has in a column of its own."""
_NOT_IN_RECIPE = OF_RECORDS | frozenset(
    {
        # These move no number but in its last digits, or only what is measured and kept.
        "trainer.precision", "trainer.cuda_graph", "trainer.log_every", "trainer.held_out_tokens",
        "trainer.checkpoint_every", "trainer.checkpoint_share", "trainer.tracker",
        "trainer.stop_early",
    }
)  # fmt: skip

_ALWAYS_KNOWN = ("latent_dim", "l1_alpha", "target_l0", "verdict", "verdict_reasons")
_KNOWN_WHEN_COMPLETE = ("fvu", "in_band")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """What the controller hands to a job, as `trial.json` in the trial's directory."""

    trial: int = 0
    """Number over the whole sweep; the directory is named after it."""
    cell: str = "single"
    attempt: int = 1
    """1, and one more each time a killed run is continued."""
    retry_of: int | None = None
    """The failed trial that this one repeats."""
    predicted_l0: float | None = None
    """What the search expected of this alpha before it ran."""
    predicted_l0_sd: float | None = None
    """Standard deviation of ln L0 in that prediction."""
    prior_weights: Mapping[str, float] | None = None
    study: str | None = None
    """The Optuna study of the trial's cell."""
    optuna_number: int | None = None
    """The trial's number in it."""
    params: Mapping[str, str | int | float | bool | None] = field(default_factory=dict[str, Any])
    """The searched keys, alpha aside; each is a column of the record."""
    varied: Mapping[str, str | int | float | bool | None] = field(default_factory=dict[str, Any])
    """The keys that lists give, likewise, with the cell's values."""
    pack: Sequence[int] | None = None
    """The trials that one job trains, this one among them; None where it trains this one alone."""

    @property
    def own_columns(self) -> frozenset[str]:
        """The keys that are columns of the record, as the configuration names them."""
        return frozenset(key.lstrip("+") for key in (*self.params, *self.varied))

    def for_record(self) -> dict[str, Any]:
        """What the record takes over."""
        kept = asdict(self)
        for name in ("study", "optuna_number", "pack"):
            del kept[name]
        searched = {key.lstrip("+"): value for key, value in kept.pop("params").items()}
        own = {SETTING_COLUMNS: settings_text(self.own_columns)}
        return kept.pop("varied") | searched | kept | own

    def again(self, attempt: int, pack: Sequence[int] | None = None) -> "Ticket":
        """The same trial, started once more, alone or in a pack."""
        return replace(self, attempt=attempt, pack=pack)

    def write(self, directory: Path) -> None:
        """Writes `trial.json`; null values are left out."""
        content = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if getattr(self, name) is not None
        }
        write_json_atomically(directory / TICKET_FILE, content)

    @staticmethod
    def read(directory: Path) -> "Ticket":
        """Reads `trial.json`; without one the run stands alone.

        Raises:
            SweepError: The file is no ticket.
        """
        path = directory / TICKET_FILE
        if not path.exists():
            return Ticket()
        try:
            ticket = Ticket(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise SweepError(f"{path} must be a trial's ticket, but got: {error}.") from None
        for name, kinds in _KINDS.items():
            if not isinstance(value := getattr(ticket, name), kinds):
                raise SweepError(f"{path} must be a trial's ticket, but got {name}={value!r}.")
        return ticket


_NONE = type(None)
_KINDS: dict[str, tuple[type, ...]] = {
    "trial": (int,),
    "cell": (str,),
    "attempt": (int,),
    "retry_of": (int, _NONE),
    "predicted_l0": (float, int, _NONE),
    "predicted_l0_sd": (float, int, _NONE),
    "prior_weights": (dict, _NONE),
    "study": (str, _NONE),
    "optuna_number": (int, _NONE),
    "params": (dict,),
    "varied": (dict,),
    "pack": (list, _NONE),
}
"""What JSON makes of each value of a ticket."""


def read_record(directory: Path) -> dict[str, Any] | None:
    """The finished trial's record, or None while it is not finished.

    Raises:
        SweepError: `result.json` is there and is no record of a trial that has ended.
    """
    path = directory / RESULT_FILE
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SweepError(f"{path} must be a trial's record, but got: {error}.") from None
    if not isinstance(content, dict):
        raise SweepError(f"{path} must be a trial's record, but got {type(content).__name__}.")
    record = cast("dict[str, Any]", content)
    try:
        validate_record(record)
    except AnalysisError as error:
        raise SweepError(f"{path} must be a trial's record, but got: {error}") from None
    for key in _needed(record):
        if record.get(key) is None:
            raise SweepError(f"{path} must be a trial's record, but has no {key}.")
    if not State(record["state"]).is_finished():
        raise SweepError(
            f"{path} must be the record of a trial that has ended, but got {record['state']}."
        )
    return record


def _needed(record: Mapping[str, Any]) -> list[str]:
    """The keys without which a study cannot go on with a trial."""
    if record["state"] != State.complete:
        return [*_ALWAYS_KNOWN]
    error = ["l0_log_error"] if record["l0"] > 0 else []
    return [*_ALWAYS_KNOWN, *_KNOWN_WHEN_COMPLETE, *error]


def write_record(directory: Path, record: Mapping[str, Any]) -> None:
    """Writes `result.json` in one step; values that JSON has no word for become null."""
    write_json_atomically(directory / RESULT_FILE, {k: _finite(v) for k, v in record.items()})


def config_hash(settings: Settings) -> str:
    """Names the training configuration: equal for two runs that must give the same numbers."""
    plain = to_plain(settings)
    defining = {key: value for key, value in plain.items() if key not in ("sweep", "prior")}
    if settings.sweep.train is not None:
        defining["train"] = settings.sweep.train
    return hashlib.sha256(json.dumps(defining, sort_keys=True).encode()).hexdigest()[:16]


def recipe(settings: Settings, apart: Collection[str] = ()) -> str:
    """Names how a run trains: equal for two runs whose alphas may enter one law.

    Args:
        settings: The run's.
        apart: Further keys that have a column of their own, such as searched ones.

    Returns:
        A hash of the settings that have no column, then those of them that are not the default.
    """
    own = _recipe_settings(settings, apart)
    usual = _recipe_settings(Settings(), apart) | {"sweep.train": None}
    named = {key: value for key, value in own.items() if key in usual and value != usual[key]}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:8]
    return " ".join([digest, *(f"{key}={_word(value)}" for key, value in named.items())])


def trains_otherwise(settings: Settings, told: object, columns: Mapping[str, Any]) -> bool:
    """Whether runs of a recipe train in another way than these settings.

    Args:
        settings: The settings.
        told: The runs' recipe as `recipe` names it; None, where it is not known, is held against
            nobody.
        columns: What else is known of the runs, by key; of these some may have been apart.
    """
    if told is None:
        return False
    own = _recipe_settings(settings, ())
    apart = {key: value for key, value in columns.items() if key in own and value is not None}
    if any(own[key] != value and str(own[key]) != str(value) for key, value in apart.items()):
        return True
    return str(told).split()[:1] != recipe(settings, apart).split()[:1]


def _recipe_settings(settings: Settings, apart: Collection[str]) -> dict[str, Any]:
    trained = {"sae": to_plain(settings.sae), "trainer": to_plain(settings.trainer)}
    left_out = {*_NOT_IN_RECIPE, *apart}
    if not settings.sae.needs_target and settings.sweep.train is None:
        left_out |= {"trainer.target_l0_start", "trainer.target_l0_decay"}
    if settings.sae.architecture is not Architecture.jumprelu:
        del trained["sae"]["jumprelu"]
    kept = {key: value for key, value in flatten(trained).items() if key not in left_out}
    return kept if settings.sweep.train is None else kept | {"sweep.train": settings.sweep.train}


def _word(value: object) -> str:
    return "null" if value is None else str(value)


def git_sha(folder: Path | None = None) -> str | None:
    """The commit of the folder's git checkout, or None where there is none."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def utc_now() -> str:
    """The time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def signed_log_error(l0: float, target_count: float) -> float | None:
    """ln(l0 / target); None where no latent was ever active.

    Args:
        l0: Mean active latents per held-out token.
        target_count: The target in the same unit.
    """
    return math.log(l0 / target_count) if l0 > 0 else None


def is_in_band(log_error: float | None, tolerance: float) -> bool:
    """Whether |ln(l0 / target)| <= ln(1 + tolerance)."""
    return log_error is not None and abs(log_error) <= math.log1p(tolerance) + ROUNDING


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
