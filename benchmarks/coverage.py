"""How often the 95 % intervals hold the truth, and how wide they are next to knowing the form.

    python -m benchmarks.coverage --studies 1000 --seed 0

Every study is fitted by what `analysis.refit` uses (the local fit and the exponent's line) and by
the form that made it: nonlinear least squares with alpha of every width free, the shape shared or
with a trend in ln width as in the truth, Student's t on the residual degrees of freedom; for the
exponent, ordinary least squares of its four ln alpha on ln width with t at 2 degrees of freedom.
The truth's form is known to the latter alone, noise and scatter to neither.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from analysis.curves.solver import least_squares
from analysis.exponent import fit_exponent
from analysis.local import fit_local
from benchmarks.simulated_studies import (
    ALL_FORMS,
    LOG_WIDTH,
    TARGET,
    WIDTHS,
    Array,
    Design,
    Study,
    model,
    simulate,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One study's intervals: whether they hold the truth, and their widths."""

    design: Design
    alpha_inside: Array
    alpha_width: Array
    own_alpha_width: Array
    beta_inside: bool
    beta_width: float
    own_beta_width: float


def own_fit(study: Study) -> tuple[Array, float]:
    """Widths of the 95 % intervals of the true form's own fit: ln alpha* [widths], exponent."""
    widths, shapes = len(WIDTHS), len(study.shape)
    changing = study.design.changing

    def unpack(theta: Array) -> tuple[Array, Array, Array]:
        rest = theta[widths + shapes :] if changing else np.zeros(shapes)
        return theta[:widths], np.exp(theta[widths : widths + shapes]), rest

    def predict(theta: Array) -> Array:
        star, shape, change = unpack(theta)
        return model(study.design.form, shape, change, study.log_alpha - star[:, None]).ravel()

    def batched(thetas: Array) -> tuple[Array, Array]:
        steps = 1e-6 * np.eye(thetas.shape[1])
        values = np.array([predict(theta) for theta in thetas])
        slopes = [
            [(predict(theta + step) - predict(theta - step)) / 2e-6 for step in steps]
            for theta in thetas
        ]
        return values, np.moveaxis(np.array(slopes), 1, 2)

    truth = np.concatenate([study.log_alpha_star, np.log(study.shape)])
    start = np.concatenate([truth, study.change]) if changing else truth
    observed = study.log_l0.ravel()
    theta, rss = least_squares(batched, observed, start[None], iterations=30)
    jacobian = batched(theta)[1][0]
    dof = len(observed) - len(start)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * float(rss[0]) / dof
    t = float(stats.t.ppf(0.975, dof))
    alpha_width = 2 * t * np.sqrt(np.diag(covariance)[:widths])
    line = np.polyfit(LOG_WIDTH, theta[0, :widths], 1)
    residual = theta[0, :widths] - np.polyval(line, LOG_WIDTH)
    spread = np.sqrt(residual @ residual / 2 / np.sum((LOG_WIDTH - LOG_WIDTH.mean()) ** 2))
    return alpha_width, float(2 * stats.t.ppf(0.975, 2) * spread)


def run(study: Study) -> Outcome:
    """Fits one study both ways."""
    local = fit_local(study.cells())
    beta = fit_exponent(local).beta
    alphas = [local.log_alpha(index) for index in range(len(WIDTHS))]
    own_alpha, own_beta = own_fit(study)
    return Outcome(
        design=study.design,
        alpha_inside=np.array(
            [
                alpha.contains(float(star))
                for alpha, star in zip(alphas, study.log_alpha_star, strict=True)
            ]
        ),
        alpha_width=np.array([alpha.high - alpha.low for alpha in alphas]),
        own_alpha_width=own_alpha,
        beta_inside=beta.contains(study.beta),
        beta_width=beta.high - beta.low,
        own_beta_width=own_beta,
    )


def designs(form: str) -> list[Design]:
    """The eight designs of one form."""
    return [
        Design(form=form, spacing=spacing, scatter=scatter, changing=changing)
        for spacing, scatter, changing in product((1.5, 3.0), (0.0, 0.05), (False, True))
    ]


def row(name: str, outcomes: Iterable[Outcome]) -> str:
    """One line of the table: coverage and width against the own fit's."""
    listed = list(outcomes)
    alpha = np.mean([outcome.alpha_inside for outcome in listed])
    beta = np.mean([outcome.beta_inside for outcome in listed])
    alpha_width = np.median([outcome.alpha_width for outcome in listed])
    own_alpha = np.median([outcome.own_alpha_width for outcome in listed])
    beta_width = np.median([outcome.beta_width for outcome in listed])
    own_beta = np.median([outcome.own_beta_width for outcome in listed])
    return (
        f"{name:<34}{len(listed):>7}{100 * alpha:>9.1f}{alpha_width:>9.3f}"
        f"{alpha_width / own_alpha:>7.2f}{100 * beta:>10.1f}{beta_width:>9.3f}"
        f"{beta_width / own_beta:>7.2f}"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=1000, help="per true form")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forms", nargs="+", choices=ALL_FORMS, default=list(ALL_FORMS))
    parser.add_argument("--by-design", action="store_true", help="one line per design as well")
    arguments = parser.parse_args()
    started = time.perf_counter()
    print(f"target {TARGET:g}, widths {', '.join(map(str, WIDTHS))}, seed {arguments.seed}")
    print(
        f"{'true form':<34}{'studies':>7}{'alpha %':>9}{'width':>9}{'ratio':>7}"
        f"{'expon. %':>10}{'width':>9}{'ratio':>7}"
    )
    everything: list[Outcome] = []
    for form in arguments.forms:
        rng = np.random.default_rng([arguments.seed, ALL_FORMS.index(form)])
        plans = designs(form)
        outcomes = [
            run(simulate(plans[number % len(plans)], rng)) for number in range(arguments.studies)
        ]
        everything += outcomes
        print(row(form, outcomes), flush=True)
        for plan in plans if arguments.by_design else []:
            shape = "changing" if plan.changing else "shared"
            name = f"  x{plan.spacing:g} scatter {plan.scatter:g} {shape}"
            print(row(name, [each for each in outcomes if each.design == plan]))
    print(row("all", everything))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
