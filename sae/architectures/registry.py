"""Which class trains which architecture; a new architecture is one line here."""

import torch

from sae.architectures.base import Architecture, SaeConfig, TrainableSae
from sae.architectures.linear import LinearEncoderSae
from sae.architectures.standard import StandardSae
from sae.workspace import Workspace

REGISTRY: dict[Architecture, type[LinearEncoderSae]] = {
    Architecture.standard: StandardSae,
}


def build(
    config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
) -> TrainableSae:
    """A freshly initialised SAE of the architecture that `config` names."""
    return REGISTRY[config.architecture](config, d_in, generator, workspace)
