import pytest
import torch

from sae.device import (
    has_native_bfloat16,
    memory_errors_named,
    resolve_device,
    widest_float,
)
from sae.errors import SaeError


def test_resolve_device_cpu_is_the_cpu() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_resolve_device_auto_is_one_that_works() -> None:
    assert torch.ones(2, device=resolve_device("auto")).sum() == 2


@pytest.mark.parametrize("name", ["cuda:99", "cpu:3"])
def test_resolve_device_absent_is_refused(name: str) -> None:
    with pytest.raises(SaeError, match=f"^device must be available on this machine.*'{name}'"):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_resolve_device_cuda_without_one_is_refused() -> None:
    message = r"^device must be available on this machine, but got 'cuda'\.$"
    with pytest.raises(SaeError, match=message):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "tpu:0"])
def test_resolve_device_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(SaeError, match=r"^device must be one of auto, cpu, cuda, mps, but got"):
        resolve_device(name)


def test_has_native_bfloat16_of_a_device_without_a_rule_is_false() -> None:
    assert has_native_bfloat16(torch.device("meta")) is False


@pytest.mark.parametrize(
    ("name", "dtype"), [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)]
)
def test_widest_float_is_float64_where_the_device_has_it(name: str, dtype: torch.dtype) -> None:
    assert widest_float(torch.device(name)) is dtype


SIZES = {"sae.latent_dim": 7, "trainer.batch_size": 8}


@pytest.mark.parametrize("size", [2**50, 2**62])
def test_memory_errors_named_out_of_memory_becomes_one_line(size: int) -> None:
    with (
        pytest.raises(SaeError, match=r"^sae\.latent_dim .* memory of cpu, but got 7 and 8\.$"),
        memory_errors_named(SIZES, torch.device("cpu")),
    ):
        torch.empty(size)


def test_memory_errors_named_other_errors_pass() -> None:
    with (
        pytest.raises(RuntimeError, match="mat1 and mat2"),
        memory_errors_named(SIZES, torch.device("cpu")),
    ):
        torch.mm(torch.zeros(2, 3), torch.zeros(2, 3))
