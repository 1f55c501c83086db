"""Which alpha for a width that nobody has trained yet? Here checked against runs held back.

python examples/predict_a_new_width.py
"""

import math
from pathlib import Path

import analysis

MEASURED = Path(__file__).parents[1] / "tests/data/l0_curves_minilm_layer3.csv"
NEW_WIDTH, TARGET = 4096, 0.05


def main() -> None:
    """Prints the law's prediction and what the held-back runs say."""
    trials = analysis.load_trials(MEASURED)
    known = analysis.refit(trials[trials["latent_dim"] < NEW_WIDTH], target_l0=TARGET)
    mean, sd = analysis.Law.from_refit(known).alpha_for(NEW_WIDTH, TARGET)
    low, high = math.exp(mean - 1.96 * sd), math.exp(mean + 1.96 * sd)
    print(
        f"predicted from widths {', '.join(str(width.latent_dim) for width in known.widths)}: "
        f"alpha {math.exp(mean):.2f} [{low:.2f}, {high:.2f}] ({known.status})"
    )
    measured = analysis.refit(trials, target_l0=TARGET).width(NEW_WIDTH)
    if measured is not None and measured.alpha_star is not None:
        star = measured.alpha_star
        print(f"measured there: alpha {star.value:.2f} [{star.low:.2f}, {star.high:.2f}]")


if __name__ == "__main__":
    main()
