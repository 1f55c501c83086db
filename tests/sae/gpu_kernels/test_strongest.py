import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.architectures.auxk import keep_strongest_fused
from sae.gpu_kernels import strongest
from sae.gpu_kernels.strongest import keep_strongest


def expected(z_NB: Tensor, count: int) -> Tensor:
    least_B = z_NB.topk(min(count, len(z_NB)), dim=0).values[-1]
    return torch.where((z_NB > 0) & (z_NB >= least_B), z_NB, 0.0)


def kept(z_NB: Tensor, count: int) -> Tensor:
    out_NB = torch.full_like(z_NB, torch.nan)
    keep_strongest(z_NB, count, out_NB)
    return out_NB


@settings(max_examples=8)
@given(latents=st.integers(1, 70), tokens=st.integers(1, 40), count=st.integers(1, 80))
def test_keep_strongest_of_any_shape_agrees_with_topk(
    latents: int, tokens: int, count: int
) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    z_NB = torch.randn(latents, tokens, generator=torch.Generator().manual_seed(latents))
    found = kept(z_NB.to(device), count).cpu()
    assert torch.equal(found, expected(z_NB, count))


def test_keep_strongest_keeps_equals(kernel_device: torch.device) -> None:
    z_NB = torch.tensor([[1.0], [3.0], [2.0], [2.0], [-5.0]], device=kernel_device)
    assert kept(z_NB, 2).squeeze(1).tolist() == [0.0, 3.0, 2.0, 2.0, 0.0]


def test_keep_strongest_leaves_nan_visible(kernel_device: torch.device) -> None:
    z_NB = torch.tensor([[1.0], [torch.nan], [2.0]], device=kernel_device)
    assert kept(z_NB, 1).isnan().squeeze(1).tolist() == [False, True, False]


def test_keep_strongest_fused_of_more_latents_than_a_program_holds_agrees_with_topk(
    kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    z_NB = torch.randn(70, 20, generator=torch.Generator().manual_seed(0)).to(kernel_device)
    monkeypatch.setattr(strongest, "MOST_LATENTS", 69)
    out_NB = torch.full_like(z_NB, torch.nan)
    keep_strongest_fused(z_NB, 5, out_NB)
    assert torch.equal(out_NB, expected(z_NB, 5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("latents", [128, 2048, 4096, 8192])
def test_keep_strongest_in_bfloat16_agrees_with_topk(latents: int) -> None:
    random = torch.Generator().manual_seed(latents)
    z_NB = torch.randn(latents, 130, generator=random).cuda().bfloat16()
    assert torch.equal(kept(z_NB, latents // 4), expected(z_NB, latents // 4))
