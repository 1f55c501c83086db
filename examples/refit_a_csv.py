"""Which alpha gives the target L0? From anybody's CSV with latent_dim, l1_alpha and l0.

python examples/refit_a_csv.py [CSV] [target]
"""

import sys
from pathlib import Path

import analysis

MEASURED = Path(__file__).parents[1] / "tests/data/l0_curves_minilm_layer3.csv"


def main(path: str | Path = MEASURED, target_l0: float = 0.05) -> None:
    """Prints alpha for every width, its exponent in width, and what may not be said."""
    fit = analysis.refit(analysis.load_trials(path), target_l0=target_l0)
    for width in fit.widths:
        if width.alpha_star is None:
            known = "no alpha" if width.point is None else f"alpha {width.point:.3g}, no interval"
            print(f"width {width.latent_dim}: {known}: {width.reason}")
            continue
        star, choice = width.alpha_star, width.form_choice
        print(
            f"width {width.latent_dim}: alpha {star.value:.3g} "
            f"[{star.low:.3g}, {star.high:.3g}], best global form: {choice}"
        )
    if fit.exponent is None:
        print(f"no exponent: {fit.exponent_reason}")
    else:
        beta = fit.exponent.beta
        print(f"alpha goes as width^{beta.value:.2f} [{beta.low:.2f}, {beta.high:.2f}]")
    print(
        f"status: {fit.status}" + (f", for want of: {'; '.join(fit.missing)}" * bool(fit.missing))
    )
    for suggestion in fit.suggestions:
        print(f"run next: width {suggestion.latent_dim}, alpha {suggestion.l1_alpha}")
    for note in fit.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    source = sys.argv[1] if len(sys.argv) > 1 else MEASURED
    main(source, float(sys.argv[2]) if len(sys.argv) > 2 else 0.05)
