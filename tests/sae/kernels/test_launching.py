import pytest
import torch

from sae.kernels import rows
from sae.kernels.launching import Table, available
from sae.kernels.token_thresholds import token_thresholds


def test_kernels_are_available_where_the_tests_run() -> None:
    assert available(torch.device("cpu"))


def test_kernels_are_not_for_other_devices() -> None:
    assert not available(torch.device("meta"))


def test_table_run_with_a_tensor_that_has_gaps_is_refused() -> None:
    table = Table(half=False, batch=4, d_in=2, latent_dim=3)
    with pytest.raises(ValueError, match="latents must be contiguous for a kernel"):
        table.run(rows.activate, latents=torch.zeros(3, 8)[:, ::2])


def test_table_run_of_a_kernel_without_memory_of_its_own_is_a_memory_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def say_nothing(_unraisable: object) -> None:
        return None

    monkeypatch.setattr("sys.unraisablehook", say_nothing)  # of what the kernel cannot raise
    table = Table(half=False, batch=4, d_in=2, latent_dim=2**50)
    with pytest.raises(MemoryError, match="kernel's own memory"):
        table.run(token_thresholds)


def test_activate_rounds_to_the_nearest_bfloat16_as_torch_does() -> None:
    z_FB = torch.randn(33, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    bias_F = torch.randn(33, generator=torch.Generator().manual_seed(1))
    expected = (z_FB.float() + bias_F.unsqueeze(1)).relu()
    firings_F, sums_F = torch.zeros(33), torch.zeros(33)
    table = Table(half=True, batch=64, d_in=1, latent_dim=33)
    given = {"latents": z_FB, "bias": bias_F, "limits": torch.zeros(33)}
    table.run(rows.activate, **given, firings=firings_F, sums=sums_F)
    assert torch.equal(z_FB, expected.bfloat16())
    torch.testing.assert_close(sums_F, expected.sum(1))
