import pytest
import torch
from torch import Tensor

from sae.kernels.launching import Table
from sae.kernels.strongest import batch_threshold, keep_of_tokens

F, B, K = 70, 203, 5
DTYPES = [torch.float32, torch.bfloat16]


def latents(dtype: torch.dtype) -> tuple[Table, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    z_FB = torch.randn(F, B, generator=random).to(dtype)
    bias_F = 0.3 * torch.randn(F, generator=random)
    norms_F = 0.5 + torch.rand(F, generator=random)
    table = Table(half=dtype is torch.bfloat16, batch=B, d_in=1, latent_dim=F)
    return table, z_FB, bias_F, norms_F


@pytest.mark.parametrize("dtype", DTYPES)
def test_keep_of_tokens_keeps_what_topk_selects(dtype: torch.dtype) -> None:
    table, z_FB, bias_F, norms_F = latents(dtype)
    values = z_FB.float() + bias_F.unsqueeze(1)
    top = torch.topk(values * norms_F.unsqueeze(1), K, dim=0).indices
    expected = torch.zeros(F, B).scatter_(0, top, values.gather(0, top).relu())
    firings_F, sums_F = keep_of_tokens(table, z_FB, bias_F, norms_F, K)
    assert torch.equal(z_FB, expected.to(dtype))
    assert torch.equal(firings_F, (expected > 0).sum(1).float())
    torch.testing.assert_close(sums_F, expected.sum(1))


def test_keep_of_tokens_with_too_few_above_zero_keeps_those() -> None:
    table, z_FB, bias_F, norms_F = latents(torch.float32)
    expected = (z_FB + bias_F.unsqueeze(1) - 2).relu()
    keep_of_tokens(table, z_FB, bias_F - 2, norms_F, F)
    torch.testing.assert_close(z_FB, expected)


def test_keep_of_tokens_keeps_what_is_not_a_number() -> None:
    table, z_FB, bias_F, norms_F = latents(torch.float32)
    z_FB[3, 7] = torch.nan
    keep_of_tokens(table, z_FB, bias_F, norms_F, K)
    assert z_FB.isnan().nonzero().tolist() == [[3, 7]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wanted", [1, 17, 1000, 5000])
def test_batch_threshold_lets_the_number_wanted_through(dtype: torch.dtype, wanted: int) -> None:
    table, z_FB, bias_F, norms_F = latents(dtype)
    strengths = ((z_FB.float() + bias_F.unsqueeze(1)) * norms_F.unsqueeze(1)).flatten()
    threshold, smallest = batch_threshold(table, z_FB, bias_F, norms_F, wanted)
    above = strengths[strengths > threshold]
    assert len(above) == wanted
    assert smallest == pytest.approx(float(above.min()), rel=1e-6)


def test_batch_threshold_with_too_few_above_zero_is_zero() -> None:
    table, z_FB, bias_F, norms_F = latents(torch.float32)
    strengths = (z_FB + bias_F.unsqueeze(1)) * norms_F.unsqueeze(1)
    threshold, smallest = batch_threshold(table, z_FB, bias_F, norms_F, F * B)
    assert threshold == 0
    assert smallest == pytest.approx(float(strengths[strengths > 0].min()), rel=1e-6)


def test_batch_threshold_where_nothing_is_above_zero_has_no_smallest() -> None:
    table, z_FB, bias_F, norms_F = latents(torch.float32)
    assert batch_threshold(table, z_FB, bias_F - 100, norms_F, 3) == (0.0, float("inf"))


def test_batch_threshold_among_equals_ends_and_lets_as_many_through_as_it_can() -> None:
    table, z_FB, bias_F, norms_F = latents(torch.float32)
    z_FB.fill_(1.0)
    bias_F, norms_F = torch.zeros(F), torch.ones(F)
    threshold, smallest = batch_threshold(table, z_FB, bias_F, norms_F, 10)
    assert threshold < smallest == 1.0
