"""From shards to batches: speed, private memory, and how well the rows are mixed.

python -m benchmarks.feeding          4 GB of shards in a temporary folder, removed at the end
python -m benchmarks.feeding --gigabytes 0.5

Speed is that of `ActivationStore.train_batches` over a plain sequential read of the same files
plus one copy, measured in turns while the files are in the page cache. Mixing is tested on the
origins of the rows of batches of 1,024, in 20 epochs of the store's order (neighbours are rare):
chi-square over 64 blocks of the file, and how many neighbours in a batch are neighbours in the
file; a sequential and a block-local order are put to the same tests, which they must fail. Writes
benchmarks/results/feeding.md; exit status 1 where a goal is missed.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.stats import chisquare
from torch import Tensor

from benchmarks.markdown import table, write_result
from benchmarks.process_memory import process_bytes
from sae.activations.folder import open_folder
from sae.activations.importing import ImportConfig, import_rows
from sae.activations.row_source import Piece, RowSource
from sae.activations.shuffling import shuffled_indices
from sae.activations.store import ActivationStore
from sae.architectures.config import SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

D_IN = 384
PIECE = 4096
BATCH, BATCHES, BLOCKS = 1024, 200, 64
LATENT_DIM, STEPS = 512, 300
ROUNDS = 7
READ_BYTES = 512 * 2**20
"""What one round of the speed test reads."""


def main() -> int:
    """Writes the shards, measures, reports; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sae-feeding-") as temporary:
        folder = write_shards(Path(temporary), options.gigabytes)
        store = open_folder(folder)
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        peak = train_and_watch(store, Path(temporary) / "run")
        speeds = [(sequential_speed(folder), store_speed(store, seed)) for seed in range(ROUNDS)]
    ratio = median(ours / plain for plain, ours in speeds)
    rows = store.n_train
    orders = {
        "store": [origin for seed in range(20) for origin in store_order(rows, seed)],
        "sequential": list(islice(sequential_order(rows), BATCHES)),
        "block-local": list(islice(block_local_order(rows), BATCHES)),
    }
    verdicts = {name: mixing(batches, rows) for name, batches in orders.items()}
    text = _report(size, rows, peak, speeds, ratio, verdicts)
    print(text)
    print(f"written to {write_result('feeding', 'Feeding', text)}")
    mixed = {name: share >= 0.99 and times <= 2 for name, (share, times) in verdicts.items()}
    passed = mixed == {"store": True, "sequential": False, "block-local": False}
    return 0 if passed and peak <= 1e9 and ratio >= 0.8 else 1


def write_shards(parent: Path, gigabytes: float) -> Path:
    """Random rows with a mean, imported piece by piece."""
    pieces = int(gigabytes * 1e9 / (D_IN * 4 * PIECE))

    def draw(number: int) -> Tensor:
        generator = np.random.Generator(np.random.SFC64(number))
        rows_ND = generator.standard_normal((PIECE, D_IN), dtype=np.float32)
        return torch.from_numpy(rows_ND + 1)

    source = RowSource(
        name="random",
        d_in=D_IN,
        pieces=tuple(
            Piece(origin="random", first_row=n * PIECE, read=lambda n=n: draw(n))
            for n in range(pieces)
        ),
        identity={"random": pieces},
    )
    return import_rows(source, ImportConfig(), parent / "shards")


def train_and_watch(store: ActivationStore, directory: Path) -> int:
    """Trains, and returns the peak of RssAnon meanwhile."""
    ended = threading.Event()
    seen = [process_bytes("RssAnon")]

    def watch() -> None:
        while not ended.wait(0.01):
            seen.append(process_bytes("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    request = TrainingRequest(
        sae=SaeConfig(latent_dim=LATENT_DIM),
        trainer=TrainerConfig(total_steps=STEPS, batch_size=BATCH),
        alpha_canonical=1.0,
        device="cpu",
    )
    train(request, store, directory)
    ended.set()
    watcher.join()
    return max(seen)


def sequential_speed(folder: Path) -> float:
    """Bytes a second: whole files read one after the other, then copied batch by batch."""
    files = sorted(folder.glob("train_*.safetensors"))
    buffer = bytearray(max(file.stat().st_size for file in files))
    view = torch.frombuffer(buffer, dtype=torch.float32)
    done, started = 0, time.perf_counter()
    for file in files:
        with file.open("rb", buffering=0) as stream:
            count = stream.readinto(buffer) // 4
        for part in view[:count].split(BATCH * D_IN):
            part.clone()
        done += count * 4
        if done >= READ_BYTES:
            break
    return done / (time.perf_counter() - started)


def store_speed(store: ActivationStore, seed: int) -> float:
    """Bytes a second of canonical batches."""
    batches = store.train_batches(BATCH, seed)
    next(batches)
    n = READ_BYTES // (BATCH * D_IN * 4)
    started = time.perf_counter()
    for batch in islice(batches, n):
        batch[0, 0].item()
    return n * BATCH * D_IN * 4 / (time.perf_counter() - started)


def store_order(rows: int, seed: int) -> list[Tensor]:
    """Origins of the rows of the store's batches, an epoch of them."""
    return list(islice(shuffled_indices(rows, BATCH, seed, 0), rows // BATCH))


def sequential_order(rows: int) -> Iterator[Tensor]:
    """As stored."""
    return iter(torch.arange(rows).split(BATCH))


def block_local_order(rows: int) -> Iterator[Tensor]:
    """Shuffled within a block of the file, one block after the other."""
    for block in torch.arange(rows).split(rows // BLOCKS):
        yield from block[torch.randperm(len(block))].split(BATCH)


def mixing(batches: list[Tensor], rows: int) -> tuple[float, float]:
    """How well batches are mixed.

    Args:
        batches: Row numbers of each batch.
        rows: How many there are.

    Returns:
        Share of the batches whose origins over the file's blocks pass a chi-square test at
        p > 0.001, and how many times as often as by chance neighbours in a batch are neighbours
        in the file.
    """
    passed, neighbours, pairs = 0, 0, 0
    block = -(-rows // BLOCKS)
    sizes = np.bincount(np.arange(rows) // block, minlength=BLOCKS)
    for batch in batches:
        counts = torch.bincount(batch // block, minlength=BLOCKS).numpy()
        expected = sizes * (len(batch) / rows)
        passed += float(chisquare(counts, expected).pvalue) > 0.001
        neighbours += int((batch.diff().abs() == 1).sum())
        pairs += len(batch) - 1
    return passed / len(batches), neighbours / (pairs * 2 / rows)


def _report(
    size: int,
    rows: int,
    peak: int,
    speeds: list[tuple[float, float]],
    ratio: float,
    verdicts: dict[str, tuple[float, float]],
) -> str:
    plain, ours = (median(values) / 1e9 for values in zip(*speeds, strict=True))
    speed = (
        f"{size / 1e9:.2f} GB of shards, {rows:,} training rows of {D_IN} float32, "
        f"{torch.get_num_threads()} threads.\n\n"
        f"Private memory (RssAnon) at its peak while training at latent_dim {LATENT_DIM}, batch "
        f"{BATCH}, {STEPS} steps: {peak / 1e6:,.0f} MB (goal: 1,000 MB or less).\n\n"
        f"Sequential read plus one copy {plain:.2f} GB/s, shuffled canonical batches "
        f"{ours:.2f} GB/s; median ratio of {len(speeds)} rounds in turns {ratio:.2f} "
        "(goal: 0.8 or more).\n\n"
    )
    mixed = table(
        ["order", "batches", "chi-square passed", "neighbours, times chance"],
        [
            [
                name,
                str(20 * (rows // BATCH) if name == "store" else BATCHES),
                f"{share:.2%}",
                f"{times:.2f}",
            ]
            for name, (share, times) in verdicts.items()
        ],
    )
    return speed + mixed


if __name__ == "__main__":
    sys.exit(main())
