import subprocess
import sys

import pytest
import torch

from benchmarks.gpu import main
from benchmarks.gpu_exactness import gradient_error
from sae.architectures.config import Architecture
from sae.architectures.linear import LinearEncoderSae


def test_gpu_script_small_on_the_cpu_runs_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--small"]) == 0
    printed = capsys.readouterr().out
    assert "these are not GPU numbers" in printed
    assert "SAELens, autocast" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_gpu_script_without_cuda_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    message = "--device must be cpu where there is no CUDA device, but got cuda.\n"
    assert capsys.readouterr().err == message


def test_gpu_script_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_biases(*_given: object, **_named: object) -> None:
        return

    monkeypatch.setattr(LinearEncoderSae, "backward_biases", no_biases)
    error = gradient_error(Architecture.topk, torch.float32, torch.device("cpu"))
    assert error > 1e-3


def test_gpu_script_needs_neither_hydra_nor_pandas() -> None:
    code = (
        "import sys, benchmarks.gpu; unwanted = ('hydra', 'omegaconf', 'pandas', 'optuna'); "
        "print([name for name in unwanted if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
