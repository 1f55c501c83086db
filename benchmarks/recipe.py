"""Where L0 and fvu come out under the shipped recipe: the constants of the default prior.

python -m benchmarks.recipe

Trains on layer 3 of the demo's activations over alphas, widths and lengths, with the gradient
clipped (the recipe) and without, and appends every run to benchmarks/results/recipe_layer3.csv;
a run that is there already is not repeated. Then prints what clipping does to fvu at equal L0,
and the constants of `sweeper.search.alpha_rule` for each architecture.
"""

import argparse
import csv
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.demo import demo_store
from benchmarks.markdown import RESULTS, table, write_result
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train
from sweeper.search.alpha_rule import REFERENCE_WIDTH, AlphaRule, Situation

LAYER = 3
RUNS = RESULTS / "recipe_layer3.csv"
REFERENCE_STEPS = 600
ALPHAS = {
    Architecture.standard: (0.9, 1.6, 2.8, 5.0),
    Architecture.gated: (1.2, 2.2, 4.0, 7.2),
    Architecture.jumprelu: (0.25, 0.6, 1.5, 3.5),
}
"""At 600 steps they give from about a tenth to a hundredth of the latents."""
LENGTHS = (300, 600, 1200, 2400, 4800)
WIDTHS = (512, 2048, 4096)
TARGET_FRACTIONS = (0.02, 0.05, 0.1)
TARGET_COUNTS = (8, 16, 32, 64, 128, 256)
CONSTANTS = 4
"""That are fitted to the alphas: constant, width, budget and its decay."""
FLATTENING_WIDTH_POWERS = (0.0, 0.5)
DECAYS = [number / 100 for number in range(151)]
"""Of the budget's exponent, tried one after another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run, as asked for."""

    architecture: str
    latent_dim: int
    total_steps: int
    gradient_clip: float | None
    l1_alpha: float


@dataclass(frozen=True, slots=True)
class Met:
    """A target that a measured curve meets."""

    situation: Situation
    """Where."""
    ln_alpha: float
    """By which alpha."""


def planned(architecture: Architecture) -> Iterator[Run]:
    """Lengths at width 1024, widths at the recipe's length, and the recipe without clipping."""
    clip = TrainerConfig().gradient_clip
    designs = [(1024, length, clip) for length in LENGTHS]
    designs += [(width, REFERENCE_STEPS, clip) for width in WIDTHS]
    designs += [(1024, REFERENCE_STEPS, None)]
    for latent_dim, total_steps, gradient_clip in designs:
        for alpha in ALPHAS[architecture]:
            yield Run(
                architecture=architecture.value,
                latent_dim=latent_dim,
                total_steps=total_steps,
                gradient_clip=gradient_clip,
                l1_alpha=round(alpha * (total_steps / REFERENCE_STEPS) ** -0.4, 4),
            )


def main() -> int:
    """Trains what is missing, prints the tables; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=[kind.value for kind in ALPHAS])
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.report_only:
        for name in options.architectures:
            _train_missing(Architecture(name))
    runs = pd.read_csv(RUNS)
    body = f"{_clipping(runs)}\n\n{_neighbours(runs)}\n\n{_constants(runs)}"
    print(f"\n{body}\n\nwritten to {write_result('recipe', 'The recipe and its alpha', body)}")
    return 0


def _train_missing(architecture: Architecture) -> None:
    store = demo_store(LAYER)
    done = {_run_of(row) for row in _rows()}
    for run in planned(architecture):
        if run in done:
            continue
        started = time.monotonic()
        recipe = TrainerConfig(total_steps=run.total_steps, gradient_clip=run.gradient_clip)
        request = TrainingRequest(
            sae=SaeConfig(architecture=architecture, latent_dim=run.latent_dim),
            trainer=recipe,
            alpha_canonical=run.l1_alpha,
            device="cpu",
        )
        with tempfile.TemporaryDirectory() as folder:
            result = train(request, store, Path(folder))
        measured = {
            "learning_rate": recipe.learning_rate,
            "batch_size": recipe.batch_size,
            "d_in": store.d_in,
            "l0": result.l0,
            "fvu": result.fvu,
            "dead_fraction": result.dead_fraction,
        }
        _append({**asdict(run), **measured})
        seconds = time.monotonic() - started
        print(f"{run} L0 {result.l0:.1f}, fvu {result.fvu:.4f}, {seconds:.0f} s", flush=True)


def _rows() -> list[dict[str, str]]:
    if not RUNS.exists():
        return []
    with RUNS.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _run_of(row: Mapping[str, str]) -> Run:
    return Run(
        architecture=row["architecture"],
        latent_dim=int(row["latent_dim"]),
        total_steps=int(row["total_steps"]),
        gradient_clip=float(row["gradient_clip"]) if row["gradient_clip"] else None,
        l1_alpha=float(row["l1_alpha"]),
    )


def _append(row: Mapping[str, object]) -> None:
    is_new = not RUNS.exists()
    with RUNS.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _clipping(runs: pd.DataFrame) -> str:
    rows: list[list[str]] = []
    at_recipe = runs[(runs.latent_dim == 1024) & (runs.total_steps == REFERENCE_STEPS)]
    for architecture, group in at_recipe.groupby("architecture"):
        for fraction in TARGET_FRACTIONS:
            target = fraction * 1024
            with_clip = _at_target(group[group.gradient_clip.notna()], target)
            without = _at_target(group[group.gradient_clip.isna()], target)
            if with_clip is None or without is None:
                continue
            rows.append(
                [
                    str(architecture),
                    f"{target:.1f}",
                    *(f"{with_clip[0]:.3f}", f"{without[0]:.3f}"),
                    *(f"{with_clip[1]:.4f}", f"{without[1]:.4f}"),
                    f"{without[1] / with_clip[1]:.3f}",
                ]
            )
    header = ["architecture", "L0", "alpha, clipped", "not", "fvu, clipped", "not", "ratio"]
    return f"Width 1024, {REFERENCE_STEPS} steps:\n\n{table(header, rows)}"


def _neighbours(runs: pd.DataFrame) -> str:
    """The budget's exponent from one length to the next, at 5 % of width 1024."""
    rows: list[list[str]] = []
    at_width = runs[(runs.latent_dim == REFERENCE_WIDTH) & runs.gradient_clip.notna()]
    for architecture, group in at_width.groupby("architecture"):
        met = [_at_target(group[group.total_steps == steps], 0.05 * 1024) for steps in LENGTHS]
        for steps, longer, one, two in zip(LENGTHS, LENGTHS[1:], met, met[1:], strict=False):
            if one is not None and two is not None:
                exponent = math.log(two[0] / one[0]) / math.log(longer / steps)
                rows.append([str(architecture), f"{steps} to {longer}", f"{exponent:.2f}"])
    header = ["architecture", "steps", "alpha's exponent"]
    return f"Width {REFERENCE_WIDTH}, L0 51.2:\n\n{table(header, rows)}"


def _at_target(curve: pd.DataFrame, target: float) -> tuple[float, float] | None:
    """Alpha and fvu where the curve meets the target, both log-linear between neighbours."""
    ordered = curve.sort_values("l0")
    if len(ordered) < 2 or not ordered.l0.iloc[0] <= target <= ordered.l0.iloc[-1]:
        return None
    at = math.log(target)
    log_l0 = np.log(ordered.l0)
    alpha = math.exp(float(np.interp(at, log_l0, np.log(ordered.l1_alpha))))
    fvu = math.exp(float(np.interp(at, log_l0, np.log(ordered.fvu))))
    return alpha, fvu


def _constants(runs: pd.DataFrame) -> str:
    rows: list[list[str]] = []
    for architecture, group in runs[runs.gradient_clip.notna()].groupby("architecture"):
        power, steepness = _best_steepness(group)
        met = _met_targets(group[group.total_steps >= REFERENCE_STEPS])
        rule = _best_rule(met, power, *steepness[:2])
        free, spread = _free_power(met, rule)
        numbers = (
            *steepness[:2],
            power,
            steepness[2],
            rule.constant,
            rule.width_power,
            rule.budget_exponent,
        )
        rows.append(
            [
                str(architecture),
                *(f"{number:.3f}" for number in numbers),
                *(f"{rule.budget_decay:.2f}", f"{_spread(met, rule):.3f}", str(len(met))),
                *(f"{1 / rule.elasticity:.3f}", f"{free:.3f}", f"{spread:.3f}"),
            ]
        )
    header = [
        *("architecture", "elasticity", "flattening", "by width", "sd of its ln", "constant"),
        *("width", "budget", "decay", "sd of ln alpha", "points", "target: 1 / elasticity"),
        *("target, left free", "sd of ln alpha then"),
    ]
    return (
        "The constants of `sweeper.search.alpha_rule`: elasticity and flattening from "
        "neighbouring alphas of all runs, the others, from runs of "
        f"{REFERENCE_STEPS} steps on (of 300 the warm-ups take 200), by the alphas that give "
        f"{', '.join(map(str, TARGET_COUNTS))} latents and "
        f"{', '.join(f'{fraction:.0%}' for fraction in TARGET_FRACTIONS)} of them:\n\n"
        f"{table(header, rows)}"
    )


def _best_rule(
    met: Sequence[Met], power: float, elasticity: float, flattening: float
) -> AlphaRule:
    """The rule of these three, its other constants by least squares in ln effective alpha."""
    start = AlphaRule(
        name="", elasticity=elasticity, flattening=flattening, flattening_width_power=power
    )
    rules = [_fit(met, replace(start, budget_decay=decay))[0] for decay in DECAYS]
    return min(rules, key=lambda rule: _spread(met, rule))


def _fit(
    met: Sequence[Met], rule: AlphaRule, *, is_target_free: bool = False
) -> tuple[AlphaRule, float]:
    """Constant, powers of width and budget; where it is free, what the target's power lacks."""
    unit = replace(rule, constant=1.0, width_power=0.0, budget_exponent=1.0)
    still = replace(unit, budget_exponent=0.0)
    terms = np.array(
        [
            [
                1.0,
                math.log(each.situation.latent_dim / REFERENCE_WIDTH),
                unit.ln_effective_for(each.situation) - still.ln_effective_for(each.situation),
                math.log(each.situation.d_in / each.situation.target_count),
            ][: 4 if is_target_free else 3]
            for each in met
        ]
    )
    wanted = [
        rule.ln_effective(each.ln_alpha, each.situation.latent_dim, each.situation.exposure)
        - still.ln_effective_for(each.situation)
        for each in met
    ]
    solution, *_ = np.linalg.lstsq(terms, np.array(wanted), rcond=None)
    found = [float(value) for value in solution]
    fitted = replace(
        rule, constant=math.exp(found[0]), width_power=found[1], budget_exponent=found[2]
    )
    return fitted, found[3] if is_target_free else 0.0


def _free_power(met: Sequence[Met], rule: AlphaRule) -> tuple[float, float]:
    """The target's power where it is not tied to the elasticity, and the spread that is left."""
    fitted, lacking = _fit(met, rule, is_target_free=True)
    power = 1 / rule.elasticity + lacking
    return power, _spread(met, fitted, lacking)


def _spread(met: Sequence[Met], rule: AlphaRule, lacking: float = 0.0) -> float:
    """Sd of ln alpha about the rule, whose constants were fitted to the same points."""
    errors: list[float] = []
    for each in met:
        more = lacking * math.log(each.situation.d_in / each.situation.target_count)
        effective = rule.ln_effective_for(each.situation) + more
        here = (each.situation.latent_dim, each.situation.exposure)
        errors.append(each.ln_alpha - rule.ln_alpha_of(effective, *here))
    return float(np.std(errors, ddof=CONSTANTS))


def _best_steepness(group: pd.DataFrame) -> tuple[float, tuple[float, float, float]]:
    """The power of the width in the flattening, none or a root, that errs less; and its fit."""
    fits = {power: _steepness(group, power) for power in FLATTENING_WIDTH_POWERS}
    best = min(fits, key=lambda power: fits[power][2])
    return best, fits[best]


def _steepness(group: pd.DataFrame, power: float) -> tuple[float, float, float]:
    """Elasticity, flattening and residual sd: the rule's curve of -d ln L0 / d ln alpha.

    Least squares of its log between neighbouring runs of every curve.
    """
    places: list[tuple[float, int, float]] = []
    seen: list[float] = []
    for _, curve in group.groupby(["latent_dim", "total_steps"]):
        ordered = curve.sort_values("l1_alpha")
        ln_alpha = np.log(ordered.l1_alpha.to_numpy())
        ln_l0 = np.log(ordered.l0.to_numpy())
        exposure = float((ordered.learning_rate * ordered.total_steps).iloc[0])
        width = int(ordered.latent_dim.iloc[0])
        middles = 0.5 * (ln_alpha[1:] + ln_alpha[:-1])
        places.extend((float(middle), width, exposure) for middle in middles)
        seen.extend(np.log(-np.diff(ln_l0) / np.diff(ln_alpha)))

    def residual(parameters: NDArray[np.float64]) -> list[float]:
        elasticity, flattening = map(float, np.exp(parameters))
        rule = AlphaRule(
            name="",
            elasticity=elasticity,
            flattening=flattening,
            flattening_width_power=power,
        )
        told = [rule.shape(*place).ln_elasticity or 0.0 for place in places]
        return [one - other for one, other in zip(told, seen, strict=True)]

    fit = least_squares(residual, [0.0, -2.0])
    elasticity, flattening = np.exp(fit.x)
    return float(elasticity), float(flattening), float(np.std(fit.fun))


def _met_targets(group: pd.DataFrame) -> list[Met]:
    """Every target that a curve meets."""
    found: list[Met] = []
    for _, curve in group.groupby(["latent_dim", "total_steps"]):
        first = curve.iloc[0]
        width = int(first["latent_dim"])
        for target in (*TARGET_COUNTS, *(fraction * width for fraction in TARGET_FRACTIONS)):
            met = _at_target(curve, target)
            if met is None:
                continue
            situation = Situation(
                d_in=int(first["d_in"]),
                latent_dim=width,
                target_count=target,
                learning_rate=float(first["learning_rate"]),
                total_steps=int(first["total_steps"]),
            )
            found.append(Met(situation, math.log(met[0])))
    return found


if __name__ == "__main__":
    sys.exit(main())
