"""Do three studies need the same alpha? Here: the same SAEs after 300, 600 and 1,200 steps.

python examples/compare_three_studies.py
"""

from pathlib import Path

import analysis
from analysis.differences import study_differences

MEASURED = Path(__file__).parents[1] / "tests/data/l0_budget_minilm_layer3.csv"


def main() -> None:
    """Prints the ratio of alphas for every two studies, with its interval."""
    trials = analysis.load_trials(MEASURED)
    studies = {
        f"{steps} steps": trials[trials["total_steps"] == steps] for steps in (300, 600, 1200)
    }
    for difference in study_differences(studies, target_l0=0.05).alphas:
        ratio = difference.ratio
        verdict = "agree" if difference.agree else "differ"
        print(
            f"width {difference.latent_dim}: alpha of {difference.second} is {ratio.value:.2f} "
            f"[{ratio.low:.2f}, {ratio.high:.2f}] times that of {difference.first}: they {verdict}"
        )


if __name__ == "__main__":
    main()
