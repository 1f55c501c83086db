"""Lists of latents in place of their matrix: whoever reads them does as with marks."""

import torch
from torch import Tensor

from sae.kernels import rows, sparse
from sae.kernels.found import PANEL, SPAN
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.token_lists import ROUND
from sae.workspace import Workspace

F, B, D = PANEL + 70, SPAN + 203, 38  # two parts of either kind, none of them whole


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def latents() -> Tensor:
    return (draw(F, B, seed=0) - 1.5).clamp_min(0).bfloat16()


def listed(f_NM: Tensor, part: int) -> tuple[Tensor, Tensor]:
    """Entries, and the starts and lengths of lists [parts of M, N, 2], the last part's first."""
    entries: list[int] = []
    numbers = -(-f_NM.shape[1] // part)
    lists = torch.zeros(numbers, len(f_NM), 2, dtype=torch.int64)
    for number in reversed(range(numbers)):
        for row, values in enumerate(f_NM[:, number * part : (number + 1) * part]):
            places = values.nonzero().squeeze(1)
            bits = values[places].view(torch.int16).int() << 16
            lists[number, row] = torch.tensor([len(entries), len(places)])
            entries += (bits | places).tolist()
    return torch.tensor(entries, dtype=torch.int32), lists


def results(**latents: Tensor | int) -> dict[str, Tensor]:
    """What `reconstruct` and `backward` make of latents."""
    space = Workspace(torch.bfloat16, torch.device("cpu"))
    table = Table(half=True, batch=B, d_in=D, latent_dim=F)
    W_dec, x_BD = draw(F, D, seed=1), draw(B, D, seed=2)
    written = {
        "output_gradient": torch.empty(B, D),
        "output_sums": torch.empty(-(-B // BLOCK), D),
        "squares": torch.empty(B),
        "gradient_sums": torch.empty(F),
        "gradient_squares": torch.empty(F),
        "W_dec_gradient": torch.empty(F, D),
        "W_enc_gradient": torch.empty(F, D),
        "parts": torch.empty(-(-F // ROUND), D),
    }
    table.fill(
        **latents,
        **written,
        tokens=x_BD,
        b_dec=draw(D, seed=3),
        decoder_rows=space.rows("W_dec", W_dec),
        output_rows=torch.empty(B, D // 2, dtype=torch.int32),
        input_rows=space.rows("inputs", x_BD),
        W_dec=W_dec,
        added=draw(F, seed=4),
        row_weights=draw(F, seed=5),
        encoder=draw(F, D, seed=6).bfloat16(),
    )
    table.run(sparse.reconstruct)
    table.run(sparse.backward)
    return written


def test_sparse_products_of_lists_are_those_of_marks_to_the_bit() -> None:
    f_FB = latents()
    marks = torch.zeros(-(-B // BLOCK), F, dtype=torch.int64)
    table, zeros = Table(half=True, batch=B, d_in=D, latent_dim=F), torch.zeros(F)
    firings_F, sums_F = torch.empty(F), torch.empty(F)
    table.run(
        rows.activate,
        latents=f_FB,
        marks=marks,
        bias=zeros,
        limits=zeros,
        firings=firings_F,
        sums=sums_F,
    )
    by_latent, of_latents = listed(f_FB, SPAN)
    by_token, of_tokens = listed(f_FB.t(), PANEL)
    found = results(
        found_by_latent=by_latent,
        lists_of_latents=of_latents,
        found_by_token=by_token,
        lists_of_tokens=of_tokens,
        room=len(by_token),
    )
    for name, value in results(latents=f_FB, marks=marks).items():
        assert torch.equal(found[name], value), name
