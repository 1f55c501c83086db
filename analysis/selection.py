"""Which rows of a trial table a fit may use, and why the others may not.

Rows are excluded by rules, each with its reason, never by hand and never by a fit that votes a
point out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.column_names import column_named, require_list
from analysis.errors import AnalysisError
from analysis.records import COLUMN, SETTING_COLUMNS, AlphaMode, State, settings_named
from analysis.untrained import untrained

# What a law belongs to. Runs that differ in one of these never enter one fit.
GROUP_COLUMNS = (
    "architecture",
    "penalty",
    "d_in",
    "activations",
    "learning_rate",
    "batch_size",
    "total_steps",
)

# What else divides runs where a table has it: the rest of the recipe, and what people's tables
# say about the data beside the record's own columns.
_DESCRIBING = (
    "recipe", "model", "model_name", "layer", "hook_name", "hook_point", "site", "dataset",
)  # fmt: skip
# Searched keys divide runs; they begin with one of these groups of the configuration
# (`trainer.alpha_warmup`). Other names with a dot are what people measured: `eval.loss`.
_CONFIG_GROUPS = ("activations", "objective", "sae", "trainer")
# The width is the law's variable.
_NOT_A_DIVIDER = frozenset({"sae.latent_dim", "trainer.l1_alpha"})

# More than rounding: l0_fraction of another width, or in another unit.
_CONTRADICTION = 0.1
_FRACTION_DIGITS = 3

# Far beyond any trainer's units; ratios of two such alphas still have a square that is a float.
COMPUTABLE_ALPHA = (1e-30, 1e30)
"""Where alpha can be computed and drawn with."""

_MEASURED = (
    "l0", "l0_se", "fvu", "mse", "l1", "loss", "dead_fraction", "dead_fraction_window", "alive",
    "decoder_cosine", "dictionary_cosine", "dictionary_recall", "loss_change", "loss_oscillation",
    "threshold_travel",
)  # fmt: skip
_REPLICATES = " in all that was measured; a column seed would tell replicates apart"

_OF_A_TARGET = "quadratic"
"""The penalty that is the distance of L0 from the run's own target."""
_SAME_TARGET = 1e-9
"""Relative distance that is rounding."""

# A controlled run may enter where a fixed run of the same width is this close, in ln alpha and in
# ln L0; its alpha depended on its path.
_AGREEMENT = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """A row that no fit uses."""

    row: int
    """Its index in the trial table; its position where the index does not number the rows."""
    reason: str
    """One line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A trial table, divided."""

    usable: pd.DataFrame
    """Rows that fits may use, index kept, in an order that does not depend on the table's."""
    exclusions: tuple[Exclusion, ...]
    """The others, by row."""


def dividers(trials: pd.DataFrame, by: Sequence[str] = ()) -> list[str]:
    """What divides a table's runs: the recipe, searched keys, what describes the data, and `by`.

    Args:
        trials: The table.
        by: Further columns to divide by.

    Raises:
        AnalysisError: `by` is one text, or names no column of the table, or several.
    """
    require_list("by", by)
    names = [str(name) for name in trials.columns]
    asked = [column_named("by", name, names) for name in by]
    keys = [name for name in _settings(trials) if name not in _NOT_A_DIVIDER]
    others = sorted({*keys, *(name for name in _DESCRIBING if name in names), *asked})
    return [*GROUP_COLUMNS, *(name for name in others if name not in GROUP_COLUMNS)]


def _settings(trials: pd.DataFrame) -> list[str]:
    """The columns of searched or listed keys, by the rows' own word, where they say it.

    A trainer may measure what it calls `trainer.final_loss`. Rows that do not say which columns
    are settings go by the columns' names.
    """
    keys = [name for name in map(str, trials.columns) if is_configuration_key(name)]
    told = trials[SETTING_COLUMNS]
    named = {name for text in told.dropna().unique() for name in settings_named(str(text))}
    silent = trials[told.isna()]
    return [name for name in keys if name in named or silent[name].notna().any()]


def is_configuration_key(name: str) -> bool:
    """Whether a column is named after a key of the configuration, which was searched or listed."""
    group, dot, _ = name.partition(".")
    return bool(dot) and group in _CONFIG_GROUPS


def select(
    trials: pd.DataFrame, by: Sequence[str] = (), target_l0: float | None = None
) -> Selection:
    """Divides a trial table into usable rows and exclusions with reasons.

    Runs at alpha 0 stay: they inform forms that have a ceiling, and nothing else.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        by: Further columns in which runs may differ, as for `dividers`.
        target_l0: What is asked for; runs that `aims_elsewhere` names are left out. None: any.

    Raises:
        AnalysisError: `by` names no column, or a column that divides the runs holds lists.
    """
    same = dividers(trials, by)
    _require_single_values(trials, same)
    reasons: dict[int, str] = _unfinished(trials)
    for condition, reason in _rules(target_l0, same):
        for row in trials.index[condition(trials).fillna(value=False).to_numpy(dtype=bool)]:
            reasons.setdefault(int(row), reason)
    kept = trials.loc[[row for row in trials.index if int(row) not in reasons]]
    reasons |= _duplicates(kept, same)
    kept = kept.loc[[row for row in kept.index if int(row) not in reasons]]
    reasons |= _lonely_controlled(kept, same)
    kept = kept.loc[[row for row in kept.index if int(row) not in reasons]]
    ordered = kept.sort_values(
        ["latent_dim", "alpha_canonical", "l0", "seed", "trial"], kind="stable"
    )
    exclusions = tuple(Exclusion(row=row, reason=reasons[row]) for row in sorted(reasons))
    return Selection(usable=ordered, exclusions=exclusions)


def _require_single_values(trials: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if pd.api.types.is_object_dtype(trials[name]):
            for row, value in zip(trials.index, trials[name], strict=True):
                if not pd.api.types.is_hashable(value):  # of Parquet: a list or a struct
                    raise AnalysisError(
                        f"{name} must be one value in every row, since it divides the runs, but "
                        f"row {row} has {' '.join(str(value).split())}."
                    )


Rule = tuple[Callable[[pd.DataFrame], pd.Series], str]


def aims_elsewhere(trials: pd.DataFrame, target_l0: float | None) -> pd.Series:
    """Which runs' penalty is the distance from another target: their alpha says nothing of this.

    Args:
        trials: A trial table.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count; None: any will do.
    """
    own, width = trials["target_l0"], trials["latent_dim"].astype("float64")
    if target_l0 is None:
        return pd.Series(data=False, index=trials.index)
    wanted = target_l0 * width if target_l0 < 1 else target_l0
    ratio = own.where(own >= 1, own * width) / wanted
    elsewhere = (trials["penalty"] == _OF_A_TARGET) & ((ratio - 1).abs() > _SAME_TARGET)
    return elsewhere.fillna(value=False).astype(bool)


def _rules(target_l0: float | None, same: Sequence[str]) -> tuple[Rule, ...]:
    """Conditions in the order in which their reasons are given."""
    return (
        (lambda t: t["latent_dim"].isna() | (t["latent_dim"] < 1), "latent_dim is not positive"),
        (lambda t: t["alpha_canonical"].isna(), "alpha is missing"),
        (lambda t: t["alpha_canonical"].abs() == np.inf, "alpha is not finite"),
        (lambda t: t["alpha_canonical"] < 0, "alpha is negative"),
        (_beyond_computing, "alpha is beyond 1e-30 to 1e+30, where no curve can be computed"),
        (lambda t: t["l0"].isna(), "l0 is missing"),
        (lambda t: t["l0"] == np.inf, "l0 is not finite"),
        (lambda t: t["l0"] <= 0, "l0 is not positive, so it has no logarithm"),
        (lambda t: t["l0_fraction"] > 1, "l0_fraction is above 1 (is it in percent?)"),
        (lambda t: t["l0"] > t["latent_dim"], "l0 is above latent_dim"),
        (contradictory, "l0 and l0_fraction disagree by more than a tenth"),
        (
            lambda t: untrained(t, same),
            "the SAE never left its initialisation: half of the latents on, few dead",
        ),
        (
            lambda t: aims_elsewhere(t, target_l0),
            "its penalty is the distance from another target_l0",
        ),
    )


def _unfinished(trials: pd.DataFrame) -> dict[int, str]:
    states = trials["state"].fillna("unknown")
    return {
        int(str(row)): f"the trial is not complete: {state}"
        for row, state in states[states != State.complete].items()
    }


def _beyond_computing(trials: pd.DataFrame) -> pd.Series:
    low, high = COMPUTABLE_ALPHA
    alpha = trials["alpha_canonical"]
    return (alpha > 0) & ~alpha.between(low, high)


def contradictory(trials: pd.DataFrame) -> pd.Series:
    """Which rows' l0 and l0_fraction disagree by more than a tenth, beyond rounding."""
    ratio = trials["l0"] / trials["latent_dim"].astype("float64") / trials["l0_fraction"]
    rounding = 0.5 * 10.0**-_FRACTION_DIGITS / trials["l0_fraction"]
    return (ratio - 1).abs() > _CONTRADICTION + rounding


def _duplicates(trials: pd.DataFrame, same: Sequence[str]) -> dict[int, str]:
    """Rows that say again what an earlier row says: the same configuration, seed and numbers."""
    columns = [*same, "latent_dim", "alpha_canonical", "seed", *_measured(trials)]
    advice = "" if trials["seed"].notna().any() else _REPLICATES
    first: dict[tuple[str, ...], int] = {}
    found: dict[int, str] = {}
    keys = zip(*(trials[column].astype("string").fillna("") for column in columns), strict=True)
    for row, key in zip(trials.index, keys, strict=True):
        if key in first:
            found[int(row)] = f"duplicate of row {first[key]}{advice}"
        else:
            first[key] = int(row)
    return found


def _measured(trials: pd.DataFrame) -> list[str]:
    """The columns of numbers in which replicates differ: what was measured, the time aside."""
    foreign = [
        name
        for name in map(str, trials.columns)
        if name not in COLUMN and pd.api.types.is_float_dtype(trials[name])
    ]
    return [*_MEASURED, *foreign]


def _lonely_controlled(trials: pd.DataFrame, same: Sequence[str]) -> dict[int, str]:
    controlled = trials["alpha_mode"].fillna("") == AlphaMode.controlled
    if not controlled.any():
        return {}
    fixed = trials[~controlled]
    found: dict[int, str] = {}
    for row, run in trials[controlled].iterrows():
        near = _log_distance(fixed["alpha_canonical"], run["alpha_canonical"])
        near &= _log_distance(fixed["l0"], run["l0"])
        for name in ("latent_dim", *same):
            value, column = run[name], fixed[name]
            equal = column.isna() if pd.isna(value) else column == value
            near &= equal.fillna(value=False).astype(bool)
        if not near.any():
            found[int(str(row))] = "alpha was controlled and no run at a fixed alpha agrees"
    return found


def _log_distance(values: pd.Series, value: float) -> pd.Series:
    ratio = values / value
    return ratio.between(np.exp(-_AGREEMENT), np.exp(_AGREEMENT))
