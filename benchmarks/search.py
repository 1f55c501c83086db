"""Trials until L0 is within 5 % of the target, on curves whose root is known.

    python -m benchmarks.search                              # everything: many hours
    python -m benchmarks.search --methods ours --minutes 5   # again and again, until all is done

Every method gets the same interval (two decades either way of the prior) and the same first trial
(the prior); L0 is read with 3 % noise; a search that has not landed after 60 trials counts 60.
The prior is wrong by exactly ten times, too high and too low; then right within a factor of 1.5.

With an interval of two decades either way, a root exactly one decade off is the middle of the
half that bisection looks at second: it is hit by construction. So a further line moves the root to
a place drawn between 10^0.75 and 10^1.25 off, where nobody is helped by that coincidence.

What is done is kept in the cache, method by method and seed by seed, and every call prints the
tables of all that is kept of the present code; the number of seeds stands in each row. A seed's
noise is the same for every truth, so that standard errors are between seeds.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import log, log1p
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from benchmarks.markdown import table, write_result
from benchmarks.piecewise import CACHE, UNFINISHED, Piecewise
from benchmarks.search_bounds import curves_known
from benchmarks.search_methods import METHODS, Search, Task
from benchmarks.search_truths import Truth, all_truths
from sweeper.search.curve_model import Array

NOISE = 0.03
TOLERANCE = 0.05
FAILURE = 60
DECADES = 2
SEEDS = 200
GP_SEEDS = 20
CLAIM = "10 times off"
CURVES_KNOWN = "curves known"
NAMES = [*METHODS, CURVES_KNOWN]
SLOW = ("tpe", "gp", "random")
"""Methods that run in the claim's scenario only."""
CODE = Path(__file__).parent
SEARCH = CODE.parent / "sweeper" / "search"

Offset = Callable[[int], float]
SCENARIOS: dict[str, Sequence[Offset]] = {
    CLAIM: (lambda _: log(10), lambda _: -log(10)),
    "10^0.75 to 10^1.25 off": (
        lambda seed: log(10) * _uniform(seed, 0.75, 1.25),
        lambda seed: -log(10) * _uniform(seed, 0.75, 1.25),
    ),
    "within 1.5": (lambda seed: log(1.5) * _uniform(seed, -1.0, 1.0),),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """All truths under one method, scenario and seed."""

    method: str
    scenario: str
    seed: int
    truth_seed: int

    @property
    def key(self) -> str:
        """Of the row that is kept: another version of the code has other rows."""
        return f"{self.method}, {self.scenario}, seed {self.seed}, code {version_of(self.method)}"


def main() -> int:
    """Runs what the command line asks for, prints the tables and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"seeds of noise; gp: at most {GP_SEEDS}"
    )
    parser.add_argument("--truth-seed", type=int, default=0, help="seed of the 20 drawn truths")
    parser.add_argument("--methods", default=",".join(NAMES), help="names, by comma")
    parser.add_argument("--minutes", type=float, default=1e6, help="how long this call may take")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true", help="write results/search.md as well")
    options = parser.parse_args()
    unknown = set(options.methods.split(",")) - set(NAMES)
    if unknown:
        parser.error(f"--methods must be of {', '.join(NAMES)}, but got {', '.join(unknown)}.")
    work = Piecewise(f"search_{options.truth_seed}", options.minutes, kept_in=CACHE)
    jobs = [
        Job(method=method, scenario=scenario, seed=seed, truth_seed=options.truth_seed)
        for method in options.methods.split(",")
        for seed in range(min(options.seeds, GP_SEEDS) if method == "gp" else options.seeds)
        for scenario in SCENARIOS
        if method not in SLOW or scenario == CLAIM
    ]
    missing = [job for job in jobs if job.key not in work.rows]
    done = _run(missing, work, options.processes)
    text = report(kept_results(work, options.truth_seed), cached_truths(options.truth_seed))
    print(text)
    if options.write:
        print(f"\nwritten to {write_result('search', 'Trials to land', text)}")
    if done < len(missing):
        print(f"{done} of {len(missing)} jobs done; the same command goes on.")
        return UNFINISHED
    return 0


def _run(jobs: Sequence[Job], work: Piecewise, processes: int) -> int:
    """Keeps job after job until the time is up; returns how many it did."""
    with Pool(processes) as pool:
        for done, (job, trials) in enumerate(zip(jobs, pool.imap(run_job, jobs), strict=True)):
            work.add(job.key, {"trials": trials}, quiet=True)
            if work.is_over:
                return done + 1
    return len(jobs)


def run_job(job: Job) -> list[list[int]]:
    """Trials to land, [truths][offsets of the scenario]."""
    offsets = [offset(job.seed) for offset in SCENARIOS[job.scenario]]
    return [
        [trials_to_land(job.method, truth, offset, job.seed, job.truth_seed) for offset in offsets]
        for truth in cached_truths(job.truth_seed)
    ]


def trials_to_land(
    method: str, truth: Truth, offset: float, seed: int, truth_seed: int = 0
) -> int:
    """Runs one search; the noise of trial k depends on the seed and k alone."""
    noise = np.random.default_rng([seed, 1]).normal(0.0, NOISE, FAILURE)
    prior = truth.root + offset
    reach = DECADES * log(10)
    task = Task(
        latent_dim=truth.latent_dim,
        target=truth.target,
        prior=prior,
        bounds=(prior - reach, prior + reach),
        seed=seed,
        shape=lambda x: truth.ln_l0(x + truth.root) - log(truth.target),
        noise_sd=NOISE,
    )
    search = _search(method, task, truth_seed)
    ln_alpha = next(search)
    for trial in range(1, FAILURE):
        ln_l0 = truth.ln_l0(ln_alpha) + noise[trial - 1]
        if abs(ln_l0 - log(truth.target)) <= log1p(TOLERANCE):
            return trial
        ln_alpha = search.send(ln_l0)
    return FAILURE


def _search(method: str, task: Task, truth_seed: int) -> Search:
    if method == CURVES_KNOWN:
        return curves_known(task, cached_truths(truth_seed))
    return METHODS[method](task)


Results = dict[tuple[str, str], Array]
"""Trials to land by method and scenario, each [seeds, truths, offsets]."""


def kept_results(work: Piecewise, truth_seed: int) -> Results:
    """All that is kept of the present code."""
    found: Results = {}
    for method in NAMES:
        for scenario in SCENARIOS:
            jobs = (
                Job(method=method, scenario=scenario, seed=seed, truth_seed=truth_seed)
                for seed in range(SEEDS)
            )
            rows = [work.rows[job.key]["trials"] for job in jobs if job.key in work.rows]
            if rows:
                found[method, scenario] = np.array(rows, dtype=np.float64)
    return found


def report(results: Results, truths: Sequence[Truth]) -> str:
    """The tables, in Markdown."""
    header = (
        "method",
        "seeds",
        "mean",
        "standard error",
        "worst truth's mean",
        "95th percentile",
        "failures",
    )
    parts: list[str] = []
    for scenario in SCENARIOS:
        rows = [
            summary(method, results[method, scenario])
            for method in NAMES
            if (method, scenario) in results
        ]
        if rows:
            parts += [f"## Prior {scenario}", table(header, rows)]
    ours = [results["ours", scenario] for scenario in SCENARIOS if ("ours", scenario) in results]
    if len(ours) == len(SCENARIOS):
        parts += ["## Ours, truth by truth", _by_truth(ours, truths)]
    return "\n\n".join(parts)


def _by_truth(ours: Iterable[Array], truths: Sequence[Truth]) -> str:
    """Means of each truth, one column a scenario."""
    columns = [trials.mean(axis=(0, 2)) for trials in ours]
    rows = [
        (truth.name, *(f"{column[index]:.2f}" for column in columns))
        for index, truth in enumerate(truths)
    ]
    return table(("truth", *SCENARIOS), rows)


def summary(method: str, trials: Array) -> tuple[str, ...]:
    """One row; trials [seeds, truths, offsets]."""
    of_seed = trials.mean(axis=(1, 2))
    error = f"{of_seed.std(ddof=1) / len(of_seed) ** 0.5:.2f}" if len(of_seed) > 1 else ""
    return (
        method,
        str(len(of_seed)),
        f"{trials.mean():.2f}",
        error,
        f"{trials.mean(axis=(0, 2)).max():.2f}",
        f"{np.quantile(trials, 0.95):.0f}",
        f"{(trials == FAILURE).mean():.1%}",
    )


def _uniform(seed: int, low: float, high: float) -> float:
    return float(np.random.default_rng([seed, 2]).uniform(low, high))


@cache
def cached_truths(seed: int) -> list[Truth]:
    """All truths, their roots found once."""
    return all_truths(seed)


@cache
def version_of(method: str) -> str:
    """A digest of the code that a method's numbers rest on."""
    files = [CODE / "search_methods.py", CODE / "search_truths.py"]
    if method == "ours":
        files += sorted(SEARCH.glob("*.py"))
    if method == CURVES_KNOWN:
        files.append(CODE / "search_bounds.py")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


if __name__ == "__main__":
    sys.exit(main())
