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
`curvature` and `curvature_sd` (absent in files from before it), `l0_low`, `l0_high` |
| `ranges` | of width and L0 behind it |
| `budget` | null, or how alpha moves with the budget: `exponent`, its `se`, `reference_budget`, \
`unit` (`learning_rate * total_steps` or `total_steps`), `low` and `high` of the budgets run, and \
their number `n`: 1 where the exponent is assumed (-0.45, sd 0.2), not measured |
| `intervals` | 95 % intervals of beta and of alpha at every fitted width, whose alpha this is in \
place of the line's |
| `data_hash` | SHA-256 of the runs behind it |
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
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

Range = tuple[float, float]
# Assumption: laws of real runs are far inside, and with what is beyond no alpha can be computed.
_LARGEST = 1e12
_ANY: Range = (-_LARGEST, _LARGEST)
_NOT_NEGATIVE: Range = (0.0, _LARGEST)
_POSITIVE: Range = (1 / _LARGEST, _LARGEST)
_NEGATIVE: Range = (-_LARGEST, -1 / _LARGEST)
_LOG_ALPHA: Range = (-100.0, 100.0)  # no run has an alpha beyond 1e-30 to 1e30
_PARAMETERS: dict[str, Range] = {
    "reference_width": _POSITIVE,
    "intercept": _LOG_ALPHA,
    "beta": _ANY,
    "between_width_scatter": _NOT_NEGATIVE,
    "noise": _NOT_NEGATIVE,
}
_SHAPE: dict[str, Range] = {
    "latent_dim": _POSITIVE,
    "log_alpha": _LOG_ALPHA,
    "slope": _NEGATIVE,
    "slope_sd": _NOT_NEGATIVE,
    "curvature": _ANY,
    "curvature_sd": _NOT_NEGATIVE,
    "l0_low": _POSITIVE,
    "l0_high": _POSITIVE,
}
_NOT_IN_EARLIER_SHAPES = {"curvature_sd"}
_BUDGET: dict[str, Range] = {
    "exponent": _ANY,
    "se": _NOT_NEGATIVE,
    "reference_budget": _POSITIVE,
    "low": _POSITIVE,
    "high": _POSITIVE,
    "n": _POSITIVE,
}


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
        AnalysisError: Something is missing, of the wrong type, impossible, NaN, or of an unknown
            version.
    """
    if document.get("version") != version:
        found = document.get("version")
        raise AnalysisError(f"version must be {version} in {path}, but got {found!r}.")
    if document.get("form") != form:
        raise AnalysisError(f"form must be {form} in {path}, but got {document.get('form')!r}.")
    for key, kind in _KEYS.items():
        if not isinstance(document.get(key), kind) or isinstance(document[key], bool):
            raise AnalysisError(f"{key} must be in {path}, but got {document.get(key)!r}.")
    for key, value in _numbers(document, ""):
        if not abs(value) <= sys.float_info.max:  # whole numbers of JSON have no bound
            raise AnalysisError(f"{key} must be finite in {path}, but got {value!r}.")
    _check_structure(document, path)
    _check_values(document, path)


def _check_structure(document: Mapping[str, Any], path: Path) -> None:
    parameters = {**document["parameters"]}
    if parameters.get("beta", "") is None and len(document["shapes"]) == 1:
        parameters["beta"] = 0.0  # one width has no exponent
    for name in _PARAMETERS:
        if not _is_number(parameters.get(name)):
            found = document["parameters"].get(name)
            raise AnalysisError(
                f"parameters.{name} must be a number in {path}, but got {found!r}."
            )
    rows = document["covariance"]
    if len(rows) != 2 or not all(_is_pair(row) for row in rows):
        raise AnalysisError(f"covariance must be 2 x 2 numbers in {path}, but got {rows!r}.")
    shapes = document["shapes"]
    if not shapes or any(not _is_shape(shape) for shape in shapes):
        raise AnalysisError(f"shapes must hold one entry a width in {path}, but got {shapes!r}.")
    _check_intervals(document["intervals"], path)
    _check_budget(document.get("budget"), path)
    _check_recipe(document["recipe"], path)
    if document["units"] not in ("canonical", "as_given"):
        raise AnalysisError(f"units must be canonical in {path}, but got {document['units']!r}.")
    if document["status"] not in ("law", "provisional"):
        raise AnalysisError(
            f"status must be law or provisional in {path}, but got {document['status']!r}."
        )


def _check_intervals(intervals: Mapping[str, Any], path: Path) -> None:
    """Those of alpha, which a fitted width's alpha is taken from; a file may lack them."""
    stars = intervals.get("alpha_star", [])
    if not isinstance(stars, list) or not all(_is_star(star) for star in stars):
        raise AnalysisError(
            "intervals.alpha_star must hold latent_dim and 0 < low <= value <= high for each "
            f"width in {path}, but got {stars!r}."
        )


def _is_star(star: object) -> bool:
    names = ("latent_dim", "low", "value", "high")
    if not isinstance(star, dict) or not all(_is_number(star.get(name)) for name in names):
        return False
    return 0 < star["low"] <= star["value"] <= star["high"]


def _check_budget(budget: object, path: Path) -> None:
    """Files from before the term have none."""
    if budget is None:
        return
    if not (
        isinstance(budget, dict)
        and budget.keys() == {*_BUDGET, "unit"}
        and all(_is_number(budget[name]) for name in _BUDGET)
        and budget["unit"] in ("learning_rate * total_steps", "total_steps")
    ):
        listed = ", ".join(_BUDGET)
        raise AnalysisError(
            f"budget must be null or hold {listed} and unit in {path}, but got {budget!r}."
        )


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, dict)
        and shape.keys() | _NOT_IN_EARLIER_SHAPES == _SHAPE.keys()
        and all(_is_number(value) for value in shape.values())
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(row: object) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(_is_number(value) for value in row)


def _check_recipe(recipe: Mapping[str, Any], path: Path) -> None:
    """What a budget is computed from; the rest is only shown."""
    for name in ("learning_rate", "total_steps"):
        value = recipe.get(name)
        if value is not None and not _is_number(value):
            raise AnalysisError(
                f"recipe.{name} must be null or a number in {path}, but got {value!r}."
            )


def _check_values(document: Mapping[str, Any], path: Path) -> None:
    """Whether alpha can be computed from the numbers of a law whose structure is right."""
    _check_ranges("", document, {"target_l0": _POSITIVE}, path)
    _check_ranges("parameters.", document["parameters"], _PARAMETERS, path)
    _check_covariance(document["covariance"], path)
    for index, shape in enumerate(document["shapes"]):
        _check_ranges(f"shapes[{index}].", shape, _SHAPE, path)
        _check_ranges(f"shapes[{index}].", shape, {"l0_low": (0.0, shape["l0_high"])}, path)
    widths = [shape["latent_dim"] for shape in document["shapes"]]
    if any(later <= earlier for earlier, later in pairwise(widths)):
        raise AnalysisError(f"shapes must rise in latent_dim in {path}, but got {widths!r}.")
    budget = document.get("budget")
    if budget is not None:
        _check_ranges("budget.", budget, _BUDGET, path)
        _check_ranges("budget.", budget, {"low": (0.0, budget["high"])}, path)


def _check_ranges(
    prefix: str, values: Mapping[str, Any], allowed: Mapping[str, Range], path: Path
) -> None:
    for name, (low, high) in allowed.items():
        value = values.get(name)  # the beta of one width is null
        if value is not None and not low <= value <= high:
            raise AnalysisError(
                f"{prefix}{name} must lie between {low:g} and {high:g} in {path}, "
                f"but got {value!r}."
            )


def _check_covariance(rows: list[list[float]], path: Path) -> None:
    (a, b), (c, d) = rows
    if not (min(a, d) >= 0 and max(a, d) <= _LARGEST and abs(b + c) <= 2 * math.sqrt(a * d)):
        raise AnalysisError(
            f"covariance must be positive semi-definite, with variances of at most {_LARGEST:g}, "
            f"in {path}, but got {rows!r}."
        )


def _numbers(value: object, key: str) -> Iterator[tuple[str, float]]:
    """Every number in a document with its dotted key."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{key}[{index}]")
    elif isinstance(value, int | float):
        yield key, value
