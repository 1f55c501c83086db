"""Where L0 and fvu come out under the shipped recipe: the constants of the default prior.

python -m benchmarks.recipe

Trains on layer 3 of the demo's activations over alphas, widths and lengths, with the gradient
clipped (the recipe) and without, and appends every run to benchmarks/results/recipe_layer3.csv
(JumpReLU's tanh penalty to recipe_layer3_tanh.csv); a run that is there already is not repeated.
Then prints what clipping does to fvu at equal L0, and the constants of
`sweeper.search.alpha_rule` for each architecture.
"""

import argparse
import math
import sys

import pandas as pd

from benchmarks.markdown import table, write_result
from benchmarks.recipe_rule import (
    TARGET_COUNTS,
    TARGET_FRACTIONS,
    at_target,
    best_rule,
    best_steepness,
    free_power,
    met_targets,
    spread_about,
)
from benchmarks.recipe_runs import DESIGNS, LENGTHS, REFERENCE_STEPS, kept_runs, train_missing
from sweeper.search.alpha_rule import REFERENCE_WIDTH


def main() -> int:
    """Trains what is missing, prints the tables; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=list(DESIGNS))
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.report_only:
        for name in options.architectures:
            train_missing(DESIGNS[name])
    runs = kept_runs()
    body = f"{_clipping(runs)}\n\n{_neighbours(runs)}\n\n{_constants(runs)}"
    print(f"\n{body}\n\nwritten to {write_result('recipe', 'The recipe and its alpha', body)}")
    return 0


def _clipping(runs: pd.DataFrame) -> str:
    rows: list[list[str]] = []
    at_recipe = runs[(runs.latent_dim == 1024) & (runs.total_steps == REFERENCE_STEPS)]
    for architecture, group in at_recipe.groupby("architecture"):
        for fraction in TARGET_FRACTIONS:
            target = fraction * 1024
            with_clip = at_target(group[group.gradient_clip.notna()], target)
            without = at_target(group[group.gradient_clip.isna()], target)
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
        met = [at_target(group[group.total_steps == steps], 0.05 * 1024) for steps in LENGTHS]
        for steps, longer, one, two in zip(LENGTHS, LENGTHS[1:], met, met[1:], strict=False):
            if one is not None and two is not None:
                exponent = math.log(two[0] / one[0]) / math.log(longer / steps)
                rows.append([str(architecture), f"{steps} to {longer}", f"{exponent:.2f}"])
    header = ["architecture", "steps", "alpha's exponent"]
    return f"Width {REFERENCE_WIDTH}, L0 51.2:\n\n{table(header, rows)}"


def _constants(runs: pd.DataFrame) -> str:
    rows: list[list[str]] = []
    for architecture, group in runs[runs.gradient_clip.notna()].groupby("architecture"):
        shortest = DESIGNS[str(architecture)].steepness_from
        steepness, steepness_sd = best_steepness(group[group.total_steps >= shortest])
        met = met_targets(group[group.total_steps >= REFERENCE_STEPS])
        rule = best_rule(met, steepness)
        free, spread = free_power(met, rule)
        numbers = (
            rule.elasticity,
            rule.flattening,
            rule.flattening_width_power,
            rule.steepening,
            steepness_sd,
            rule.constant,
            rule.width_power,
            rule.budget_exponent,
        )
        rows.append(
            [
                str(architecture),
                *(f"{number:.3f}" for number in numbers),
                *(f"{rule.budget_decay:.2f}", f"{spread_about(met, rule):.3f}", str(len(met))),
                *(f"{1 / rule.elasticity:.3f}", f"{free:.3f}", f"{spread:.3f}"),
            ]
        )
    header = [
        *("architecture", "elasticity", "flattening", "by width", "steepening", "sd of its ln"),
        *("constant", "width", "budget", "decay", "sd of ln alpha", "points"),
        *("target: 1 / elasticity", "target, left free", "sd of ln alpha then"),
    ]
    return (
        "The constants of `sweeper.search.alpha_rule`: elasticity and flattening from "
        "neighbouring alphas of all runs (steepening: of those of "
        f"{REFERENCE_STEPS} steps on), the others, from runs of "
        f"{REFERENCE_STEPS} steps on (of 300 the warm-ups take 200), by the alphas that give "
        f"{', '.join(map(str, TARGET_COUNTS))} latents and "
        f"{', '.join(f'{fraction:.0%}' for fraction in TARGET_FRACTIONS)} of them:\n\n"
        f"{table(header, rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
