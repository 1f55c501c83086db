"""What a training run costs: memory from its shapes, time from a few measured steps.

Shape letters: B batch, D d_in, F latent_dim. Working precision is what matrix products run in
(2 bytes for bf16, 4 for fp32); everything else is float32.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sae.activations import ActivationStore
from sae.architectures.auxk import filled_up
from sae.architectures.config import Architecture, SaeConfig
from sae.checkpoint import KEPT, Checkpoints
from sae.checkpoint_pace import most_checkpoint_seconds
from sae.device import has_bfloat16_tiles, memory_errors_named, resolve_device
from sae.evaluation import evaluate, tokens_at_once
from sae.export import fold
from sae.kernels.launching import available
from sae.recipe import checkpoint_interval
from sae.run_state import RunState, product_dtype
from sae.sae_file import Sae
from sae.training_result import TrainingRequest

FLOAT = 4
"""Bytes of a float32."""

VECTORS = {
    Architecture.standard: 1,
    Architecture.gated: 3,
    Architecture.jumprelu: 2,
    Architecture.topk: 1,
    Architecture.batchtopk: 1,
}
"""Parameters of size [F], beside W_enc, W_dec and b_dec."""

LATENT_BUFFERS = {
    Architecture.standard: 2,
    Architecture.gated: 5,
    Architecture.jumprelu: 4,
    Architecture.topk: 4,
    Architecture.batchtopk: 4,
}
"""Buffers [B, F] of a step, in working precision (`compute_gradients` of each architecture)."""

COMPILED_LATENT_BUFFERS = {
    Architecture.standard: 2,
    Architecture.gated: 5,
    Architecture.jumprelu: 3,
    Architecture.topk: 2,
    Architecture.batchtopk: 2,
}
"""The same at most, where the loops are compiled (`sae.architectures.compiled`)."""

EVALUATION_BUFFERS = {
    Architecture.standard: 5,
    Architecture.gated: 7,
    Architecture.jumprelu: 7,
    Architecture.topk: 5.5,
    Architecture.batchtopk: 7,
}
"""Float32 arrays [tokens at once, F] that live at once in `sae.evaluation.evaluate` (measured:
python -m benchmarks.cost)."""

LISTS = 0.54
"""Bytes that lists take for each latent of each token, where the processor has matrix units
(`sae.architectures.listed`)."""

BLOCK = 32
"""Columns and latents that are multiplied together there (`sae.kernels.matrix_units`)."""

SERIALISED_COPIES = 2
"""Copies of a checkpoint's bytes that safetensors makes before they are written (measured:
python -m benchmarks.cost)."""

LIBRARIES = 4 * 2**20
"""Bytes that torch's libraries keep for products of a run's shapes (measured: python -m
benchmarks.scaling)."""

CUDA_LIBRARIES = 32 * 2**20
"""Bytes that torch keeps for CUDA's products (measured on an H100: python -m benchmarks.gpu)."""

MEASURED_STEPS = 6
"""Steps that are timed, after as many that are not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryCost:
    """Bytes that a run takes beside the program and its activations."""

    weights: int
    """The parameters."""
    gradients: int
    """One number a parameter."""
    moments: int
    """Adam's two a parameter."""
    step: int
    """Activations of a batch and copies in working precision, kept from the first step to the
    last."""
    checkpoint: int
    """Beside these while a checkpoint is written (in the host's memory)."""
    evaluation: int
    """Beside the first three while held-out tokens are measured."""

    @property
    def peak(self) -> int:
        """The most at any moment, on a device whose memory is the host's."""
        return self._kept + max(self.step + self.checkpoint, self.evaluation)

    @property
    def peak_on_gpu(self) -> int:
        """The most at any moment in a GPU's own memory, which holds no checkpoint."""
        return self._kept + max(self.step, self.evaluation)

    @property
    def while_training(self) -> int:
        """In the middle of the run, between checkpoints."""
        return self._kept + self.step

    @property
    def _kept(self) -> int:
        return self.weights + self.gradients + self.moments + LIBRARIES


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCost:
    """What one run takes."""

    memory: MemoryCost
    seconds: float
    """Steps and the final measurements."""
    seconds_per_step: float
    """Of a training step, batch included."""
    disk_while_running: int
    """Bytes: the checkpoints kept, and one that is being written."""
    disk_kept: int
    """Bytes of the weights alone."""


def parameter_count(sae: SaeConfig, d_in: int) -> int:
    """Numbers in the model: W_enc, W_dec, b_dec and the architecture's vectors."""
    return 2 * d_in * sae.latent_dim + d_in + VECTORS[sae.architecture] * sae.latent_dim


def _has_lists(sae: SaeConfig, d_in: int) -> bool:
    """Whether few latents on are listed: `sae.architectures.listed`, which needs numba."""
    is_standard = sae.architecture is Architecture.standard
    is_whole = d_in % BLOCK == 0 and sae.latent_dim % BLOCK == 0
    return is_standard and is_whole and has_bfloat16_tiles()


def memory_cost(
    sae: SaeConfig,
    d_in: int,
    batch_size: int,
    dtype: torch.dtype,
    *,
    compiled: bool = False,
    on_gpu: bool = False,
) -> MemoryCost:
    """Memory of a run, from its shapes alone.

    Args:
        sae: Architecture and width.
        d_in: Size of an activation.
        batch_size: Tokens in a step.
        dtype: Working precision.
        compiled: Whether compiled loops run it (`sae.kernels.launching.available`).
        on_gpu: Whether the memory is a CUDA device's.
    """
    size, latent_dim = dtype.itemsize, sae.latent_dim
    evaluation_buffers = EVALUATION_BUFFERS[sae.architecture]
    weights = FLOAT * parameter_count(sae, d_in)
    is_cast = dtype != torch.float32
    # Both matrices in working precision, and but for CUDA a product's result before it is widened.
    # With compiled loops, W_dec in words too.
    copies = (3 + compiled - on_gpu) * d_in * latent_dim * size if is_cast else 0
    errors = 2 if sae.architecture is Architecture.gated else 1
    # The batch and x - b_dec in float32; x_hat, and what is cast.
    rows = batch_size * d_in * (2 * FLOAT + size * (1 + is_cast))
    if (
        not compiled or sae.architecture is Architecture.gated
    ):  # each error and its square, and what is cast of it
        rows += batch_size * d_in * (FLOAT * (1 + errors) + is_cast * size * errors)
    buffers = COMPILED_LATENT_BUFFERS if compiled else LATENT_BUFFERS
    latents = buffers[sae.architecture] * batch_size * latent_dim * size
    if compiled:  # the sparse products' rows, and a bit for each latent of each token
        rows += batch_size * d_in * (FLOAT * errors + is_cast * size * (1 + errors))
        latents += batch_size * latent_dim // 8
    if compiled and is_cast and _has_lists(sae, d_in):  # and the tokens once more
        latents += int(LISTS * batch_size * latent_dim) + batch_size * d_in * size
    return MemoryCost(
        weights=weights,
        gradients=weights,
        moments=2 * weights,
        step=copies + rows + latents + on_gpu * CUDA_LIBRARIES,
        checkpoint=SERIALISED_COPIES * 3 * weights,
        evaluation=weights
        + FLOAT * tokens_at_once(latent_dim) * round(latent_dim * evaluation_buffers),
    )


def revival_cost(sae: SaeConfig, d_in: int, batch_size: int, dtype: torch.dtype) -> int:
    """Bytes that reviving dead latents takes in a step beside its own: the most, all being dead.

    Args:
        sae: Gives the width.
        d_in: Size of an activation.
        batch_size: Tokens in a step.
        dtype: Working precision.
    """
    rows = filled_up(sae.latent_dim)
    # What is z, f and their gradient of other latents; the decoder's rows; x_hat's gradient.
    numbers = 3 * rows * batch_size + rows * d_in + batch_size * d_in
    return numbers * dtype.itemsize


def largest_latent_dim(
    sae: SaeConfig,
    d_in: int,
    batch_size: int,
    dtype: torch.dtype,
    *,
    memory: int,
    on_gpu: bool = False,
) -> int:
    """The widest SAE of this architecture whose training fits; 0 where none does.

    Args:
        sae: The architecture; its width does not matter.
        d_in: Size of an activation.
        batch_size: Tokens in a step.
        dtype: Working precision.
        memory: Bytes that the run may take, beside the program and its activations, and beside
            `revival_cost` where latents die.
        on_gpu: It is a GPU's memory; otherwise the host's, with compiled loops.
    """

    def fits(latent_dim: int) -> bool:
        wider = replace(sae, latent_dim=latent_dim)
        cost = memory_cost(wider, d_in, batch_size, dtype, compiled=not on_gpu, on_gpu=on_gpu)
        return (cost.peak_on_gpu if on_gpu else cost.peak) <= memory

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def measure_cost(request: TrainingRequest, store: ActivationStore) -> RunCost:
    """Runs a few real steps of the request on its real activations, and a held-out batch.

    A checkpoint goes to a temporary folder; nothing else is written.

    Raises:
        SaeError: The device is absent or the memory too small.
    """
    device = resolve_device(request.device)
    trainer = request.trainer
    sizes = {"sae.latent_dim": request.sae.latent_dim, "trainer.batch_size": trainer.batch_size}
    with memory_errors_named(sizes, device):
        pace = _measure(request, store, device)
    tokens = min(trainer.held_out_tokens, store.n_held_out)
    checkpoints = trainer.total_steps // checkpoint_interval(trainer)
    training = trainer.total_steps * pace.step
    dtype = product_dtype(trainer.precision, device)
    memory = memory_cost(
        request.sae,
        store.d_in,
        trainer.batch_size,
        dtype,
        compiled=available(device),
        on_gpu=device.type == "cuda",
    )
    if trainer.dead_latents.revives:
        more = revival_cost(request.sae, store.d_in, trainer.batch_size, dtype)
        memory = replace(memory, step=memory.step + more)
    return RunCost(
        memory=memory,
        seconds=training
        + tokens * pace.token
        + min(checkpoints * pace.checkpoint, most_checkpoint_seconds(trainer, training)),
        seconds_per_step=pace.step,
        disk_while_running=(KEPT + 1) * 3 * memory.weights,
        disk_kept=memory.weights,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pace:
    """Seconds per step, per held-out token and per checkpoint."""

    step: float
    token: float
    checkpoint: float


def _measure(request: TrainingRequest, store: ActivationStore, device: torch.device) -> _Pace:
    trainer = replace(request.trainer, total_steps=max(2, request.trainer.total_steps))
    steps = min(MEASURED_STEPS, trainer.total_steps // 2)
    state = RunState(replace(request, trainer=trainer), store, device)
    batches = store.train_batches(trainer.batch_size, request.seed)

    def take_steps() -> None:
        for _ in range(steps):
            state.take_step(next(batches).to(device), check=device.type == "cpu")
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    take_steps()  # pays for allocations
    tokens = min(tokens_at_once(request.sae.latent_dim), store.n_held_out)
    sae = _as_saved(state, request, store)
    with TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "measured")
        return _Pace(
            step=_seconds(take_steps) / steps,
            token=_seconds(lambda: evaluate(sae, request.sae, store, tokens, device)) / tokens,
            checkpoint=_seconds(lambda: checkpoints.save(0, 0.0, state.tensors())),
        )


def _as_saved(state: RunState, request: TrainingRequest, store: ActivationStore) -> Sae:
    saved = state.model.inference_weights()
    return Sae(
        architecture=saved.architecture,
        d_in=store.d_in,
        latent_dim=request.sae.latent_dim,
        tensors=fold(saved, store.mean, store.scale),
        config=dict(saved.extra),
    )


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
