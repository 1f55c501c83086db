"""The trial record: one row per trial, the same names in files, tables and the study.

A record is a flat mapping (`result.json`); a table of records has the dtypes given here. Missing
values are `null` in JSON, never NaN; they become `<NA>` (text, whole numbers, truth values) or NaN
(numbers) in a table. A study may add one column per searched key; those are kept as they come.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from analysis.errors import AnalysisError

Dtype = Literal["string", "Int64", "float64", "boolean"]


class State(StrEnum):
    """How a trial ended, or that it has not."""

    complete = "complete"
    pruned = "pruned"
    diverged = "diverged"
    failed = "failed"
    interrupted = "interrupted"
    running = "running"

    def is_finished(self) -> bool:
        """Whether the trial will not be continued."""
        return self not in (State.interrupted, State.running)


class VerdictLevel(StrEnum):
    """What a trial's criteria say; the worst reason wins."""

    success = "success"
    warning = "warning"
    failure = "failure"


class AlphaMode(StrEnum):
    """Whether alpha stood still in a run or was steered towards the target."""

    fixed = "fixed"
    controlled = "controlled"


class Units(StrEnum):
    """What a table's `alpha_canonical` is."""

    canonical = "canonical"
    as_given = "as_given"
    """A foreign table's own units, taken as they stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the trial record."""

    name: str
    """The key in JSON and the column in tables."""
    dtype: Dtype
    """The pandas dtype."""
    unit: str
    """What one unit is; empty for text."""
    meaning: str
    """One line."""
    low: float | None = None
    """The smallest value allowed."""
    high: float | None = None
    """The largest value allowed."""
    choices: tuple[str, ...] | None = None
    """The texts allowed, where they are few."""


def _text(name: str, meaning: str, choices: Sequence[str] | None = None) -> Column:
    listed = None if choices is None else tuple(str(choice) for choice in choices)
    return Column(name=name, dtype="string", unit="", meaning=meaning, choices=listed)


def _count(name: str, unit: str, meaning: str, low: float = 0) -> Column:
    return Column(name=name, dtype="Int64", unit=unit, meaning=meaning, low=low)


def _number(
    name: str, unit: str, meaning: str, low: float | None = 0, high: float | None = None
) -> Column:
    return Column(name=name, dtype="float64", unit=unit, meaning=meaning, low=low, high=high)


def _flag(name: str, meaning: str) -> Column:
    return Column(name=name, dtype="boolean", unit="", meaning=meaning)


SETTING_COLUMNS = "setting_columns"
NO_SETTING = "none"
_SETTINGS_GAP = "; "


def settings_text(names: Iterable[str]) -> str:
    """What `setting_columns` says where these further columns are settings."""
    return _SETTINGS_GAP.join(sorted(names)) or NO_SETTING


def settings_named(text: str) -> frozenset[str]:
    """The columns that a text of `setting_columns` names."""
    return frozenset(name.strip() for name in text.split(";")) - {NO_SETTING, ""}


COLUMNS: tuple[Column, ...] = (
    _count("trial", "trials", "number of the trial, counted over the whole sweep"),
    _text("cell", "the cell that proposed the trial"),
    _text("state", "how the trial ended", list(State)),
    _count("attempt", "attempts", "how often the trial was started; 1 is the first", low=1),
    _count("retry_of", "trials", "the failed trial that this one repeats"),
    _text("verdict", "verdict by this project's criteria", list(VerdictLevel)),
    _text("verdict_reasons", "why; in a table the reasons are joined by '; '"),
    _text("guide_verdict", "verdict by the guide's criteria", list(VerdictLevel)),
    _text("architecture", "architecture of the SAE"),
    _text("penalty", "what alpha multiplies"),
    _count("latent_dim", "latents", "width of the SAE", low=1),
    _count("d_in", "dimensions", "dimension of the activations", low=1),
    _number("l1_alpha", "objective's own", "the sparsity coefficient as the user gave it"),
    _number("alpha_canonical", "canonical", "the same in canonical units"),
    _text("alpha_mode", "whether alpha was fixed during the run", list(AlphaMode)),
    _number("target_l0", "latents or fraction", "below 1 a fraction of latent_dim, else a count"),
    _number("predicted_l0", "latents", "the L0 predicted before the run"),
    _number("predicted_l0_sd", "ln L0", "standard deviation of ln of that prediction"),
    _text("prior_weights", "weights of the prior's components; in a table as JSON"),
    _number("l0", "latents", "mean number of latents above zero per held-out token"),
    _number("l0_se", "latents", "standard error of l0 over held-out tokens"),
    _number("projected_l0", "latents", "where a pruned run's L0 was projected to end"),
    _number("projected_l0_sd", "ln L0", "standard deviation of ln of that projection"),
    _text("l0_bound", "on which side of its target a pruned run is", ("above", "below")),
    _number("l0_fraction", "of latent_dim", "l0 / latent_dim", high=1),
    _number("l0_alive_fraction", "of alive", "l0 / alive latents"),
    _number("l0_log_error", "ln L0", "ln(l0 / target), signed", low=None),
    _flag("in_band", "whether |l0_log_error| is at most ln(1 + tolerance)"),
    _flag("converged", "L0 changed by less than 5 % over the last 5 % of the steps"),
    _number("fvu", "fraction", "fraction of variance unexplained, held-out"),
    _number("mse", "canonical", "squared error, summed over d_in, mean over tokens"),
    _number("l1", "canonical", "sum of activations times decoder norms, mean over tokens"),
    _number("loss", "canonical", "mse + alpha_canonical * penalty; ranks nothing across alphas"),
    _number("dead_fraction", "of latent_dim", "latents that no held-out token fired", high=1),
    _number("dead_fraction_window", "of latent_dim", "the same on the last tokens seen", high=1),
    _number("alive", "latents", "latent_dim * (1 - dead_fraction)"),
    _count("resampled", "latents", "dead latents replaced (trainer.dead_latents.resampling)"),
    _count("held_out_tokens", "tokens", "tokens behind the held-out numbers"),
    _text("density", "latents by firing frequency, held-out; in a table as JSON"),
    _number("decoder_cosine", "cosine", "of a decoder row with its nearest other, mean", low=-1),
    _number("dictionary_cosine", "cosine", "of a true feature with its nearest row, mean", low=-1),
    _number("dictionary_recall", "fraction", "true features with a cosine of 0.9 or more", high=1),
    _number("loss_change", "fraction", "training loss over the last tenth of the run", low=None),
    _number("loss_oscillation", "fraction", "spread of the loss about its trend over that tenth"),
    _number("threshold_travel", "fraction", "JumpReLU: thresholds' way over the sum of rates"),
    _number("learning_rate", "per step", "peak learning rate"),
    _count("batch_size", "tokens", "tokens per step", low=1),
    _count(
        "micro_batch", "tokens", "tokens computed at once; fewer where memory was short", low=1
    ),
    _count("total_steps", "steps", "steps planned", low=1),
    _count("steps_done", "steps", "steps taken"),
    _count("tokens", "tokens", "training tokens seen"),
    _count("seed", "", "random seed"),
    _text("activations", "name of the activations"),
    _number("outlier_share", "fraction", "of the squared norm in rows of 10 median norms", high=1),
    _text("objective", "convention of l1_alpha"),
    _text("recipe", "the rest of the training settings: a hash, then what is not the default"),
    _text(SETTING_COLUMNS, "further columns that are settings, joined by '; '; or none"),
    _text("device", "where it ran"),
    _number("wall_s", "seconds", "time of training"),
    _text("started", "time stamp, ISO 8601"),
    _text("finished", "time stamp, ISO 8601"),
    _text("config_hash", "hash of the composed configuration"),
    _text("git_sha", "commit of the code"),
    _text("dir", "the trial's directory, relative to the study's"),
)

COLUMN: dict[str, Column] = {column.name: column for column in COLUMNS}

WHOLE_LIMIT = 2**63
"""Whole numbers are below it: a column of them has 64 bits."""

# Without these a finished run says nothing about L0 against alpha.
_REQUIRED_WHEN_COMPLETE = ("latent_dim", "l1_alpha", "alpha_canonical", "l0")

_KINDS: dict[Dtype, tuple[type, ...]] = {
    "string": (str,),
    "Int64": (int,),
    "float64": (int, float),
    "boolean": (bool,),
}
_KIND_NAMES: dict[Dtype, str] = {
    "string": "text",
    "Int64": "a whole number",
    "float64": "a number",
    "boolean": "true or false",
}
# The two columns that are structured in JSON and flattened in a table.
_STRUCTURED: dict[str, type] = {"verdict_reasons": list, "prior_weights": dict, "density": dict}


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN or pandas' NA; a job judges its record without pandas."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # NA is neither true nor false
        return True


def empty_record() -> dict[str, Any]:
    """A record with every key of the trial record and no value."""
    return dict.fromkeys(COLUMN)


def validate_record(record: Mapping[str, Any]) -> None:
    """Checks one record as read from or about to be written to `result.json`.

    Keys that are not in the record's list are allowed: they are searched hyperparameters.

    Raises:
        AnalysisError: A key is missing or its value has the wrong type or is out of range.
    """
    if record.get("state") is None:
        raise AnalysisError("state must be in every trial record, but is missing.")
    for name, value in record.items():
        if value is not None and name in COLUMN:
            _validate_value(COLUMN[name], value)
    if record["state"] == State.complete:
        for name in _REQUIRED_WHEN_COMPLETE:
            if record.get(name) is None:
                raise AnalysisError(f"{name} must be known for a complete trial, but is missing.")
    l0, latent_dim = record.get("l0"), record.get("latent_dim")
    if l0 is not None and latent_dim is not None and l0 > latent_dim:
        raise AnalysisError(f"l0 must be at most latent_dim ({latent_dim}), but got {l0!r}.")


def _validate_value(column: Column, value: object) -> None:
    kinds = _KINDS[column.dtype]
    if isinstance(value, _STRUCTURED.get(column.name, ())):
        return
    is_kind = isinstance(value, kinds) and (column.dtype == "boolean") == isinstance(value, bool)
    if not is_kind:
        wanted = _KIND_NAMES[column.dtype]
        raise AnalysisError(f"{column.name} must be {wanted}, but got {value!r}.")
    if isinstance(value, int | float):
        _validate_range(column, value)
    if column.choices is not None and value not in column.choices:
        listed = ", ".join(column.choices)
        raise AnalysisError(f"{column.name} must be one of {listed}, but got {value!r}.")


def _validate_range(column: Column, value: float) -> None:
    if not abs(value) <= sys.float_info.max:  # whole numbers of JSON have no bound
        raise AnalysisError(f"{column.name} must be finite, but got {value!r}.")
    if column.dtype == "Int64" and value >= WHOLE_LIMIT:
        raise AnalysisError(f"{column.name} must be below 2^63, but got {value!r}.")
    if column.low is not None and value < column.low:
        raise AnalysisError(f"{column.name} must be at least {column.low:g}, but got {value!r}.")
    if column.high is not None and value > column.high:
        raise AnalysisError(f"{column.name} must be at most {column.high:g}, but got {value!r}.")
