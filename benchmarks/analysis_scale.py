"""How long the analysis takes on a large study, and how much memory: each row a fresh process.

    OMP_NUM_THREADS=2 python -m benchmarks.analysis_scale

10,000 trials in 40 cells (ten widths by two learning rates by two numbers of steps) are loaded,
refitted and reported, imports included, from each kind of source; 100,000 are loaded. The trials
are simulated: ln L0 falls along a Hill curve that moves with width and budget, with 2 % noise, and
one in fifty is pruned. Tables of many layers with a few runs each, which are fitted apart, are
loaded and refitted (`--only-groups`: these alone). `import analysis` is timed beside
`import pandas` and scipy.optimize.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.records import empty_record

WIDTHS = tuple(int(width) for width in np.geomspace(256, 16384, 10).round())
RATES = (5e-4, 1e-3)
STEPS = (600, 1200)
TARGET = 64
PEERS = "import pandas, scipy.optimize"
LAYERS = ((300, (2.0,)), (60, (1.0, 2.0, 4.0)), (40, (0.5, 1.0, 2.0, 4.0, 8.0)))
SOURCES = ("parquet", "csv", "folder", "journal")


def simulated(trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Records of a study with every cell visited in turn."""
    rng = np.random.default_rng(seed)
    cells = [(width, rate, steps) for width in WIDTHS for rate in RATES for steps in STEPS]
    return [_record(number, *cells[number % len(cells)], rng) for number in range(trials)]


def _record(
    number: int, width: int, rate: float, steps: int, rng: np.random.Generator
) -> dict[str, Any]:
    star = 2.5 * (width / 1024) ** 0.2 * (rate * steps / 0.6) ** -0.45
    alpha = float(star * np.exp(rng.uniform(-1.5, 1.5)))
    share = 0.8 * (alpha / star) ** 1.6
    l0 = float(min(TARGET * 1.8 / (1 + share) * np.exp(0.02 * rng.normal()), width))
    pruned = number % 50 == 49
    known = {
        "trial": number, "cell": f"latent_dim={width}", "attempt": 1, "architecture": "standard",
        "state": "pruned" if pruned else "complete", "penalty": "l1", "latent_dim": width,
        "d_in": 384, "l1_alpha": alpha, "alpha_canonical": alpha, "alpha_mode": "fixed",
        "target_l0": TARGET, "predicted_l0": float(l0 * np.exp(0.05 * rng.normal())),
        "predicted_l0_sd": 0.05, "l0": l0, "l0_fraction": l0 / width, "converged": True,
        "l0_log_error": float(np.log(l0 / TARGET)), "in_band": abs(np.log(l0 / TARGET)) < 0.05,
        "fvu": float(0.2 + 0.05 * np.log1p(alpha)), "dead_fraction": float(rng.uniform(0, 0.2)),
        "learning_rate": rate, "batch_size": 512, "total_steps": steps, "steps_done": steps,
        "tokens": 512 * steps, "seed": int(rng.integers(3)), "activations": "demo",
        "objective": "canonical", "device": "cpu", "wall_s": float(rng.uniform(5, 9)),
        "verdict": "success", "dir": f"trial_{number:05d}",
    }  # fmt: skip
    return empty_record() | known | {"in_band": bool(known["in_band"])}


def write_sources(records: list[dict[str, Any]], folder: Path) -> dict[str, str]:
    """The same trials in every form; returns what `load_trials` is given for each."""
    table = pd.DataFrame(records)
    table.to_parquet(folder / "trials.parquet", index=False)
    table.to_csv(folder / "trials.csv", index=False)
    _write_folder(records, folder / "study")
    _write_journal(records, folder / "study.journal")
    return {
        "parquet": str(folder / "trials.parquet"),
        "csv": str(folder / "trials.csv"),
        "folder": str(folder / "study"),
        "journal": str(folder / "study.journal"),
    }


def _write_folder(records: list[dict[str, Any]], study: Path) -> None:
    for record in records:
        directory = study / record["dir"]
        directory.mkdir(parents=True)
        (directory / "result.json").write_text(json.dumps(record))


def _write_journal(records: list[dict[str, Any]], journal: Path) -> None:
    """As the sweeper does: one study per cell, each trial with its number and its record."""
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    cells = sorted({record["cell"] for record in records})
    studies = {
        cell: optuna.create_study(storage=storage, study_name=f"scale/{cell}") for cell in cells
    }
    for record in records:
        is_complete = record["state"] == "complete"
        trial = create_trial(
            state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
            value=abs(record["l0_log_error"]) if is_complete else None,
            params={"l1_alpha": record["l1_alpha"]},
            distributions={"l1_alpha": FloatDistribution(1e-3, 1e3, log=True)},
            user_attrs={"seed": record["seed"], "number": record["trial"], "record": record},
        )
        studies[record["cell"]].add_trial(trial)


def of_layers(layers: int, alphas: Sequence[float], seed: int = 0) -> pd.DataFrame:
    """Anybody's table of one width at several layers."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "latent_dim": 512,
            "l1_alpha": alpha,
            "l0": 154 / (1 + alpha * (1 + 0.01 * layer)) ** 1.3 * np.exp(0.03 * rng.normal()),
            "layer": layer,
            "seed": 0,
        }
        for layer in range(layers)
        for alpha in alphas
    )


def work(kind: str, source: str, output: str) -> None:
    """What one fresh process does; prints nothing."""
    import analysis

    table = analysis.load_trials(source)
    if kind == "load":
        return
    fit = analysis.refit(table, target_l0=TARGET)
    if kind == "refit":
        return
    from analysis.report import write_report

    write_report(table, fit, Path(output), title="scale")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a fresh process, its start and imports included."""

    wall_s: float
    cpu_s: float
    megabytes: float


def measured(kind: str, source: str, output: Path) -> Cost:
    """What one fresh process costs."""
    code = (
        f"from benchmarks.analysis_scale import work; work({kind!r}, {source!r}, {str(output)!r})"
        "\nfrom benchmarks.process_memory import process_bytes"
        "\nprint(process_bytes('VmHWM') / 2**20)"
    )
    before, started = _children_cpu(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Cost(
        wall_s=time.perf_counter() - started,
        cpu_s=_children_cpu() - before,
        megabytes=float(done.stdout.split()[-1]),
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def import_times(repeats: int) -> tuple[float, float]:
    """Least seconds of a process that imports analysis with its fits, and of one with the peers.

    Alternately, so that a busy machine slows both.
    """
    ours = "import analysis; analysis.load_trials; analysis.refit; analysis.Law"
    times: dict[str, list[float]] = {ours: [], PEERS: []}
    for _ in range(repeats):
        for code, found in times.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found.append(time.perf_counter() - started)
    return min(times[ours]), min(times[PEERS])


def print_row(name: str, cost: Cost, remark: str = "") -> None:
    """One line of the table."""
    line = f"{name:<52}{cost.wall_s:>7.1f}{cost.cpu_s:>7.1f}{cost.megabytes:>7.0f}  {remark}"
    print(line.rstrip(), flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--load", type=int, default=100_000, help="trials that are only loaded")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--only-groups", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'':<52}{'wall s':>7}{'CPU s':>7}{'MB':>7}")
        for layers, alphas in LAYERS:
            path = folder / "layers.csv"
            of_layers(layers, alphas).to_csv(path, index=False)
            label = f"{layers} groups of {len(alphas)} runs: load, refit: csv"
            print_row(label, measured("refit", str(path), path))
        if arguments.only_groups:
            return
        sources = write_sources(simulated(arguments.trials), folder)
        for kind in arguments.sources:
            output = folder / f"report_{kind}"
            cost = measured("report", sources[kind], output)
            size = (output / "index.html").stat().st_size / 1e6
            label = f"{arguments.trials} trials, 40 cells: load, refit, report: {kind}"
            print_row(label, cost, f"page {size:.1f} MB")
        table = pd.DataFrame(simulated(arguments.load))
        writers: dict[str, Callable[[Path], None]] = {
            "parquet": lambda path: table.to_parquet(path, index=False),
            "csv": lambda path: table.to_csv(path, index=False),
        }
        for kind, write in writers.items():
            path = folder / f"large.{kind}"
            write(path)
            print_row(f"{arguments.load} trials: load: {kind}", measured("load", str(path), path))
    ours, peers = import_times(5)
    print(f"import analysis {ours:.2f} s, {PEERS} {peers:.2f} s: {ours / peers:.2f} times")


if __name__ == "__main__":
    main()
