"""Which class trains which architecture; a new architecture is one line here."""

import torch

from sae.architectures.base import TrainableSae
from sae.architectures.batchtopk import BatchTopKSae
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.gated import GatedSae
from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.linear import LinearEncoderSae
from sae.architectures.standard import StandardSae
from sae.architectures.topk import TopKSae
from sae.workspace import Workspace

REGISTRY: dict[Architecture, type[LinearEncoderSae]] = {
    Architecture.standard: StandardSae,
    Architecture.gated: GatedSae,
    Architecture.jumprelu: JumpReluSae,
    Architecture.topk: TopKSae,
    Architecture.batchtopk: BatchTopKSae,
}


def build(
    config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
) -> TrainableSae:
    """A freshly initialised SAE of the architecture that `config` names."""
    return REGISTRY[config.architecture](config, d_in, generator, workspace)
