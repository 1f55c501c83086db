"""Reading a law file, with one line for whatever is wrong with it.

Its keys, all numbers unrounded and in canonical units unless `units` says otherwise:

| key | what |
|---|---|
| `version`, `form` | 1, `local_line` |
| `status`, `missing` | `law` or `provisional`, and what a law still needs |
| `target_l0` | below 1 a fraction of latent_dim, from 1 on a count |
| `recipe` | architecture, penalty, d_in, activations, learning rate, batch, steps it belongs to |
| `parameters` | `reference_width`, `intercept` (ln alpha there), `beta` (exponent in width; \
null for one width, which measures none: theory's is used, sd 0.7), \
`between_width_scatter` (sd of ln alpha), `noise` (sd of ln L0) |
| `covariance` | of (intercept, beta) |
| `shapes` | per fitted width: `latent_dim`, `log_alpha`, elasticity `slope` and `slope_sd`, \
`curvature`, `l0_low`, `l0_high` |
| `ranges` | of width and L0 behind it |
| `budget` | null, or how alpha moves with the budget: `exponent`, its `se`, `reference_budget`, \
`unit` (`learning_rate * total_steps` or `total_steps`), `low` and `high` of the budgets run, and \
their number `n`: 1 where the exponent is assumed (-0.45, sd 0.2), not measured |
| `intervals` | 95 % intervals of beta and of alpha at every fitted width |
| `data_hash` | SHA-256 of the runs behind it |
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

_KEYS: dict[str, type | tuple[type, ...]] = {
    "units": str,
    "status": str,
    "missing": list,
    "target_l0": (int, float),
    "recipe": dict,
    "parameters": dict,
    "covariance": list,
    "shapes": list,
    "intervals": dict,
    "data_hash": str,
}
_PARAMETERS = ("reference_width", "intercept", "beta", "between_width_scatter", "noise")
_SHAPE_KEYS = frozenset(
    {"latent_dim", "log_alpha", "slope", "slope_sd", "curvature", "l0_low", "l0_high"}
)


_BUDGET_NUMBERS = ("exponent", "se", "reference_budget", "low", "high", "n")


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        AnalysisError: There is no such file, or it holds no JSON object, or NaN.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnalysisError(f"{path} must be a readable law file, but: {error}.") from None
    except ValueError as error:
        raise AnalysisError(f"{path} must hold JSON, but: {error}.") from None
    if not isinstance(document, dict):
        raise AnalysisError(f"{path} must hold a JSON object, but got {type(document).__name__}.")
    return document


def check_document(document: Mapping[str, Any], *, path: Path, version: int, form: str) -> None:
    """Checks version, form, keys and numbers of a law.

    Raises:
        AnalysisError: Something is missing, of the wrong type, NaN, or of an unknown version.
    """
    if document.get("version") != version:
        found = document.get("version")
        raise AnalysisError(f"version must be {version} in {path}, but got {found!r}.")
    if document.get("form") != form:
        raise AnalysisError(f"form must be {form} in {path}, but got {document.get('form')!r}.")
    for key, kind in _KEYS.items():
        if not isinstance(document.get(key), kind):
            raise AnalysisError(f"{key} must be in {path}, but got {document.get(key)!r}.")
    for key, value in _numbers(document, ""):
        if not math.isfinite(value):
            raise AnalysisError(f"{key} must be finite in {path}, but got {value!r}.")
    _check_structure(document, path)


def _check_structure(document: Mapping[str, Any], path: Path) -> None:
    parameters = {**document["parameters"]}
    if parameters.get("beta", "") is None and len(document["shapes"]) == 1:
        parameters["beta"] = 0.0  # one width has no exponent
    for name in _PARAMETERS:
        if not isinstance(parameters.get(name), int | float):
            found = document["parameters"].get(name)
            raise AnalysisError(
                f"parameters.{name} must be a number in {path}, but got {found!r}."
            )
    rows = document["covariance"]
    if [len(row) if isinstance(row, list) else 0 for row in rows] != [2, 2]:
        raise AnalysisError(f"covariance must be 2 x 2 in {path}, but got {rows!r}.")
    shapes = document["shapes"]
    if not shapes or any(not _is_shape(shape) for shape in shapes):
        raise AnalysisError(f"shapes must hold one entry a width in {path}, but got {shapes!r}.")
    _check_budget(document.get("budget"), path)
    if document["units"] not in ("canonical", "as_given"):
        raise AnalysisError(f"units must be canonical in {path}, but got {document['units']!r}.")
    if document["status"] not in ("law", "provisional"):
        raise AnalysisError(
            f"status must be law or provisional in {path}, but got {document['status']!r}."
        )


def _check_budget(budget: object, path: Path) -> None:
    """Files from before the term have none."""
    if budget is None:
        return
    known = isinstance(budget, dict) and budget.keys() == {*_BUDGET_NUMBERS, "unit"}
    if not (
        isinstance(budget, dict)
        and known
        and all(isinstance(budget[name], int | float) for name in _BUDGET_NUMBERS)
        and min(budget[name] for name in ("reference_budget", "low", "high")) > 0
        and budget["unit"] in ("learning_rate * total_steps", "total_steps")
    ):
        listed = ", ".join(_BUDGET_NUMBERS)
        raise AnalysisError(
            f"budget must be null or hold {listed} and unit in {path}, but got {budget!r}."
        )


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, dict)
        and shape.keys() == _SHAPE_KEYS
        and all(isinstance(value, int | float) for value in shape.values())
    )


def _numbers(value: object, key: str) -> Iterator[tuple[str, float]]:
    """Every number in a document with its dotted key."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{key}[{index}]")
    elif isinstance(value, float):
        yield key, value
