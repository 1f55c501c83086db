from dataclasses import replace

import pytest
import torch

from sae.activations import ActivationStore
from sae.architectures.base import Revival, StepSettings
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.cost import (
    COMPILED_LATENT_BUFFERS,
    LATENT_BUFFERS,
    LISTS,
    largest_latent_dim,
    measure_cost,
    memory_cost,
    parameter_count,
    revival_cost,
)
from sae.dead_latents import DeadLatentsConfig
from sae.dead_set import DeadLatents
from sae.device import has_bfloat16_tiles
from sae.seeding import generator
from sae.trainer_config import Precision, TrainerConfig
from sae.training_result import TrainingRequest
from sae.workspace import Workspace

D_IN, WIDTH, BATCH = 24, 96, 32


@pytest.mark.parametrize("architecture", Architecture)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_memory_cost_counts_what_a_step_allocates(
    architecture: Architecture, dtype: torch.dtype, compiled: bool
) -> None:
    sae = SaeConfig(architecture=architecture, latent_dim=WIDTH)
    space = Workspace(dtype, torch.device("cpu"), compiled=compiled)
    model = build(sae, D_IN, generator(0, "init"), space)
    # So many active latents that this step does not save memory by being sparse; the next one is.
    settings = StepSettings(alpha=0.1, target_l0=WIDTH / 4)
    model.compute_gradients(torch.randn(BATCH, D_IN), settings)
    for name in model.parameters.keys() & {"b_enc", "b_gate"}:
        model.parameters[name] -= 100
    model.compute_gradients(torch.randn(BATCH, D_IN), settings)

    numbers = sum(value.numel() for value in model.parameters.values())
    assert parameter_count(sae, D_IN) == numbers
    latents = [
        buffer
        for buffer in space._buffers.values()  # pyright: ignore[reportPrivateUsage]
        if buffer.numel() == BATCH * WIDTH
    ]
    expected = COMPILED_LATENT_BUFFERS if compiled else LATENT_BUFFERS
    assert len(latents) == expected[architecture]
    kept = sum(
        buffer.numel() * buffer.itemsize
        for buffer in space._buffers.values()  # pyright: ignore[reportPrivateUsage]
    )
    predicted = memory_cost(sae, D_IN, BATCH, dtype, compiled=compiled).step
    assert predicted == pytest.approx(kept, rel=0.2)


@pytest.mark.skipif(not has_bfloat16_tiles(), reason="no matrix units for bfloat16 here")
def test_memory_cost_counts_the_lists_of_latents_that_matrix_units_find() -> None:
    width, d_in, batch = 4096, 384, 1024
    sae, space = SaeConfig(latent_dim=width), Workspace(torch.bfloat16, torch.device("cpu"))
    model = build(sae, d_in, generator(0, "init"), space)
    model.parameters["b_enc"] -= 100
    model.compute_gradients(torch.randn(batch, d_in), StepSettings(alpha=0.1))
    found = sum(
        buffer.numel() * buffer.itemsize
        for name, buffer in space._buffers.items()  # pyright: ignore[reportPrivateUsage]
        if name.startswith(("found_", "lists_", "paired_"))
    )
    counted = LISTS * batch * width + batch * d_in * torch.bfloat16.itemsize
    assert found == pytest.approx(counted, rel=0.1)
    with_lists = memory_cost(sae, d_in, batch, torch.bfloat16, compiled=True).step
    without = memory_cost(
        replace(sae, latent_dim=width + 1), d_in, batch, torch.bfloat16, compiled=True
    ).step
    assert with_lists - without == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("architecture", [Architecture.standard, Architecture.gated])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_revival_cost_counts_what_a_step_allocates_where_all_latents_are_dead(
    architecture: Architecture, dtype: torch.dtype, compiled: bool
) -> None:
    sae = SaeConfig(architecture=architecture, latent_dim=WIDTH)
    space = Workspace(dtype, torch.device("cpu"), compiled=compiled)
    model = build(sae, D_IN, generator(0, "init"), space)
    dead = DeadLatents(listed=torch.arange(WIDTH), are_dead=None)
    revival = Revival(dead=dead, latents=D_IN // 2, coefficient=1.0, pre_activation=0.03)
    model.compute_gradients(torch.randn(BATCH, D_IN), StepSettings(alpha=0.1, revival=revival))
    found = sum(
        buffer.numel() * buffer.itemsize
        for name, buffer in space._buffers.items()  # pyright: ignore[reportPrivateUsage]
        if name.startswith("dead_")
    )
    assert revival_cost(sae, D_IN, BATCH, dtype) == found


def test_memory_cost_grows_with_each_of_its_causes() -> None:
    def peak(width: int = 1024, d_in: int = 64, batch: int = 256) -> int:
        return memory_cost(SaeConfig(latent_dim=width), d_in, batch, torch.float32).peak

    assert peak(width=2048) == pytest.approx(2 * peak(), rel=0.05)
    assert peak(d_in=128) > peak()
    assert peak(batch=16384) > peak()


@pytest.mark.parametrize("on_gpu", [False, True])
def test_largest_latent_dim_fits_and_the_next_one_does_not(on_gpu: bool) -> None:
    memory = 10**8
    sae = SaeConfig()

    def need(width: int) -> int:
        wider = replace(sae, latent_dim=width)
        cost = memory_cost(wider, D_IN, BATCH, torch.float32, compiled=not on_gpu)
        return cost.peak_on_gpu if on_gpu else cost.peak

    widest = largest_latent_dim(sae, D_IN, BATCH, torch.float32, memory=memory, on_gpu=on_gpu)
    assert need(widest) <= memory < need(widest + 1)


def test_largest_latent_dim_is_zero_where_nothing_fits() -> None:
    assert largest_latent_dim(SaeConfig(), D_IN, BATCH, torch.float32, memory=1000) == 0


def request_of(steps: int) -> TrainingRequest:
    return TrainingRequest(
        sae=SaeConfig(latent_dim=32),
        trainer=TrainerConfig(batch_size=16, total_steps=steps, precision=Precision.fp32),
        alpha_canonical=1.0,
        device="cpu",
    )


def test_measure_cost_of_a_single_step_is_measured_too(store: ActivationStore) -> None:
    assert measure_cost(request_of(1), store).seconds > 0


def test_measure_cost_counts_the_revival_of_dead_latents(store: ActivationStore) -> None:
    request = request_of(10)
    config = DeadLatentsConfig(auxk_coefficient=0, pre_activation=0)
    without = replace(request, trainer=replace(request.trainer, dead_latents=config))
    more = measure_cost(request, store).memory.step - measure_cost(without, store).memory.step
    assert more == revival_cost(request.sae, store.d_in, 16, torch.float32)


def test_measure_cost_counts_a_third_checkpoint_while_it_is_written(
    store: ActivationStore,
) -> None:
    found = measure_cost(request_of(10), store)
    assert found.disk_while_running == 3 * 3 * found.disk_kept


def test_measure_cost_scales_with_the_steps(store: ActivationStore) -> None:
    def cost(steps: int) -> float:
        found = measure_cost(request_of(steps), store)
        return found.seconds / (steps * found.seconds_per_step)

    assert cost(10) > 1
    assert cost(1_000_000) == pytest.approx(1, rel=0.2)
