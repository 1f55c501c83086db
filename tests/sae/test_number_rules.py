from dataclasses import fields
from typing import Any

import pytest

from sae.activations.config import SyntheticConfig
from sae.activations.extraction_config import ExtractionConfig
from sae.architectures.config import JumpReluConfig, SaeConfig
from sae.dead_latents import DeadLatentsConfig
from sae.errors import SaeError
from sae.trainer_config import TrainerConfig

CONFIGS: dict[str, Any] = {
    "trainer.": TrainerConfig,
    "trainer.dead_latents.": DeadLatentsConfig,
    "sae.": SaeConfig,
    "sae.jumprelu.": JumpReluConfig,
    "activations.synthetic.": SyntheticConfig,
    "": ExtractionConfig,
}
NUMBERS = [
    (prefix, each.name)
    for prefix, config in CONFIGS.items()
    for each in fields(config)
    if each.type in (float, float | None)
]


@pytest.mark.parametrize(("prefix", "name"), NUMBERS)
def test_config_infinite_number_is_refused_by_name(prefix: str, name: str) -> None:
    with pytest.raises(SaeError) as caught:
        CONFIGS[prefix](**{name: float("inf")})
    assert str(caught.value).startswith(f"{prefix}{name} must ")
    assert str(caught.value).endswith(" but got inf.")
