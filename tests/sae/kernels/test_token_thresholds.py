"""The search for each token's threshold, against a sort."""

import pytest
import torch
from torch import Tensor

from sae.kernels.launching import Table
from sae.kernels.token_thresholds import TILE, token_thresholds

B = 3 * TILE + 11
DTYPES = [torch.float32, torch.bfloat16]


def thresholds(z_FB: Tensor, wanted: int, bias: float = 0.0, norm: float = 1.0) -> Tensor:
    latent_dim, batch = z_FB.shape
    found_B = torch.full((batch,), torch.nan)
    half = z_FB.dtype is torch.bfloat16
    table = Table(half=half, batch=batch, d_in=1, latent_dim=latent_dim)
    bias_F, norms_F = torch.full((latent_dim,), bias), torch.full((latent_dim,), norm)
    given = {"latents": z_FB, "bias": bias_F, "norms": norms_F}
    table.run(token_thresholds, **given, thresholds=found_B, wanted=wanted)
    return found_B


def draw(latent_dim: int, seed: int = 0, batch: int = B) -> Tensor:
    return torch.randn(latent_dim, batch, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wanted", [1, 2, 32, 150])
def test_token_thresholds_are_the_strength_of_the_last_one_wanted(
    wanted: int, dtype: torch.dtype
) -> None:
    z_FB = draw(401).to(dtype)
    strengths_FB = (z_FB.float() + 0.125) * 1.75
    expected = strengths_FB.sort(0, descending=True).values[wanted - 1].clamp_min(0)
    assert torch.equal(thresholds(z_FB, wanted, bias=0.125, norm=1.75), expected)


def test_token_thresholds_far_below_the_strongest_are_found_too() -> None:
    z_FB = draw(300).abs().mul(1e-20)
    z_FB[7] = 1e20
    expected = z_FB.sort(0, descending=True).values[20]
    assert torch.equal(thresholds(z_FB, 21), expected)


@pytest.mark.parametrize("wanted", [101, 300, 5000])
def test_token_thresholds_with_fewer_above_zero_than_wanted_are_zero(wanted: int) -> None:
    z_FB = torch.cat([draw(100).abs(), -draw(200).abs()])
    assert not thresholds(z_FB, wanted).any()


def test_token_thresholds_among_equal_strengths_are_those() -> None:
    z_FB = draw(90).abs()
    z_FB[10:80] = z_FB[10]
    expected = z_FB.sort(0, descending=True).values[39]
    assert torch.equal(thresholds(z_FB, 40), expected)


def test_token_thresholds_of_strengths_that_share_a_key_tell_them_apart() -> None:
    # One in the last 16 bits of a float32 each, in a shuffled order.
    steps = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    z_FB = (1 + steps * 2.0**-23).unsqueeze(1).expand(500, B).contiguous()
    assert torch.equal(thresholds(z_FB, 123), torch.full((B,), 1 + 377 * 2.0**-23))


def test_token_thresholds_count_more_latents_than_16_bits_do() -> None:
    z_FB = torch.full((70_000, 3), 2.0)
    z_FB[:3_000] = 3.0
    assert thresholds(z_FB, 70_000).tolist() == [2.0] * 3
    assert thresholds(z_FB, 66_000).tolist() == [2.0] * 3
    assert thresholds(z_FB, 3_000).tolist() == [3.0] * 3


def test_token_thresholds_count_what_is_not_a_number_among_the_strongest() -> None:
    z_FB = draw(200).abs()
    z_FB[5, 4], z_FB[6, 4] = torch.nan, -torch.nan
    expected = z_FB[:, 4].nan_to_num(torch.inf).sort(descending=True).values[9]
    assert thresholds(z_FB, 10)[4] == expected


def test_token_thresholds_where_all_wanted_are_infinite_are_infinite() -> None:
    z_FB = draw(200)
    z_FB[:10, 70] = torch.inf
    assert thresholds(z_FB, 10)[70] == torch.inf
    assert thresholds(z_FB, 11)[70] < 10
