"""Is the memory that `sae.cost` predicts what a run really takes?

python -m benchmarks.cost

Each run is a process of its own on synthetic activations of the demo's size, whose peak resident
memory above what it had before training is held against the prediction. Results go to
benchmarks/results/cost.md. Exit status 1 where a prediction is off by more than 20 %.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.markdown import table, write_result
from benchmarks.process_memory import process_bytes
from sae.activations import ActivationsConfig, open_activations
from sae.activations.config import ActivationSource, SyntheticConfig
from sae.architectures.config import Architecture, SaeConfig
from sae.cost import measure_cost
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest, train

LIMIT = 0.20
"""How far a prediction may be off."""
STEPS = 60


def main() -> int:
    """Runs every size, or as a child one; returns the exit status."""
    options = _options(sys.argv[1:])
    if options.child:
        print(json.dumps(_run(*json.loads(options.child))))
        return 0
    rows: list[list[str]] = []
    worst = 0.0
    for architecture in options.architectures:
        for width in options.widths:
            for precision in options.precisions:
                found = _in_a_process([architecture, width, precision, options.d_in])
                error = found["predicted"] / found["measured"] - 1
                worst = max(worst, abs(error))
                rows.append(
                    [
                        *(architecture, str(width), precision),
                        *(f"{found[key] / 2**20:.0f}" for key in ("measured", "predicted")),
                        f"{error:+.0%}",
                        *(f"{found[key]:.2f}" for key in ("seconds", "estimated")),
                    ]
                )
                print(", ".join(rows[-1]), flush=True)
    header = ["architecture", "width", "precision", "measured MiB", "predicted MiB", "error"]
    body = (
        f"d_in {options.d_in}, batch 512, {STEPS} steps. Seconds are those of the whole run and "
        "the estimate from a few steps before it.\n\n"
        + table([*header, "seconds", "estimated"], rows)
        + f"\n\nWorst error of memory: {worst:.0%} (at most {LIMIT:.0%})."
    )
    print(f"\n{body}\n\nwritten to {write_result('cost', 'Memory and time of a run', body)}")
    return 0 if worst <= LIMIT else 1


def _in_a_process(arguments: Sequence[object]) -> dict[str, float]:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost", "--child", json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


def _run(architecture: str, width: int, precision: str, d_in: int) -> dict[str, float]:
    synthetic = SyntheticConfig(d_in=d_in, n_tokens=30_000, held_out_tokens=5_000)
    store = open_activations(
        ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
    )
    # Its product is done once before, so that the library's own buffers are not counted.
    sae = SaeConfig(architecture=Architecture(architecture), latent_dim=width)
    small = SaeConfig(architecture=sae.architecture, latent_dim=64)
    trainer = TrainerConfig(total_steps=STEPS, precision=Precision(precision))
    alpha = 0.0 if sae.architecture.sets_l0 else 1.0
    with TemporaryDirectory() as folder:
        train(_request(small, trainer, alpha), store, Path(folder))
    before = process_bytes("VmRSS")
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        train(_request(sae, trainer, alpha), store, Path(folder))
    seconds = time.monotonic() - started
    peak = process_bytes("VmHWM")
    cost = measure_cost(_request(sae, trainer, alpha), store)
    return {
        "measured": peak - before,
        "predicted": cost.memory.peak,
        "seconds": seconds,
        "estimated": cost.seconds,
    }


def _request(sae: SaeConfig, trainer: TrainerConfig, alpha: float) -> TrainingRequest:
    return TrainingRequest(
        sae=sae, trainer=trainer, alpha_canonical=alpha, target_l0_count=32.0, device="cpu"
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=[str(each) for each in Architecture])
    parser.add_argument("--widths", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--d-in", type=int, default=384)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
