"""The product and its lists by matrix units, against torch in float64."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sae.kernels.launching import Table
from sae.kernels.matrix_units import SIDE, STEP, has_matrix_units
from sae.workspace import Workspace

if not has_matrix_units():
    pytest.skip("no matrix units for bfloat16 on this machine", allow_module_level=True)

from sae.kernels import encode, found

F, B, D = found.PANEL + 3 * SIDE, found.SPAN + 91, 2 * STEP
"""Two panels and two spans, of which the last are not whole."""
CANARY = -7


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass
class Listed:
    """What the kernels have written."""

    by_latent: Tensor
    of_latents: Tensor
    by_token: Tensor
    of_tokens: Tensor
    count: int
    sums: Tensor
    firings: Tensor
    input_rows: Tensor

    def matrix(self) -> Tensor:
        """The latents [F, B] that are listed by latent."""
        return matrix(self.by_latent, self.of_latents, found.SPAN, self.of_tokens.shape[1])

    def matrix_by_token(self) -> Tensor:
        """Those that are listed by token."""
        return matrix(self.by_token, self.of_tokens, found.PANEL, self.of_latents.shape[1]).t()


def matrix(entries: Tensor, lists: Tensor, part: int, size: int) -> Tensor:
    latents = torch.zeros(lists.shape[1], size)
    for number, of_part in enumerate(lists):
        for row, (start, length) in enumerate(of_part.tolist()):
            words = entries[start : start + length]
            places = (words & 0xFFFF).long() + number * part
            assert bool((places.diff() > 0).all())
            latents[row, places] = (words & ~0xFFFF).view(torch.float32)
    return latents


def activate(
    x_BD: Tensor, W_FD: Tensor, b_F: Tensor, room: int = B * F, b_dec: Tensor | None = None
) -> Listed:
    batch, d_in = x_BD.shape
    latent_dim = len(W_FD)
    spans, panels = -(-batch // found.SPAN), -(-latent_dim // found.PANEL)
    table = Table(half=True, batch=batch, d_in=d_in, latent_dim=latent_dim)
    count, parts = torch.zeros(1, dtype=torch.int64), torch.full((spans, 2, latent_dim), torch.nan)
    by_latent, by_token = (torch.full((room + 64,), CANARY, dtype=torch.int32) for _ in range(2))
    of_latents = torch.full((spans, latent_dim, 2), -1)
    of_tokens = torch.full((panels, batch, 2), -1)
    input_rows = torch.empty(batch, d_in // 2, dtype=torch.int32)
    table.fill(
        tokens=x_BD,
        b_dec=torch.zeros(d_in) if b_dec is None else b_dec,
        input_rows=input_rows,
        paired_tokens=torch.empty(encode.paired_shape(batch, d_in), dtype=torch.int32),
        encoder=W_FD.bfloat16(),
        bias=b_F,
        room=room,
        found_count=count,
        found_parts=parts,
        found_by_latent=by_latent,
        found_by_token=by_token,
        lists_of_latents=of_latents,
        lists_of_tokens=of_tokens,
    )
    table.run(encode.pair_tokens)
    table.run(encode.activate_product)
    assert bool((by_latent[room:] == CANARY).all())
    assert bool((by_token[room:] == CANARY).all())
    sums_F, firings_F = parts.sum(0)
    return Listed(
        by_latent, of_latents, by_token, of_tokens, int(count), sums_F, firings_F, input_rows
    )


def exact(x_BD: Tensor, W_FD: Tensor, b_F: Tensor) -> Tensor:
    products_FB = W_FD.bfloat16().double() @ x_BD.bfloat16().double().t()
    return products_FB + b_F.double().unsqueeze(1)


@pytest.mark.parametrize("bias", [-300.0, -16.0, 0.0, 300.0])
def test_activate_product_lists_the_latents_above_zero_by_latent_and_by_token(
    bias: float,
) -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), bias + draw(F, seed=2)
    listed, f_FB = activate(x_BD, W_FD, b_F), exact(x_BD, W_FD, b_F).clamp_min(0)
    assert torch.equal(listed.matrix(), listed.matrix_by_token())
    torch.testing.assert_close(listed.matrix().double(), f_FB, rtol=2**-8, atol=1e-4)
    assert listed.count == int(listed.firings.sum()) == int((listed.matrix() > 0).sum())


@pytest.mark.parametrize("batch", [1, SIDE - 1, SIDE, SIDE + 1, found.SPAN, found.SPAN + 1])
@pytest.mark.parametrize("latent_dim", [SIDE, found.PANEL, found.PANEL + SIDE])
def test_activate_product_of_whole_and_other_parts_lists_the_latents_above_zero(
    batch: int, latent_dim: int
) -> None:
    x_BD, W_FD, b_F = draw(batch, D, seed=0), draw(latent_dim, D, seed=1), torch.zeros(latent_dim)
    listed = activate(x_BD, W_FD, b_F, room=batch * latent_dim)
    f_FB = exact(x_BD, W_FD, b_F).clamp_min(0)
    assert torch.equal(listed.matrix(), listed.matrix_by_token())
    torch.testing.assert_close(listed.matrix().double(), f_FB, rtol=2**-8, atol=1e-4)


def test_activate_product_sums_and_counts_what_it_lists() -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), draw(F, seed=2) - 8
    listed = activate(x_BD, W_FD, b_F)
    f_FB = listed.matrix()
    assert torch.equal(listed.firings, (f_FB > 0).sum(1).float())
    torch.testing.assert_close(listed.sums.double(), f_FB.double().sum(1), rtol=1e-5, atol=1e-5)


def test_activate_product_of_whole_numbers_is_exact_however_little_above_zero() -> None:
    random = torch.Generator().manual_seed(0)
    x_BD, W_FD = (torch.randint(-9, 10, (size, D), generator=random).float() for size in (B, F))
    b_F = torch.arange(F) % 2 - exact(x_BD, W_FD, torch.zeros(F))[:, 0].float()
    f_FB = exact(x_BD, W_FD, b_F).clamp_min(0)
    assert f_FB[:, 0].tolist() == [latent % 2 for latent in range(F)]
    assert torch.equal(activate(x_BD, W_FD, b_F).matrix(), f_FB.bfloat16().float())


@pytest.mark.parametrize("strange", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("of_tokens", [True, False])
def test_activate_product_lists_what_is_no_number(strange: float, of_tokens: bool) -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), torch.full((F,), -100.0)
    (x_BD if of_tokens else W_FD)[3, 5] = strange
    z_FB, f_FB = exact(x_BD, W_FD, b_F), activate(x_BD, W_FD, b_F).matrix()
    expected = torch.where(z_FB <= 0, 0.0, z_FB).float()
    assert bool((expected != 0).any())
    torch.testing.assert_close(f_FB, expected, equal_nan=True, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("lacking", [0, 1, 5000])
def test_activate_product_without_room_for_all_counts_more_and_writes_none_beyond(
    lacking: int,
) -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), draw(F, seed=2) - 8
    needed = activate(x_BD, W_FD, b_F).count
    listed = activate(x_BD, W_FD, b_F, room=needed - lacking)
    assert (listed.count > needed - lacking) == bool(lacking)


def test_activate_product_gives_the_same_lists_on_any_number_of_threads() -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), draw(F, seed=2) - 8
    listed: list[Listed] = []
    for count in (1, 2):
        torch.set_num_threads(count)
        listed.append(activate(x_BD, W_FD, b_F))
    one, two = listed
    assert torch.equal(one.matrix(), two.matrix())
    assert torch.equal(one.sums, two.sums)


def test_pair_tokens_centres_the_tokens_and_leaves_them_as_rows_in_words() -> None:
    x_BD, W_FD, b_F, b_dec = (
        draw(B, D, seed=0),
        draw(F, D, seed=1),
        torch.zeros(F),
        draw(D, seed=3),
    )
    expected = Workspace(torch.bfloat16, torch.device("cpu")).rows("inputs", x_BD - b_dec)
    listed = activate(x_BD, W_FD, b_F, b_dec=b_dec)
    assert torch.equal(listed.input_rows, expected)
    assert torch.equal(listed.matrix(), activate(x_BD - b_dec, W_FD, b_F).matrix())
