"""Does training with bf16 products end where fp32 does?

python -m benchmarks.precision --minutes 4      again and again, until it says that all is done

Real activations (all-MiniLM-L6-v2, layer 3), every architecture, the same alpha and seeds in both
precisions; L0 and fvu are held-out, in fp32, from the saved weights, and means of the seeds.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from benchmarks.demo import HELD_OUT_TOKENS, demo_store
from benchmarks.markdown import table, write_result
from benchmarks.piecewise import UNFINISHED, OutOfTimeError, Piecewise
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest

LAYER, WIDTH, TARGET = 3, 1024, 32.0
ALPHAS = {Architecture.standard: 2.5, Architecture.gated: 4.0, Architecture.jumprelu: 0.8}
LIMITS = {Architecture.standard: 0.005}
OTHER_LIMIT = 0.01
PRECISIONS = (Precision.fp32, Precision.bf16)


def main() -> int:
    """Runs what is not yet run; returns the exit status."""
    options = _options(sys.argv[1:])
    store, work = demo_store(LAYER), Piecewise("precision", options.minutes)
    found: dict[tuple[str, Precision], list[dict[str, Any]]] = {}
    try:
        for name in options.architectures:
            for seed in range(options.seeds):
                for precision in PRECISIONS:
                    request = _request(Architecture(name), precision, seed, options)
                    key = (
                        f"{name} {precision.value} {options.steps}x{options.batch_size}, "
                        f"seed {seed}"
                    )
                    row = work.train(key, request, store)
                    found.setdefault((name, precision), []).append(row)
    except OutOfTimeError:
        print("there is more to do: the same command goes on")
        return UNFINISHED
    rows, is_good = _rows(options.architectures, found)
    header = ["architecture", "L0 in fp32", "in bf16", "apart", "fvu in fp32", "in bf16", "apart"]
    body = (
        f"Width {WIDTH}, {options.steps} steps of {options.batch_size} tokens, "
        f"{options.seeds} seeds.\n\n{table([*header, 'within'], rows)}"
    )
    print(f"{body}\n\nwritten to {write_result('precision', 'bf16 against fp32', body)}")
    return 0 if is_good else 1


def _request(
    architecture: Architecture, precision: Precision, seed: int, options: argparse.Namespace
) -> TrainingRequest:
    return TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=WIDTH),
        trainer=TrainerConfig(
            total_steps=options.steps,
            batch_size=options.batch_size,
            precision=precision,
            held_out_tokens=HELD_OUT_TOKENS,
        ),
        alpha_canonical=ALPHAS.get(architecture, 0.0),
        target_l0_count=TARGET,
        seed=seed,
        device="cpu",
    )


def _rows(
    names: Sequence[str], found: dict[tuple[str, Precision], list[dict[str, Any]]]
) -> tuple[list[list[str]], bool]:
    rows: list[list[str]] = []
    is_good = True
    for name in names:
        limit = LIMITS.get(Architecture(name), OTHER_LIMIT)
        cells: list[str] = []
        within = True
        for measure in ("l0", "fvu"):
            exact, rough = (
                fmean(row[measure] for row in found[name, precision]) for precision in PRECISIONS
            )
            apart = rough / exact - 1
            within = within and abs(apart) <= limit
            cells += [f"{exact:.4g}", f"{rough:.4g}", f"{100 * apart:+.2f} %"]
        is_good = is_good and within
        rows.append([name, *cells, f"{100 * limit:g} %: {'yes' if within else 'NO'}"])
    return rows, is_good


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this piece after")
    names = [architecture.value for architecture in Architecture]
    parser.add_argument("--architectures", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=512)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
