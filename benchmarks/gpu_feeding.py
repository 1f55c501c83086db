"""How fast batches come to a device, by the number of threads that write them."""

import torch

from benchmarks.gpu_cases import Case
from benchmarks.gpu_clock import pace
from benchmarks.markdown import table
from sae.activations.feeding import Feeding
from sae.device_batches import batches_on

THREADS = (1, 2, 4)
BATCHES = 100


def feeding(cases: list[Case], device: torch.device) -> str:
    """A table of milliseconds a batch where nothing else is done."""
    rows: list[list[str]] = []
    for case in cases:
        store, row = case.store(), [f"{case.batch} x {case.d_in}"]
        for threads in THREADS:
            how = Feeding(threads=threads, bytes_per_thread=1, pinned=device.type == "cuda")
            batches = batches_on(device, store.train_batches(case.batch, 0, 0, how))
            row.append(f"{pace(lambda found=batches: next(found), device, BATCHES) * 1e3:.2f}")
        rows.append(row)
    header = ["batch x d_in", *(f"ms by {threads}" for threads in THREADS)]
    return (
        "Batches alone, written by 1, 2 or 4 threads and copied to the device; training takes a "
        f"thread for every {Feeding().bytes_per_thread // 2**20} MiB, at most 4."
        f"\n\n{table(header, rows)}"
    )
