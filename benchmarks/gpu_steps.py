"""A run's state and batches that are on the device before, for `benchmarks.gpu`."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.architectures.config import SaeConfig
from sae.dead_latents import DeadLatentsConfig
from sae.run_state import RunState
from sae.trainer_config import Precision, TrainerConfig
from sae.training import TrainingRequest

DEAD_PART = 16
STEPS_UNTIL_REVIVED = 25
"""By when the dead latents are listed and their graph is there."""
STAGED = 4
"""Batches that are on the device before."""
REVIVING = DeadLatentsConfig()
NO_REVIVAL = DeadLatentsConfig(auxk_coefficient=0.0, pre_activation=0.0)


def new_state(
    store: ActivationStore,
    sae: SaeConfig,
    batch: int,
    device: torch.device,
    *,
    graph: bool = False,
    dead: bool = False,
) -> RunState:
    """A run at its start; topk and batchtopk are asked for a 512th of the latents.

    Args:
        store: The activations.
        sae: The SAE.
        batch: Tokens of a step.
        device: Where it trains.
        graph: Whether by CUDA graphs.
        dead: Whether a 16th of the latents is dead, and is being revived.
    """
    trainer = TrainerConfig(
        batch_size=batch,
        total_steps=100_000,
        precision=Precision.bf16,
        cuda_graph=graph,
        dead_latents=REVIVING if dead else NO_REVIVAL,
    )
    alpha = 0.0 if sae.architecture.sets_l0 else 1.0
    request = TrainingRequest(
        sae=sae, trainer=trainer, alpha_canonical=alpha, target_l0_count=sae.latent_dim / 512
    )
    state = RunState(request, store, device)
    if dead:
        state.model.parameters["b_enc"][: sae.latent_dim // DEAD_PART] = -100.0
        state.trace.tokens_since_fired_F[: sae.latent_dim // DEAD_PART] = 1e12
    return state


def step(state: RunState, batches: Iterator[Tensor]) -> None:
    """A step on the next batch."""
    state.take_step(next(batches), check=False)


def staged(store: ActivationStore, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Some batches on the device, round and round."""
    batches = store.train_batches(batch, 0)
    return _round_and_round([next(batches).to(device) for _ in range(STAGED)])


def _round_and_round(batches: list[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from batches
