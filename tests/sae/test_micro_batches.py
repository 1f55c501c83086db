import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sae.architectures.base import Revival, StepSettings, StepStatistics, TrainableSae
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.architectures.registry import build
from sae.dead_set import DeadLatents
from sae.micro_batches import accumulate_gradients
from sae.workspace import Workspace

B, D, F = 96, 12, 40
SETTINGS = StepSettings(
    alpha=0.7,
    target_l0=5.3,
    revival=Revival(
        dead=DeadLatents(listed=torch.tensor([1, 4, 30]), are_dead=None),
        latents=2,
        coefficient=0.3,
    ),
)
QUADRATIC = JumpReluConfig(penalty=JumpReluPenalty.quadratic)
CONFIGS = [SaeConfig(architecture=one, latent_dim=F) for one in Architecture] + [
    SaeConfig(architecture=Architecture.jumprelu, latent_dim=F, jumprelu=QUADRATIC)
]


def gradients_of(
    config: SaeConfig, micro_batch: int
) -> tuple[TrainableSae, dict[str, Tensor], StepStatistics]:
    random = torch.Generator().manual_seed(0)
    model = build(config, D, random, Workspace(torch.float32, torch.device("cpu")))
    for value in model.parameters.values():
        value += 0.1 * torch.randn(value.shape, generator=random)
    model.after_update()
    x = torch.randn(B, D, generator=random)
    statistics = accumulate_gradients(model, x, SETTINGS, micro_batch)
    model.after_update()
    return model, {name: value.clone() for name, value in model.gradients.items()}, statistics


@pytest.mark.parametrize("micro_batch", [B // 2, B // 4, 25])
@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: config.architecture + config.penalty
)
def test_accumulate_gradients_in_parts_equals_the_whole_batch(
    config: SaeConfig, micro_batch: int
) -> None:
    _, whole, _ = gradients_of(config, B)
    _, parts, _ = gradients_of(config, micro_batch)
    for name, gradient in whole.items():
        assert gradient.norm() > 0, name
        assert (parts[name] - gradient).norm() <= 1e-6 * gradient.norm(), name


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: config.architecture + config.penalty
)
def test_accumulate_gradients_in_parts_tells_the_statistics_of_the_whole(
    config: SaeConfig,
) -> None:
    _, _, whole = gradients_of(config, B)
    _, _, parts = gradients_of(config, B // 4)
    for name in ("mse", "l1", "penalty", "loss", "firings", "auxiliary"):
        found, expected = getattr(parts, name), getattr(whole, name)
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected))


def test_batchtopk_in_parts_moves_its_threshold_as_with_the_whole_batch() -> None:
    config = SaeConfig(architecture=Architecture.batchtopk, latent_dim=F)
    whole, _, _ = gradients_of(config, B)
    parts, _, _ = gradients_of(config, B // 4)
    assert torch.equal(parts.state_tensors()["threshold"], whole.state_tensors()["threshold"])
    assert whole.state_tensors()["threshold"] > 0


# A step of 4,096 tokens at 4,096 latents wants at least one buffer of 67 MB, and is left 60 MB.
OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from sae.activations import ActivationsConfig, ActivationSource, SyntheticConfig, open_activations
from sae.architectures.config import SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

synthetic = SyntheticConfig(d_in=16, n_features=48, n_tokens=4096, held_out_tokens=512)
store = open_activations(ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic))

def request(batch_size, steps):
    trainer = TrainerConfig(total_steps=steps, batch_size=batch_size, precision="fp32")
    return TrainingRequest(
        sae=SaeConfig(latent_dim=4096), trainer=trainer, alpha_canonical=0.5, device="cpu"
    )

train(request(4096, 2), store, Path(sys.argv[1]) / "warm")  # loads and compiles all that it needs
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 60_000_000, resource.RLIM_INFINITY))
result = train(request(4096, 2), store, Path(sys.argv[1]) / "run")
print(result.state, result.micro_batch)
"""


@pytest.mark.slow
def test_train_with_too_little_memory_halves_the_micro_batch_and_says_so_once(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    state, micro_batch = ended.stdout.split()
    assert state == "complete"
    assert int(micro_batch) < 4096
    assert ended.stderr.count("do not fit into memory") == 1
