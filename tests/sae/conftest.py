import os
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton

from sae.activations import (
    ActivationsConfig,
    ActivationSource,
    ActivationStore,
    SyntheticConfig,
    open_activations,
)
from sae.architectures.config import SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest

NO_CUDA = "no CUDA device on this machine"


@pytest.fixture(autouse=True)
def threads() -> Generator[None]:
    """Gives torch back the threads that it had before a test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA),
            ],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="session")
def store() -> ActivationStore:
    synthetic = SyntheticConfig(
        d_in=16, n_features=48, active_features=3, n_tokens=4096, held_out_tokens=1024
    )
    return open_activations(
        ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
    )


@pytest.fixture
def short_run() -> TrainingRequest:
    trainer = TrainerConfig(
        total_steps=60, batch_size=64, learning_rate=3e-3, dead_window=1000, checkpoint_share=1.0
    )
    return TrainingRequest(
        sae=SaeConfig(latent_dim=32), trainer=trainer, alpha_canonical=0.5, device="cpu"
    )


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
