"""A process that is really killed, by the signal that nothing can catch."""

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TRAIN = """
import sys
from pathlib import Path
from sae.activations import ActivationsConfig, ActivationSource, SyntheticConfig, open_activations
from sae.architectures.config import SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

synthetic = SyntheticConfig(d_in=16, n_features=48, n_tokens=4096, held_out_tokens=512)
store = open_activations(ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic))
trainer = TrainerConfig(
    total_steps=120, batch_size=64, log_every=4, checkpoint_every=3, checkpoint_share=1.0
)
request = TrainingRequest(
    sae=SaeConfig(latent_dim=64), trainer=trainer, alpha_canonical=0.5, device="cpu"
)
train(request, store, Path(sys.argv[1]))
"""


def rows(folder: Path) -> int:
    path = folder / "history.csv"
    return path.read_text().count("\n") if path.exists() else 0


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "sae" / "sae_weights.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_train_killed_by_sigkill_twice_ends_with_the_bytes_of_an_undisturbed_run(
    start_python: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    def start(folder: Path) -> subprocess.Popen[str]:
        return start_python("-c", TRAIN, str(folder))

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(whole)
    for enough in (6, 18):
        process = start(killed)
        while rows(killed) < enough:
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert not (killed / "sae").exists()
    assert start(killed).wait() == 0
    assert undisturbed.wait() == 0
    assert digest(killed) == digest(whole)
    assert not (killed / "checkpoint").exists()
