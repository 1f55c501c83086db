"""The memory that training takes at its peak, each contestant in a process of its own."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.demo import demo_store
from benchmarks.markdown import table
from benchmarks.process_memory import process_bytes
from benchmarks.step_contestants import Make
from benchmarks.step_pieces import PIECES, Piece
from sae.activations import ActivationStore
from sae.trainer_config import Precision
from sae.training import TrainingRequest, train

STEPS, LAYER = 12, 3
MEBIBYTE = 2**20

RequestOf = Callable[[Piece, Precision], TrainingRequest]
MakersOf = Callable[[ActivationStore, Piece], dict[str, Make]]


def memory_section(
    store: ActivationStore, request_of: RequestOf, makers_of: MakersOf
) -> tuple[str, str, bool]:
    """Trains a few steps of the sparse and the wide piece.

    Returns:
        The section's title and body, and whether ours takes no more than SAELens.
    """
    rows: list[list[str]] = []
    is_good = True
    for name in ("sparse", "wide"):
        piece = PIECES[name]
        names = [f"ours, {precision}" for precision in (Precision.auto, Precision.fp32)]
        names += makers_of(store, piece)
        found = {who: _in_own_process(name, who, request_of, makers_of) for who in names}
        lens = [peak for who, (peak, _) in found.items() if who.startswith("SAELens")]
        is_good = is_good and (not lens or found[names[0]][0] <= min(lens))
        rows += [
            [str(piece.latent_dim), who, f"{peak:,.0f}", f"{grown:,.0f}"]
            for who, (peak, grown) in found.items()
        ]
    header = ["latent_dim", "who", "peak MiB", "of it since the data was open"]
    verdict = "yes" if is_good else "NO"
    return (
        "Peak memory",
        f"{torch.get_num_threads()} threads, {STEPS} steps; ours evaluates and saves too.\n\n"
        f"{table(header, rows)}\n\nOurs takes no more than SAELens: {verdict}.",
        is_good,
    )


def _in_own_process(
    piece: str, who: str, request_of: RequestOf, makers_of: MakersOf
) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, piece, who, request_of, makers_of))
    process.start()
    sender.close()  # so that a process that dies ends the wait
    found = receiver.recv()
    process.join()
    return found


def _measure(
    pipe: Connection, name: str, who: str, request_of: RequestOf, makers_of: MakersOf
) -> None:
    """The process: sends the peak, and how far it is above what there was before; in MiB."""
    store = demo_store(LAYER)
    piece = _short(PIECES[name])
    next(store.train_batches(1, 0))
    before = process_bytes("VmRSS") / MEBIBYTE
    if who.startswith("ours"):
        request = request_of(piece, Precision(who.removeprefix("ours, ")))
        with TemporaryDirectory() as folder:
            train(request, store, Path(folder))
    else:
        contestant = makers_of(store, piece)[who]()
        for _ in range(STEPS):
            contestant.step()
    peak = process_bytes("VmHWM") / MEBIBYTE
    pipe.send((peak, peak - before))


def _short(piece: Piece) -> Piece:
    return replace(piece, steps=STEPS, peer_steps=STEPS, last=STEPS)
