"""How long each product of a training step takes, by which way its operands lie in memory.

python -m benchmarks.layouts                 latent_dim 4096, batch 1024, d_in 384
python -m benchmarks.layouts --dtype float32

The least of many runs, in milliseconds, so that a busy machine matters little. Shape letters:
B batch, D d_in, F latent_dim; "FB" is a matrix whose rows are latents. Prints a table.
"""

import argparse
import sys
import time

import torch
from torch import Tensor

from benchmarks.markdown import table


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent-dim", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--d-in", type=int, default=384)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args(sys.argv[1:])
    sizes = {"B": options.batch_size, "D": options.d_in, "F": options.latent_dim}
    rows = [
        [meaning, f"{left} @ {right} -> {out}", f"{1000 * seconds:.2f}"]
        for meaning, left, right, out in PRODUCTS
        for seconds in [_least(left, right, out, sizes, options)]
    ]
    print(f"{torch.get_num_threads()} threads, {sizes}, {options.dtype}\n")
    print(table(["product", "as it lies in memory", "ms"], rows))
    return 0


PRODUCTS = (
    ("pre-activations, latent gradient", "BD", "DF", "BF"),
    ("pre-activations, latent gradient", "BD", "FD'", "BF"),
    ("pre-activations, latent gradient", "FD", "BD'", "FB"),
    ("reconstruction", "BF", "FD", "BD"),
    ("reconstruction", "FB'", "FD", "BD"),
    ("reconstruction", "DF", "FB", "DB"),
    ("weight gradient", "BF'", "BD", "FD"),
    ("weight gradient", "BD'", "BF", "DF"),
    ("weight gradient", "FB", "BD", "FD"),
)
"""What for, left, right and result; a prime marks an operand that is used transposed."""


def _least(
    left: str, right: str, out: str, sizes: dict[str, int], options: argparse.Namespace
) -> float:
    dtype: torch.dtype = getattr(torch, options.dtype)

    def matrix(name: str) -> Tensor:
        stored = torch.randn(sizes[name[0]], sizes[name[1]]).to(dtype)
        return stored.t() if name.endswith("'") else stored

    first, second, result = matrix(left), matrix(right), matrix(out)
    seconds: list[float] = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        torch.mm(first, second, out=result)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
