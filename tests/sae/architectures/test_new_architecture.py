"""CONTRIBUTING's worked example, done as it says: one new file and one new line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sae

SOURCES = Path(sae.__file__).parent
CONTRIBUTING = SOURCES.parent / "CONTRIBUTING.md"
TRAIN = """
from pathlib import Path
import sae
from sae.activations import ActivationsConfig, ActivationSource, SyntheticConfig, open_activations
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

synthetic = SyntheticConfig(d_in=16, n_features=48, n_tokens=2048, held_out_tokens=512)
store = open_activations(ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic))
request = TrainingRequest(
    sae=SaeConfig(architecture=Architecture("unit_norm"), latent_dim=32),
    trainer=TrainerConfig(total_steps=60, batch_size=64),
    alpha_canonical=0.5,
    device="cpu",
)
result = train(request, store, Path("run"))
rows = sae.load("run/sae").tensors["W_dec"] * store.scale
print(sae.__file__, result.state, float((rows.norm(dim=1) - 1).abs().max()) < 1e-5)
"""


@pytest.mark.slow
def test_contributing_example_of_a_new_architecture_trains(tmp_path: Path) -> None:
    file, line = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    shutil.copytree(SOURCES, tmp_path / "sae")
    (tmp_path / "sae" / "architectures" / "unit_norm.py").write_text(file)
    config = tmp_path / "sae" / "architectures" / "config.py"
    last = '    batchtopk = "batchtopk"\n'
    config.write_text(config.read_text().replace(last, last + line, 1))

    ended = subprocess.run(
        [sys.executable, "-c", TRAIN],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(tmp_path / "sae" / "__init__.py"), "complete", "True"]
