"""The screened product and activation, against torch in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sae.kernels.compiling import target_has
from sae.kernels.fixed_point import (
    LATENT_LIMITS,
    OFFSET,
    SEGMENT,
    TOKEN_LIMITS,
    Limits,
    columns_of,
    round_row,
)
from sae.kernels.launching import Table
from sae.kernels.marks import BLOCK
from sae.kernels.tiles import TOKENS

if not target_has("avx2"):
    pytest.skip("no AVX2 on this machine", allow_module_level=True)

F, B, D = 70, 603, 38  # no multiples of anything that the kernels cut work into
UNTOUCHED = -7.0
MOST_SEEDS = 2**31 - 1


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def activate_found(x_BD: Tensor, W_FD: Tensor, b_F: Tensor) -> dict[str, Tensor]:
    # Imported here since it is compiled to an instruction that not every processor has.
    from sae.kernels import screen

    (batch, d_in), latent_dim = x_BD.shape, len(W_FD)
    tiles = -(-batch // TOKENS)
    table = Table(half=False, batch=batch, d_in=d_in, latent_dim=latent_dim)
    written = {
        "latents": torch.full((latent_dim, batch), UNTOUCHED),
        "marks": torch.full((-(-batch // BLOCK), latent_dim), -1),
        "firings": torch.full((latent_dim,), torch.nan),
        "sums": torch.full((latent_dim,), torch.nan),
    }
    table.fill(
        **written,
        input_rows=x_BD,
        encoder=W_FD,
        bias=b_F,
        whole_tokens=torch.empty(screen.whole_tokens_shape(batch, d_in), dtype=torch.uint8),
        token_numbers=torch.empty(tiles, 3, TOKENS),
    )
    table.run(screen.round_tokens)
    table.run(screen.activate_found)
    return written


def exact(x_BD: Tensor, W_FD: Tensor, b_F: Tensor) -> Tensor:
    return W_FD.double() @ x_BD.double().t() + b_F.double().unsqueeze(1)


@pytest.mark.parametrize("bias", [-300.0, -12.0, -6.0, 0.0, 300.0])
def test_activate_found_has_the_latents_above_zero_and_leaves_the_others(bias: float) -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), bias + draw(F, seed=2)
    z_FB, found = exact(x_BD, W_FD, b_F), activate_found(x_BD, W_FD, b_F)
    expected = torch.where(z_FB > 0, z_FB, UNTOUCHED)
    torch.testing.assert_close(found["latents"].double(), expected, rtol=1e-5, atol=1e-5)


def test_activate_found_marks_counts_and_sums_what_is_above_zero() -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), draw(F, seed=2) - 8
    found, f_FB = activate_found(x_BD, W_FD, b_F), exact(x_BD, W_FD, b_F).clamp_min(0)
    bits_FB = ((found["marks"].t().unsqueeze(2) >> torch.arange(BLOCK)) & 1).reshape(F, -1)
    assert torch.equal(bits_FB[:, :B], (f_FB > 0).long())
    assert not bits_FB[:, B:].any()
    assert torch.equal(found["firings"].long(), (f_FB > 0).sum(1))
    torch.testing.assert_close(found["sums"].double(), f_FB.sum(1), rtol=1e-5, atol=1e-5)


@given(
    seed=st.integers(0, MOST_SEEDS),
    largest=st.sampled_from([(30_000, 8), (8, 30_000), (500, 500)]),
    above=st.integers(0, 1),
)
def test_activate_found_misses_none_however_little_it_is_above_zero(
    seed: int, largest: tuple[int, int], above: int
) -> None:
    # Whole numbers of which float32's sums are exact, but which rounding moves by several.
    random = torch.Generator().manual_seed(seed)
    x_BD, W_FD = (
        torch.randint(-most, most + 1, (32, D), generator=random).float() for most in largest
    )
    b_F = above - exact(x_BD, W_FD, torch.zeros(32)).diagonal().float()
    z_FB, found = exact(x_BD, W_FD, b_F).float(), activate_found(x_BD, W_FD, b_F)["latents"]
    assert bool((z_FB.diagonal() == above).all())
    assert torch.equal(found, torch.where(z_FB > 0, z_FB, UNTOUCHED))


@pytest.mark.parametrize("size", [1.0, 2.0**-80])
@pytest.mark.parametrize("of_tokens", [True, False])
def test_activate_found_misses_none_where_rounding_takes_as_much_as_it_can(
    of_tokens: bool, size: float
) -> None:
    random = torch.Generator().manual_seed(0)
    signs = 2 * torch.randint(0, 2, (32, D), generator=random).float() - 1
    steps = torch.randint(-20, 21, (32, D), generator=random).float()
    # The largest makes the scale 4: neither its neighbour nor the others' squares ask for more.
    largest = TOKEN_LIMITS.most
    steps[:, :2] = torch.tensor([largest, 0.0])
    # The nearest whole number of steps is one less in the direction of the other row.
    rounded, other = 4 * steps + signs, 8 * signs
    rounded[:, :2] = torch.tensor([4.0 * largest, 0.0])
    x_BD, W_FD = (size * rounded, other) if of_tokens else (other, size * rounded)
    b_F = size - exact(x_BD, W_FD, torch.zeros(32)).diagonal().float()
    assert bool((activate_found(x_BD, W_FD, b_F)["latents"].diagonal() == size).all())


@pytest.mark.parametrize("strange", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("of_tokens", [True, False])
def test_activate_found_keeps_what_is_no_number(strange: float, of_tokens: bool) -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(F, D, seed=1), torch.full((F,), -100.0)
    (x_BD if of_tokens else W_FD)[3, 5] = strange
    z_FB, found = exact(x_BD, W_FD, b_F), activate_found(x_BD, W_FD, b_F)["latents"]
    expected = torch.where(z_FB <= 0, UNTOUCHED, z_FB).float()
    assert not bool(expected.eq(UNTOUCHED).all())
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_activate_found_gives_the_same_bytes_on_any_number_of_threads() -> None:
    x_BD, W_FD, b_F = draw(B, D, seed=0), draw(200, D, seed=1), draw(200, seed=2) - 8
    found: list[dict[str, Tensor]] = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(activate_found(x_BD, W_FD, b_F))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize("d_in", [SEGMENT, 10 * SEGMENT - 2, 1024])
def test_activate_found_over_several_segments_has_the_latents_above_zero(d_in: int) -> None:
    x_BD, W_FD, b_F = draw(50, d_in, seed=0), draw(F, d_in, seed=1), draw(F, seed=2) - 20
    z_FB, found = exact(x_BD, W_FD, b_F), activate_found(x_BD, W_FD, b_F)
    expected = torch.where(z_FB > 0, z_FB, UNTOUCHED)
    assert 0 < int((z_FB > 0).sum()) < z_FB.numel() / 2
    torch.testing.assert_close(found["latents"].double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("d_in", [SEGMENT, 4 * SEGMENT])
def test_activate_found_holds_the_largest_sums_there_are(d_in: int) -> None:
    # Rows of one size everywhere, alike or opposite: sums as far from zero as limits let them be.
    signs = 2 * torch.arange(2).float().unsqueeze(1) - 1
    x_BD, W_FD = (signs * torch.ones(2, d_in) for _ in range(2))
    b_F = torch.full((2,), 0.5 - d_in)
    found = activate_found(x_BD, W_FD, b_F)["latents"]
    assert torch.equal(found, torch.where(torch.eye(2) > 0, 0.5, UNTOUCHED))


def test_activate_found_holds_the_largest_products_of_neighbours_there_are() -> None:
    x_BD, W_FD = torch.zeros(1, D), torch.zeros(1, D)
    x_BD[0, :2], W_FD[0, :2] = 1, 1
    found = activate_found(x_BD, W_FD, torch.tensor([-1.5]))["latents"]
    assert float(found) == 0.5


rows_to_round = {
    "seed": st.integers(0, MOST_SEEDS),
    "outlier": st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    "d_in": st.sampled_from([1, 2, 38, 384, 4096]),
    "limits": st.sampled_from([TOKEN_LIMITS, LATENT_LIMITS]),
}


def row_with_outlier(seed: int, outlier: float, d_in: int) -> np.ndarray:
    row_D = draw(d_in, seed=seed).numpy()
    row_D[seed % d_in] *= outlier
    return row_D


@given(**rows_to_round)
def test_round_row_bounds_what_it_takes_from_a_row(
    seed: int, outlier: float, d_in: int, limits: Limits
) -> None:
    row_D, whole_P = row_with_outlier(seed, outlier, d_in), np.empty(columns_of(d_in), np.int8)
    scale, norm, rest = round_row(row_D, whole_P, limits)
    row_norm = float(np.linalg.norm(row_D.astype(np.float64)))
    taken = row_D.astype(np.float64) - float(scale) * whole_P[:d_in]
    taken_norm = float(np.linalg.norm(taken))
    assert row_norm <= norm <= 1.01 * row_norm
    assert taken_norm <= rest <= 1.01 * taken_norm + (d_in + 40) * 2.0**-23 * norm
    assert not whole_P[d_in:].any()


@given(**rows_to_round, size=st.sampled_from([1.0, 2.0**-100, 2.0**100]))
def test_round_row_keeps_to_its_limits(
    seed: int, outlier: float, d_in: int, limits: Limits, size: float
) -> None:
    row_D = (size * row_with_outlier(seed, outlier, d_in)).astype(np.float32)
    whole_P = np.empty(columns_of(d_in), np.int8)
    round_row(row_D, whole_P, limits)
    sizes = np.abs(whole_P.astype(np.int64)).reshape(-1, SEGMENT // 4, 2, 2)
    assert sizes.max() <= limits.most
    assert sizes.sum(3).max() <= limits.two + 1
    norms = np.sqrt((sizes**2).sum((1, 3)))
    assert norms.max() <= limits.norm + 0.5 * np.sqrt(SEGMENT / 2) + 0.1


def test_limits_of_both_rows_leave_no_sum_that_16_bits_do_not_hold() -> None:
    def norm(limits: Limits) -> float:
        return limits.norm + 0.5 * (SEGMENT / 2) ** 0.5

    assert norm(TOKEN_LIMITS) * norm(LATENT_LIMITS) < 2**15
    assert (OFFSET + TOKEN_LIMITS.most) * (LATENT_LIMITS.two + 1) < 2**15
    assert TOKEN_LIMITS.most < OFFSET


@pytest.mark.parametrize("d_in", [2, 384, 4096, 1_000_000])
def test_limits_of_both_rows_leave_no_sum_that_32_bits_do_not_hold(d_in: int) -> None:
    norms = [limits.norm + 0.5 * (SEGMENT / 2) ** 0.5 for limits in (TOKEN_LIMITS, LATENT_LIMITS)]
    of_segment = 2 * norms[0] * norms[1]
    assert columns_of(d_in) // SEGMENT * of_segment < 2**31
