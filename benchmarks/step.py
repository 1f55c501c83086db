"""How long a training step takes: ours, plain torch and the peers, in turns.

python -m benchmarks.step                     every piece, one after the other
python -m benchmarks.step sparse topk         only these
OMP_NUM_THREADS=2 .venv-interop/bin/python -m benchmarks.step     with the peers (make interop)

Real activations, d_in 384, batch 1024; all take the same batches, in blocks that alternate, so
that a busy machine slows all alike, and for the standard SAE start from the same weights. Ours is
the whole of `sae.training.train` with its checks, history and checkpoints; the peers' steps are
their trainers' without logging. Where the peers take fewer steps than ours, theirs are beside
ours' last ones: their time does not depend on how many latents are on. Where the processor does
not multiply bfloat16, those under autocast take two, being far slower. AuxK is off in ours where
SAELens has none. Verdicts are by medians; the least of the same steps is nearer to what a machine
without other work would give. Each piece takes minutes and writes its section of
benchmarks/results/step.md (step_matrix_units.md where the processor has those, step_float32.md
without bfloat16). Exit status 1 where L0 or fvu of ours is not SAELens's (or plain torch's,
without it), or ours is not as many times as fast as the piece's goal says.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from statistics import median

import torch

from benchmarks.demo import HELD_OUT_TOKENS, demo_store
from benchmarks.markdown import merge_section, table
from benchmarks.peers import PeerRun
from benchmarks.processor import results_of
from benchmarks.step_contestants import Contestant, Make, Ours, SaeLens, others
from benchmarks.step_memory import memory_section
from benchmarks.step_pieces import MEMORY, PIECES, Piece
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.dead_latents import DeadLatentsConfig
from sae.seeding import generator
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest
from sae.workspace import Workspace

BATCH_SIZE, LAYER, SEED = 1024, 3, 0
BLOCK = 10
"""Steps that one contestant takes before the next has its turn."""
EMULATED_STEPS = 2
"""Of whom the processor lacks what is asked for: they take seconds each."""
L0_TOLERANCE, FVU_TOLERANCE = 0.02, 0.01
"""How far ours may end from the reference."""
TITLE = "Step time"


def main() -> int:
    """Measures the pieces that are asked for; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*PIECES, MEMORY]
    parser.add_argument("pieces", nargs="*", metavar="piece", help=f"of {', '.join(names)}")
    parser.add_argument("--steps", type=int, help="in place of the piece's, to try it out")
    parser.add_argument("--alpha", type=float, help="in place of the piece's")
    options = parser.parse_args(sys.argv[1:])
    unknown = set(options.pieces) - set(names)
    if unknown:
        parser.error(f"a piece must be one of {', '.join(names)}, but got {min(unknown)!r}.")
    store = demo_store(LAYER)
    is_good = True
    for name in _in_order(options.pieces or names):
        if name == MEMORY:
            section, body, good = memory_section(store, request_of, makers_of)
        else:
            piece = _shortened(PIECES[name], options.steps)
            piece = piece if options.alpha is None else replace(piece, alpha=options.alpha)
            section, (body, good) = piece.title, _contest(store, piece)
        path = merge_section(results_of("step"), TITLE, section, body)
        print(f"## {section}\n\n{body}\n\nwritten to {path}\n", flush=True)
        is_good = is_good and good
    return 0 if is_good else 1


def _in_order(names: Sequence[str]) -> list[str]:
    """Those with torch.compile first: it fails once dictionary_learning is imported."""
    return sorted(names, key=lambda name: name == MEMORY or not PIECES[name].compiled)


def _shortened(piece: Piece, steps: int | None) -> Piece:
    if steps is None:
        return piece
    peer_steps, last = min(piece.peer_steps, steps), min(piece.last, steps)
    return replace(piece, steps=steps, peer_steps=peer_steps, last=last)


def _contest(store: ActivationStore, piece: Piece) -> tuple[str, bool]:
    """A table, and whether ours is as good and as fast as it must be."""
    ours = [
        Ours(f"ours, {precision}", request_of(piece, precision), LAYER)
        for precision in (Precision.auto, Precision.fp32)
    ]
    contestants = [*ours, *(make() for make in makers_of(store, piece).values())]
    seconds = _take_turns(contestants, piece)
    last = [times[-piece.last :] for times in seconds]
    medians = [median(times) for times in last]
    ends = [
        contestant.held_out(store)
        if isinstance(contestant, Ours) or (piece.compares_ends and not contestant.is_emulated)
        else None
        for contestant in contestants
    ]
    rows = [
        [
            contestant.name,
            f"{1000 * time:.1f}",
            f"{time / medians[0]:.2f}",
            f"{1000 * min(times):.1f}",
            f"{min(times) / min(last[0]):.2f}",
            f"{BATCH_SIZE / time:,.0f}",
            f"{end[0]:.2f}" if end else "",
            f"{end[1]:.4f}" if end else "",
        ]
        for contestant, time, times, end in zip(contestants, medians, last, ends, strict=True)
    ]
    peers = [place for place, found in enumerate(contestants) if isinstance(found, SaeLens)]
    agreement, agrees = _agreement(ends, peers)
    speed, is_fast = _speed(medians, peers, piece.goal)
    header = ["step of", "median ms", "times ours", "least ms", "times ours", "tokens/s"]
    header += ["L0", "fvu"]
    density = (ends[0] or (0.0,))[0] / piece.latent_dim
    count = "all" if piece.peer_steps == piece.steps else f"the last {piece.peer_steps}"
    if any(contestant.is_emulated for contestant in contestants):
        count += f", those under autocast {EMULATED_STEPS}"
    return (
        f"{torch.get_num_threads()} threads, alpha {piece.alpha:g}, L0 ends at {density:.1%} of "
        f"latents; {piece.steps} steps, of which the others take {count}; median of the last "
        f"{piece.last}.\n\n{table(header, rows)}\n\n{agreement} {speed}"
    ), agrees and is_fast


def _agreement(
    ends: Sequence[tuple[float, float] | None], peers: Sequence[int]
) -> tuple[str, bool]:
    """Whether ours end where SAELens does, or plain torch without it."""
    # Fp32 comes before autocast.
    others_ends = [ends[place] for place in peers or range(2, len(ends))]
    reference = others_ends[0] if others_ends else None
    if reference is None:
        return "L0 and fvu are not compared.", True
    agrees = all(_agree(end, reference) for end in ends[:2] if end)
    name = "SAELens" if peers else "plain torch"
    return (
        f"L0 within {L0_TOLERANCE:.0%} and fvu within {FVU_TOLERANCE:.0%} of {name}'s in fp32: "
        f"{'yes' if agrees else 'NO'}."
    ), agrees


def _agree(end: tuple[float, float], reference: tuple[float, float]) -> bool:
    l0_ratio, fvu_ratio = end[0] / reference[0], end[1] / reference[1]
    return abs(l0_ratio - 1) <= L0_TOLERANCE and abs(fvu_ratio - 1) <= FVU_TOLERANCE


def _speed(medians: Sequence[float], peers: Sequence[int], goal: float) -> tuple[str, bool]:
    """How many times as fast as SAELens's fastest ours is."""
    if not peers:
        return "SAELens is not installed (make interop).", True
    ratio = min(medians[place] for place in peers) / medians[0]
    verdict = "yes" if ratio >= goal else "NO"
    return f"{ratio:.1f} times SAELens at its best (goal {goal:g}): {verdict}.", ratio >= goal


def request_of(piece: Piece, precision: Precision) -> TrainingRequest:
    """Ours."""
    return TrainingRequest(
        sae=SaeConfig(architecture=piece.architecture, latent_dim=piece.latent_dim),
        trainer=replace(_recipe(piece), precision=precision),
        alpha_canonical=piece.alpha,
        target_l0_count=piece.k,
        seed=SEED,
        device="cpu",
    )


def makers_of(store: ActivationStore, piece: Piece) -> dict[str, Make]:
    """What makes the others, all from the same weights and on the same batches."""
    space = Workspace(torch.float32, torch.device("cpu"))
    config = SaeConfig(architecture=piece.architecture, latent_dim=piece.latent_dim)
    start = build(config, store.d_in, generator(SEED, "init"), space).parameters
    run = PeerRun(
        architecture=piece.architecture,
        d_in=store.d_in,
        latent_dim=piece.latent_dim,
        coefficient=piece.alpha if piece.k is None else piece.k,
        trainer=_recipe(piece),
        seed=SEED,
    )
    batches = list(islice(store.train_batches(BATCH_SIZE, SEED), piece.steps))
    return others(start, run, batches, compiled=piece.compiled)


def _recipe(piece: Piece) -> TrainerConfig:
    has_auxk = piece.architecture in (Architecture.topk, Architecture.batchtopk)
    without = DeadLatentsConfig(auxk_coefficient=0.0, pre_activation=0.0)
    return TrainerConfig(
        total_steps=piece.steps,
        batch_size=BATCH_SIZE,
        held_out_tokens=HELD_OUT_TOKENS,
        dead_latents=DeadLatentsConfig() if has_auxk else without,
    )


def _take_turns(contestants: Sequence[Contestant], piece: Piece) -> list[list[float]]:
    """The seconds of every step of everybody; blocks alternate, and who begins rotates."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn, first in enumerate(range(0, piece.steps, BLOCK)):
        for place in range(len(contestants)):
            index = (place + turn) % len(contestants)
            contestant = contestants[index]
            for _ in range(_steps_from(first, contestant, piece)):
                seconds[index].append(contestant.step())
    return seconds


def _steps_from(first: int, contestant: Contestant, piece: Piece) -> int:
    """How many steps it takes in the block that begins with a step."""
    left = piece.steps - first
    block = min(BLOCK, left)
    if isinstance(contestant, Ours):
        return block
    if contestant.is_emulated:
        return EMULATED_STEPS if left <= BLOCK else 0
    return block if left <= piece.peer_steps else 0


if __name__ == "__main__":
    sys.exit(main())
