"""Finds the class of an architecture in the file of its name.

A new architecture is one file here, which ends in `ARCHITECTURE = ItsClass`, and one line in
`Architecture` (CONTRIBUTING has a worked example).
"""

from importlib import import_module

import torch

from sae.architectures.base import TrainableSae
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.linear import LinearEncoderSae
from sae.workspace import Workspace


def trainable_class(architecture: Architecture) -> type[LinearEncoderSae]:
    """The class that trains an architecture."""
    return import_module(f"sae.architectures.{architecture.value}").ARCHITECTURE


def build(
    config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
) -> TrainableSae:
    """A freshly initialised SAE of the architecture that `config` names."""
    return trainable_class(config.architecture)(config, d_in, generator, workspace)
