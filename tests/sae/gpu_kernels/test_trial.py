import pytest
import torch

from sae.gpu_kernels import latents
from sae.gpu_kernels.trial import compiles


def test_kernels_compile_where_the_tests_run(kernel_device: torch.device) -> None:
    compiles.cache_clear()
    assert compiles(kernel_device)


def test_kernels_that_do_not_compile_are_done_without_and_said_so(
    kernel_device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_arguments: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nSet CC.")

    compiles.cache_clear()
    monkeypatch.setattr(latents, "weighted_row_sum", fail)
    assert not compiles(kernel_device)
    compiles.cache_clear()
    assert caplog.messages == [
        "Triton's kernels cannot be compiled here, so that steps run in torch's operations, which "
        "takes longer: Failed to find C compiler."
    ]
