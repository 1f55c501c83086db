"""The sparse products' loops, against torch in float64."""

import pytest
import torch
from torch import Tensor

from sae.kernels import rows, sparse
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.token_lists import ROUND
from sae.workspace import Workspace

F, B, D = 70, 203, 38
DTYPES = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 6e-3}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def marked_latents(dtype: torch.dtype) -> tuple[Table, Tensor, Tensor]:
    z_FB = draw(F, B, seed=0).to(dtype)
    table = Table(half=dtype is torch.bfloat16, batch=B, d_in=D, latent_dim=F)
    marks = torch.zeros(-(-B // BLOCK), F, dtype=torch.int64)
    numbers_F = {name: torch.zeros(F) for name in ("limits", "firings", "sums")}
    table.run(rows.activate, latents=z_FB, bias=torch.full((F,), -1.0), marks=marks, **numbers_F)
    return table, z_FB, marks


def distance(value: Tensor, expected: Tensor) -> float:
    return float((value.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("dtype", DTYPES)
def test_activate_marks_each_token_of_a_latent_that_is_on_and_none_beyond_the_batch(
    dtype: torch.dtype,
) -> None:
    _, f_FB, marks = marked_latents(dtype)
    bits = (marks.t().unsqueeze(2) >> torch.arange(BLOCK)) & 1
    bits_FB = bits.reshape(F, -1)
    assert torch.equal(bits_FB[:, :B], (f_FB > 0).long())
    assert not bits_FB[:, B:].any()


def test_pack_rounds_as_torch_does_with_half_a_row_between_the_numbers_of_a_word() -> None:
    source = draw(F, D, seed=1)
    words = Workspace(torch.bfloat16, torch.device("cpu")).rows("source", source)
    pairs = words.view(torch.bfloat16).view(F, D // 2, 2)
    assert torch.equal(pairs.permute(0, 2, 1).reshape(F, D), source.bfloat16())


@pytest.mark.parametrize("dtype", DTYPES)
def test_reconstruct_gives_the_gradient_of_x_hat_and_each_token_s_squared_error(
    dtype: torch.dtype,
) -> None:
    table, f_FB, _ = marked_latents(dtype)
    space = Workspace(dtype, torch.device("cpu"))
    W_dec, x_BD, b_dec = draw(F, D, seed=1), draw(B, D, seed=2), draw(D, seed=3)
    output_BD, squares_B = torch.empty(B, D), torch.empty(B)
    output_rows = space.rows_buffer("output", output_BD)
    sums = torch.full((-(-B // BLOCK), D), torch.nan)
    table.run(
        sparse.reconstruct,
        latents=f_FB,
        decoder_rows=space.rows("W_dec", W_dec),
        tokens=x_BD,
        b_dec=b_dec,
        output_gradient=output_BD,
        output_rows=output_rows,
        output_sums=sums,
        squares=squares_B,
    )
    error_BD = f_FB.t().double() @ W_dec.double() + b_dec - x_BD
    assert distance(output_BD, 2 / B * error_BD) < TOLERANCE[dtype]
    assert distance(squares_B, error_BD.square().sum(1)) < TOLERANCE[dtype]
    assert torch.equal(output_rows, space.rows("again", output_BD))
    assert distance(sums.sum(0), output_BD.double().sum(0)) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_gives_both_weights_gradients_with_their_squares_and_sums(
    dtype: torch.dtype,
) -> None:
    table, f_FB, _ = marked_latents(dtype)
    space = Workspace(dtype, torch.device("cpu"))
    W_dec, output_BD, x_BD = draw(F, D, seed=1), draw(B, D, seed=2), draw(B, D, seed=3)
    added_F, weights_F = draw(F, seed=4), draw(F, seed=5)
    found = {"W_dec_gradient": torch.empty(F, D), "W_enc_gradient": torch.empty(F, D)}
    found |= {"gradient_sums": torch.empty(F), "gradient_squares": torch.empty(F)}
    W_FD, parts = draw(F, D, seed=6).to(dtype), torch.full((-(-F // ROUND), D), torch.nan)
    table.run(
        sparse.backward,
        latents=f_FB,
        W_dec=W_dec,
        output_rows=space.rows("output", output_BD),
        input_rows=space.rows("inputs", x_BD),
        added=added_F,
        row_weights=weights_F,
        encoder=W_FD,
        parts=parts,
        **found,
    )
    dz_FB = W_dec.double() @ output_BD.t().double() + added_F.unsqueeze(1)
    dz_FB = dz_FB * (f_FB > 0)
    decoder = f_FB.double() @ output_BD.double() + weights_F.unsqueeze(1) * W_dec
    encoder = dz_FB @ x_BD.double()
    expected = {
        "W_dec_gradient": decoder,
        "W_enc_gradient": encoder,
        "gradient_sums": dz_FB.sum(1),
        "gradient_squares": decoder.square().sum(1) + encoder.square().sum(1),
    }
    for name, value in expected.items():
        assert distance(found[name], value) < TOLERANCE[dtype], name
    encoded_back_D = found["gradient_sums"].double() @ W_FD.double()
    assert distance(parts.sum(0), encoded_back_D) < TOLERANCE[torch.float32]
