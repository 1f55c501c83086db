"""How often the 95 % intervals of alpha hold the truth on a curve with a plateau.

    python -m benchmarks.plateau_coverage --studies 300 --seed 0

Two populations of latents die at alphas a factor of 25 apart, so that ln L0 bends both ways within
a few factors of alpha: L0 = 900 exp(-(a / 0.12)^0.9) + 60 exp(-(a / 3)^1.5). One width, three
alphas around the target at one spacing, 3 % noise.
"""

import argparse

import numpy as np

from analysis.bracketing import LocalCell
from analysis.local import fit_local
from benchmarks.simulated_studies import NOISE, Array

TARGETS = (150.0, 90.0, 64.0, 40.0)
SPACINGS = (1.5, 2.0, 3.0, 4.0)


def log_l0(log_alpha: Array) -> Array:
    """Ln L0 at ln alpha."""
    alpha = np.exp(log_alpha)
    first, second = np.exp(-((alpha / 0.12) ** 0.9)), np.exp(-((alpha / 3) ** 1.5))
    return np.log(900 * first + 60 * second)


def share_inside(target: float, spacing: float, studies: int, rng: np.random.Generator) -> float:
    """The share of studies whose interval holds ln alpha for the target."""
    grid = np.linspace(-6.0, 3.0, 100_001)
    star = float(np.interp(-np.log(target), -log_l0(grid), grid))
    inside = 0
    for _ in range(studies):
        cell = _cell(star, target, np.log(spacing), rng)
        inside += fit_local([cell]).log_alpha(0).contains(star)
    return inside / studies


def _cell(star: float, target: float, step: float, rng: np.random.Generator) -> LocalCell:
    """One width's runs, drawn again until they bracket the target."""
    while True:
        log_alpha = star + step * (rng.uniform(-0.9, 0.9) + np.array([-1.0, 0.0, 1.0]))
        noisy = log_l0(log_alpha) + NOISE * rng.normal(size=3)
        cell = LocalCell(latent_dim=1024, log_alpha=log_alpha, log_l0=noisy, target=target)
        if cell.bracketed:
            return cell


def main() -> None:
    """Prints one line a target, one column a spacing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"{'target':>6}  " + "".join(f"{f'x{spacing:g}':>7}" for spacing in SPACINGS))
    for target in TARGETS:
        shares = [share_inside(target, each, arguments.studies, rng) for each in SPACINGS]
        print(f"{target:6g}  " + "".join(f"{100 * share:6.1f}%" for share in shares))


if __name__ == "__main__":
    main()
