"""How the GPU kernels' work is best cut up, and from how few tokens gradients are not written.

python -m benchmarks.gpu_blocks       needs CUDA; exit status 2 without

Times each kernel with several sizes of its blocks, as a share of the device's copy bandwidth:
bytes that it must read and write over its time. For every batch size also norm and update from a
gradient's factors against product, norm and update from one that is written, and for AuxK's
strongest dead latents the kernel against torch's search. The kernels' constants come from here.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.markdown import table, write_result
from sae.architectures.auxk import keep_strongest, keep_strongest_fused
from sae.deferred_gradient import DeferredGradient, RowPart
from sae.gpu_kernels import adam, latents
from sae.gpu_kernels.blocks import Blocks
from sae.optimizer import BETAS, EPSILON

ROWS, COLUMNS = 32768, 2048
TOKENS = (64, 128, 256)
WHOLE = (
    Blocks(rows=1, columns=2048, warps=8),
    Blocks(rows=1, columns=1024, warps=4),
    Blocks(rows=4, columns=512, warps=8),
    Blocks(rows=16, columns=128, warps=4),
)
PRODUCT = tuple(
    Blocks(rows=rows, columns=columns, tokens=tokens, warps=warps, stages=stages)
    for rows, columns, tokens, warps, stages in (
        (32, 128, 64, 4, 1),
        (32, 128, 64, 4, 2),
        (32, 128, 64, 4, 3),
        (32, 128, 32, 4, 2),
        (32, 128, 64, 8, 2),
        (32, 64, 64, 4, 2),
        (32, 64, 64, 4, 3),
        (32, 64, 64, 2, 2),
        (16, 128, 64, 4, 2),
        (64, 64, 64, 4, 2),
        (64, 64, 64, 8, 2),
        (64, 128, 64, 8, 2),
        (16, 256, 64, 4, 2),
        (64, 32, 64, 4, 3),
    )
)
RULE = adam.Rule(betas=BETAS, epsilon=EPSILON)


def main() -> int:
    """Measures and prints; returns the exit status."""
    if not torch.cuda.is_available():
        print("benchmarks.gpu_blocks needs a CUDA device, but there is none.", file=sys.stderr)
        return 2
    bandwidth = _bandwidth()
    matrix, gradient = _matrix(), torch.randn(ROWS, COLUMNS, device="cuda")
    rows = [_row("Adam, gradient read", b, _update(matrix, gradient, b), 30) for b in WHOLE]
    for tokens in TOKENS:
        found = _factored(matrix, tokens)
        name = f"Adam, product of {tokens}"
        rows += [_row(name, b, _update(matrix, found, b), 26) for b in PRODUCT]
    named = [(name, text, f"{took * 1e3:.3f}", f"{moved / took / bandwidth:.2f}")
             for name, text, took, moved in _fastest_first(rows)]  # fmt: skip
    texts = [
        f"On {torch.cuda.get_device_name()}, copy {bandwidth / 1e9:,.0f} GB/s; {ROWS} rows of "
        f"{COLUMNS}.",
        table(["kernel", "blocks", "ms", "of bandwidth"], named),
        table(
            ["tokens", "from factors, ms", "from a written gradient, ms"],
            list(_apart(matrix, gradient)),
        ),
        table(["latents' kernel", "tokens", "ms", "of bandwidth"], list(_latents(bandwidth))),
        table(["dead latents", "tokens", "strongest 512, ms", "by torch, ms"], list(_strongest())),
    ]
    text = "\n\n".join(texts)
    print(text)
    print(f"written to {write_result('gpu_blocks', 'Blocks of the GPU kernels', text)}")
    return 0


Timed = tuple[str, str, float, float]
"""Kernel, blocks, seconds, bytes that it must move."""


def _row(name: str, blocks: Blocks, act: Callable[[], None], bytes_each: int) -> Timed:
    text = f"{blocks.rows} x {blocks.columns}, {blocks.tokens}, {blocks.warps} warps, "
    text += f"{blocks.stages} stages"
    return name, text, seconds(act), bytes_each * ROWS * COLUMNS


def _fastest_first(rows: Iterable[Timed]) -> list[Timed]:
    return sorted(rows, key=lambda row: (row[0], row[2]))


def seconds(act: Callable[[], object], times: int = 10) -> float:
    """Median time on the device of a call, after three that are not counted."""
    for _ in range(3):
        act()
    _occupy()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    events[0].record()
    for event in events[1:]:
        act()
        event.record()
    torch.cuda.synchronize()
    taken = sorted(a.elapsed_time(b) for a, b in pairwise(events))
    return taken[times // 2] / 1e3


def _occupy() -> None:
    """Gives the device work for some milliseconds, in which the host gets ahead with launches."""
    square = torch.ones(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        torch.mm(square, square)


def _bandwidth() -> float:
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source))


def _matrix() -> adam.Matrix:
    weight = 0.02 * torch.randn(ROWS, COLUMNS, device="cuda")
    return adam.Matrix(
        weight=weight,
        mean=torch.zeros_like(weight),
        square=torch.zeros_like(weight),
        step=torch.full((), 3.0, device="cuda"),
        copy=weight.bfloat16(),
        norms=torch.empty(ROWS, device="cuda"),
    )


def _factored(matrix: adam.Matrix, tokens: int) -> DeferredGradient:
    left = torch.randn(ROWS, tokens, device="cuda").relu_().bfloat16()
    right = torch.randn(tokens, COLUMNS, device="cuda").bfloat16()
    weights = torch.rand(ROWS, device="cuda") * 1e-3
    part = RowPart(weights=weights, along=weights, norms=matrix.norms)
    return DeferredGradient(left=left, right=right, row_part=part)


def _update(
    matrix: adam.Matrix, gradient: Tensor | DeferredGradient, blocks: Blocks | None = None
) -> Callable[[], None]:
    rate, divisor = torch.full((), 1e-6, device="cuda"), torch.full((), 2.0, device="cuda")
    return lambda: adam.move(matrix, gradient, rate, divisor, RULE, blocks)


def _apart(matrix: adam.Matrix, gradient: Tensor) -> Iterable[tuple[str, str, str]]:
    for tokens in TOKENS:
        found = _factored(matrix, tokens)
        whole = seconds(_update(matrix, found)) + seconds(found.squared_norm)
        steps: list[Callable[[], object]] = [
            partial(_product, found, gradient),
            partial(torch.linalg.vector_norm, gradient),
            _update(matrix, gradient),
        ]
        yield str(tokens), f"{whole * 1e3:.3f}", f"{sum(map(seconds, steps)) * 1e3:.3f}"


def _product(found: DeferredGradient, gradient: Tensor) -> None:
    torch.ops.aten.mm.dtype_out(found.left, found.right, torch.float32, out=gradient)


def _latents(bandwidth: float) -> Iterable[tuple[str, str, str, str]]:
    for tokens in (64, 4096):
        f_FB = torch.randn(2 * ROWS, tokens, device="cuda").bfloat16()
        df_FB, bias_F = torch.randn_like(f_FB), torch.zeros(2 * ROWS, device="cuda")
        acts = {
            "rectify": (lambda f=f_FB, b=bias_F: latents.rectify(f, b), 2),
            "mask": (lambda d=df_FB, f=f_FB, b=bias_F: latents.mask(d, f, b), 3),
        }
        for name, (act, passes) in acts.items():
            took = seconds(act)
            share = passes * f_FB.nbytes / took / bandwidth
            yield name, str(tokens), f"{took * 1e3:.3f}", f"{share:.2f}"
    matrix_FD = torch.randn(2 * ROWS, COLUMNS, device="cuda").bfloat16()
    weights_F = torch.randn(2 * ROWS, device="cuda")
    took = seconds(lambda: latents.weighted_row_sum(matrix_FD, weights_F))
    yield "weighted_row_sum", "", f"{took * 1e3:.3f}", f"{matrix_FD.nbytes / took / bandwidth:.2f}"


def _strongest() -> Iterable[tuple[str, str, str, str]]:
    for dead, tokens in ((2048, 64), (2048, 4096), (8192, 4096)):
        z_NB = torch.randn(dead, tokens, device="cuda").bfloat16()
        out_NB = torch.empty_like(z_NB)
        ways = (keep_strongest_fused, keep_strongest)
        fused, plain = (seconds(partial(way, z_NB, 512, out_NB)) for way in ways)
        yield str(dead), str(tokens), f"{fused * 1e3:.3f}", f"{plain * 1e3:.3f}"


if __name__ == "__main__":
    sys.exit(main())
