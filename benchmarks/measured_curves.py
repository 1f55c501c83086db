"""What the analysis says about measured curves, beside what the files themselves say.

    python -m benchmarks.measured_curves

Prints the exponents in width and in the training budget next to log-log interpolation between the
neighbouring runs, a prediction from short runs next to the long run, which form the public
SAELens curve selects, and whether report, law and tables come out the same twice.
"""

import hashlib
import math
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

import analysis
from analysis.bracketing import LocalCell, secant
from analysis.budget import study_surface
from analysis.exponent import pairwise_exponents
from analysis.report import write_report

DATA = Path(__file__).parents[1] / "tests/data"
CURVES = DATA / "l0_curves_minilm_layer3.csv"
BUDGETS = DATA / "l0_budget_minilm_layer3.csv"
SAELENS = DATA / "l0_curve_saelens_719.csv"


def interpolated(runs: pd.DataFrame, latent_dim: int, target: float) -> float | None:
    """Ln alpha on the straight line in log-log through the runs next to the target."""
    cell = LocalCell(
        latent_dim=latent_dim,
        log_alpha=np.log(runs["alpha_canonical"].to_numpy(dtype=np.float64)),
        log_l0=np.log(runs["l0"].to_numpy(dtype=np.float64)),
        target=target,
    )
    return secant(cell) if cell.bracketed else None


def print_widths(trials: pd.DataFrame) -> None:
    """Exponents in width for 5 % of the latents and for 32 of them."""
    for target in (0.05, 32):
        fit = analysis.refit(trials, target_l0=target)
        found: dict[int, float] = {}
        for width, runs in trials.groupby("latent_dim"):
            latent_dim = int(str(width))
            count = target * latent_dim if target < 1 else target
            log_alpha = interpolated(runs, latent_dim, count)
            if log_alpha is not None:
                found[latent_dim] = log_alpha
        pairs = pairwise_exponents(list(found), list(found.values()))
        listed = ", ".join(f"{value:+.2f}" for _, _, value in pairs)
        if fit.exponent is not None:
            beta = fit.exponent.beta
            print(
                f"width exponent at {target:g}: {beta.value:+.3f} "
                f"[{beta.low:+.3f}, {beta.high:+.3f}]; between neighbouring widths {listed}"
            )


def print_budgets(trials: pd.DataFrame) -> None:
    """Exponents in steps between bracketed neighbours at width 1024, and a prediction."""
    surface = study_surface(trials)
    for target in (32.0, 51.2):
        pairs = [steps for width, steps in surface.bracketed_pairs(target) if width == 1024]
        for fewer, more in pairwise(pairs):
            ends = [
                interpolated(
                    trials[(trials["latent_dim"] == 1024) & (trials["total_steps"] == steps)],
                    1024,
                    target,
                )
                for steps in (fewer, more)
            ]
            if ends[0] is None or ends[1] is None:
                continue
            slope = (ends[1] - ends[0]) / math.log(more / fewer)
            by = surface.alpha_for(1024, target, math.sqrt(fewer * more)).budget_exponent
            if by is not None:
                print(
                    f"steps exponent at {target:g}, {fewer:g} to {more:g} steps: "
                    f"runs {slope:+.2f}, fit {by.value:+.2f} [{by.low:+.2f}, {by.high:+.2f}], "
                    f"{'inside' if by.contains(slope) else 'OUTSIDE'}"
                )
    short = trials[trials["total_steps"] <= 1200]
    answer = analysis.predict(short, latent_dim=1024, target_l0=29.9, total_steps=4800)
    print(
        f"alpha for 29.9 at 4,800 steps from 1,200 and fewer: {answer.alpha:.3f} "
        f"[{answer.low:.3f}, {answer.high:.3f}]; measured 1.5 ({answer.alpha / 1.5 - 1:+.1%})"
    )


def print_forms() -> None:
    """Which form the public curve selects."""
    trials = analysis.load_trials(SAELENS)
    found = analysis.compare_forms(trials["l1_alpha"].to_numpy(), trials["l0"].to_numpy())
    print(f"SAELens 719: leave-one-out {found.choice}, AICc at 3 % {found.by_stated_noise}")
    print(f"SAELens 719: {'; '.join(found.notes)}")


def digest(folder: Path) -> str:
    """SHA-256 over report, law and tables."""
    trials = analysis.load_trials(CURVES)
    fit = analysis.refit(trials, target_l0=0.05)
    write_report(trials, fit, folder, title="same")
    analysis.Law.from_refit(fit).save(folder / "law.json")
    found = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        found.update(path.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Prints the lines."""
    print_widths(analysis.load_trials(CURVES))
    print_budgets(analysis.load_trials(BUDGETS))
    print_forms()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        same = digest(Path(one)) == digest(Path(other))
    print(f"report, law and tables twice: {'the same bytes' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
