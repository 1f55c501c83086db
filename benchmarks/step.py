"""How long a training step takes: ours, plain torch and the peers, in turns.

python -m benchmarks.step                     latent_dim 4096, alphas for about 5 % and 1 %
python -m benchmarks.step --latent-dim 16384 --steps 60 --peer-steps 30 --alpha 6

Standard SAE, real activations, d_in 384, batch 1024; everybody starts from the same weights and
takes the same batches, in blocks that alternate, so that a busy machine slows all alike. Ours is
the whole of `sae.training.train` with its checks, history and checkpoints; the peers' steps are
their trainers' without logging. Results go to
benchmarks/results/step_<latent_dim>.md, with --compile step_<latent_dim>_compiled.md. Exit status
1 where L0 or fvu of ours is not plain torch's.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from statistics import median

import torch

from benchmarks.demo import HELD_OUT_TOKENS, demo_store
from benchmarks.markdown import table, write_result
from benchmarks.peers import PeerRun
from benchmarks.step_contestants import Contestant, Ours, others
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.seeding import generator
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest
from sae.workspace import Workspace

BLOCK = 10
"""Steps that one contestant takes before the next has its turn."""
SEED = 0
L0_TOLERANCE, FVU_TOLERANCE = 0.02, 0.01
"""How far ours may end from the reference."""


def main() -> int:
    """Times everybody at every alpha; returns the exit status."""
    options = _options(sys.argv[1:])
    store = demo_store(options.layer)
    title = f"Step time, latent_dim {options.latent_dim}"
    name = f"step_{options.latent_dim}" + "_compiled" * options.compile
    parts: list[str] = []
    all_agree = True
    for alpha in options.alpha:
        part, agrees = _contest(store, options, alpha)
        parts.append(part)
        all_agree = all_agree and agrees
        path = write_result(name, title, "\n\n".join(parts))
        print(f"{part}\n\nwritten to {path}\n", flush=True)
    return 0 if all_agree else 1


def _contest(
    store: ActivationStore, options: argparse.Namespace, alpha: float
) -> tuple[str, bool]:
    """One alpha: a table, and whether ours ended where the reference did."""
    contestants = _contestants(store, options, alpha)
    peer_steps = options.peer_steps or options.steps
    seconds = _take_turns(contestants, options.steps, peer_steps)
    medians = [median(times[-options.last :]) for times in seconds]
    ends = [
        contestant.held_out(store)
        if isinstance(contestant, Ours) or peer_steps == options.steps
        else None
        for contestant in contestants
    ]
    rows = [
        [
            contestant.name,
            f"{1000 * time:.1f}",
            f"{time / medians[0]:.2f}",
            f"{options.batch_size / time:,.0f}",
            f"{end[0]:.2f}" if end else "",
            f"{end[1]:.4f}" if end else "",
        ]
        for contestant, time, end in zip(contestants, medians, ends, strict=True)
    ]
    reference = next((end for end in ends[2:] if end is not None), None)
    agrees = reference is None or all(_agree(end, reference) for end in ends[:2] if end)
    header = ["step of", "median ms", "times ours", "tokens/s", "L0", "fvu"]
    density = (ends[0] or (0.0,))[0] / options.latent_dim
    return (
        f"alpha {alpha:g} (L0 ends at {density:.1%}), batch {options.batch_size}, "
        f"{options.steps} steps, median of the last {options.last}"
        f"{'' if peer_steps == options.steps else f', peers only {peer_steps} steps'}:\n\n"
        f"{table(header, rows)}\n\nL0 within {L0_TOLERANCE:.0%} and fvu within "
        f"{FVU_TOLERANCE:.0%} of plain torch: "
        f"{'not compared' if reference is None else 'yes' if agrees else 'NO'}"
    ), agrees


def _contestants(
    store: ActivationStore, options: argparse.Namespace, alpha: float
) -> list[Contestant]:
    """Ours in both precisions, then the others, all from the same weights."""
    recipe = TrainerConfig(
        total_steps=options.steps, batch_size=options.batch_size, held_out_tokens=HELD_OUT_TOKENS
    )
    config = SaeConfig(latent_dim=options.latent_dim)
    batches = list(islice(store.train_batches(options.batch_size, SEED), options.steps))
    ours: list[Contestant] = []
    for precision in (Precision.auto, Precision.fp32):
        request = TrainingRequest(
            sae=config,
            trainer=replace(recipe, precision=precision),
            alpha_canonical=alpha,
            seed=SEED,
            device="cpu",
        )
        ours.append(Ours(f"ours, {precision}", request, options.layer))
    space = Workspace(torch.float32, torch.device("cpu"))
    start = build(config, store.d_in, generator(SEED, "init"), space).parameters
    run = PeerRun(
        architecture=Architecture.standard,
        d_in=store.d_in,
        latent_dim=options.latent_dim,
        coefficient=alpha,
        trainer=recipe,
        seed=SEED,
    )
    return [*ours, *others(start, run, batches, compiled=options.compile)]


def _take_turns(
    contestants: Sequence[Contestant], steps: int, peer_steps: int
) -> list[list[float]]:
    """The seconds of every step of everybody; blocks alternate, and who begins rotates."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn, first in enumerate(range(0, steps, BLOCK)):
        for place in range(len(contestants)):
            index = (place + turn) % len(contestants)
            contestant = contestants[index]
            if isinstance(contestant, Ours) or first >= steps - peer_steps:
                for _ in range(min(BLOCK, steps - first)):
                    seconds[index].append(contestant.step())
    return seconds


def _agree(end: tuple[float, float], reference: tuple[float, float]) -> bool:
    l0_ratio, fvu_ratio = end[0] / reference[0], end[1] / reference[1]
    return abs(l0_ratio - 1) <= L0_TOLERANCE and abs(fvu_ratio - 1) <= FVU_TOLERANCE


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent-dim", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--last", type=int, default=100, help="steps that the median is over")
    parser.add_argument("--peer-steps", type=int, help="the others take only so many, at the end")
    parser.add_argument("--alpha", type=float, nargs="+", default=[1.9, 13.0])
    parser.add_argument("--layer", type=int, default=3, help="of the demo's model")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="SAELens compiled too; leaves dictionary_learning out",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
