"""How often noise alone costs a width its interval, and how often the others hold the truth.

    python -m benchmarks.noisy_coverage --studies 400 --seed 0

One width on one falling curve, L0 = 300 / (1 + alpha)^1.3, runs at random alphas between 0.5 and 8
around the target. Refused is a study whose L0 is said to fall through the target at two places. Of
a curve that does so, with L0 twice as large from alpha 4 on, the last column has the share that is
seen: few runs at random leave the leap out.
"""

import argparse
import math
from dataclasses import dataclass

import numpy as np

from analysis.bracketing import LocalCell, torn
from analysis.local import fit_local
from benchmarks.simulated_studies import Array

TARGET = 50.0
LOG_STAR = math.log((300 / TARGET) ** (1 / 1.3) - 1)
NOISES = (0.03, 0.05, 0.1)
RUNS = (10, 20, 60, 300, 1000)
LEAP_AT, LEAP = math.log(4.0), math.log(2.0)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of the studies of one noise and number of runs."""

    refused: float
    inside: float
    seen: float


def log_l0(log_alpha: Array) -> Array:
    """Ln L0 at ln alpha."""
    return math.log(300) - 1.3 * np.log1p(np.exp(log_alpha))


def shares(noise: float, runs: int, studies: int, rng: np.random.Generator) -> Shares:
    """What becomes of so many studies."""
    refused = inside = seen = 0
    for _ in range(studies):
        cell = _cell(noise, runs, rng, leap=0.0)
        seen += torn(_cell(noise, runs, rng, leap=LEAP)) is not None
        if torn(cell) is not None:
            refused += 1
        else:
            inside += fit_local([cell]).log_alpha(0).contains(LOG_STAR)
    return Shares(
        refused=refused / studies, inside=inside / (studies - refused), seen=seen / studies
    )


def _cell(noise: float, runs: int, rng: np.random.Generator, *, leap: float) -> LocalCell:
    """One width's runs, drawn again until they bracket the target."""
    while True:
        log_alpha = np.sort(rng.uniform(math.log(0.5), math.log(8), runs))
        noisy = log_l0(log_alpha) + noise * rng.normal(size=runs) + leap * (log_alpha > LEAP_AT)
        cell = LocalCell(latent_dim=1000, log_alpha=log_alpha, log_l0=noisy, target=TARGET)
        if cell.bracketed:
            return cell


def main() -> None:
    """Prints one line for every noise and number of runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"{'noise':>5}{'runs':>6}{'refused %':>11}{'inside %':>10}{'leaps seen %':>14}")
    for noise in NOISES:
        for runs in RUNS:
            found = shares(noise, runs, arguments.studies, rng)
            print(
                f"{noise:>5g}{runs:>6}{100 * found.refused:>11.1f}{100 * found.inside:>10.1f}"
                f"{100 * found.seen:>14.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
