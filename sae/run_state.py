"""Everything of a run that changes from step to step, so that a checkpoint holds all of it."""

import logging

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.architectures.base import Revival, StepSettings, StepStatistics
from sae.architectures.config import Architecture
from sae.architectures.registry import build
from sae.captured_step import CapturedStep
from sae.controller import JUMPRELU_FALLING_LAG, LAG, L0Controller
from sae.dead_set import STATE_NAMES, DeadSet
from sae.deferred_gradient import Written
from sae.derived import norms_of
from sae.device import has_native_bfloat16, is_memory_error, with_tokens_that_fit
from sae.evaluation import tokens_at_once
from sae.gradient_clip import clip_divisor
from sae.health import non_finite_tensor, reason_to_stop
from sae.held_out_l0 import MOST_TOKENS, held_out_l0
from sae.micro_batches import accumulate_gradients
from sae.optimizer import Adam
from sae.recipe import alpha_at, learning_rate_at, resamples_after, target_l0_at
from sae.regularisers import add_regularisers, has_regularisers
from sae.resampling import resample
from sae.seeding import generator
from sae.trace import Trace
from sae.trainer_config import Controller, Precision
from sae.training_result import TrainingRequest
from sae.workspace import Workspace

LOG = logging.getLogger(__name__)

MOST_FACTORED_TOKENS = 128
"""From more tokens on, products in the update take longer than writing and reading gradients
(measured on an H100: python -m benchmarks.gpu_blocks)."""
STEPS_BETWEEN_LISTS = 10
"""Of dead latents, where the host is told their number by the device."""

SETTLED_AT_ONCE = 256
"""Tokens of a part of a batch after the last step: what that takes fits wherever a step did."""

NOT_IN_EVERY_CHECKPOINT = (*STATE_NAMES, norms_of("W_dec"), "resampled")
"""Tensors that not every device has, since a run may go on on another one, or that an earlier
version did not count."""


class RunState:
    """Model, optimizer and trace of one run, and the step it has come to."""

    def __init__(
        self, request: TrainingRequest, store: ActivationStore, device: torch.device
    ) -> None:
        """Starts at step 0 with the seed's initial weights."""
        self.request = request
        dtype = product_dtype(request.trainer.precision, device)
        self.model = build(
            request.sae, store.d_in, generator(request.seed, "init"), Workspace(dtype, device)
        )
        model = self.model
        self.optimizer = Adam(
            model.parameters, model.gradients, model.rate_factors(), model.workspace
        )
        self.trace = Trace(request.trainer.total_steps, request.sae.latent_dim, device)
        self.controller = _controller(request)
        self.micro_batch = torch.tensor(request.trainer.batch_size)
        self.resampled = torch.tensor(0)
        """Dead latents replaced so far."""
        every = 1 if device.type == "cpu" else STEPS_BETWEEN_LISTS
        self.dead = DeadSet(request.sae.latent_dim, device, every)
        is_captured = request.trainer.cuda_graph and device.type == "cuda"
        self.captured = self.new_captured_step() if is_captured else None
        self.step = 0

    def alpha(self, step: int) -> float:
        """The penalty's coefficient of a step; beyond the run's end, what it ended with."""
        if self.controller is not None:
            return self.controller.alpha_at(step)
        return alpha_at(step, self.request.alpha_canonical, self.request.trainer)

    def tensors(self) -> dict[str, Tensor]:
        """The live tensors, for a checkpoint to save or to overwrite."""
        return {
            **self.model.state_tensors(),
            **self.optimizer.state_tensors(),
            **self.trace.state_tensors(),
            **self.dead.state_tensors(),
            "micro_batch": self.micro_batch,
            "resampled": self.resampled,
            **(self.controller.state_tensors() if self.controller is not None else {}),
        }

    def after_restore(self, step: int) -> None:
        """Goes on after `step` steps, whose state a checkpoint has put into `tensors`."""
        self.step = step
        if step:
            self.model.after_restore(self._target_l0(step - 1))

    def take_step(self, x_BD: Tensor, check: bool) -> str | None:
        """Trains on one batch, unless what it gives is not finite.

        Args:
            x_BD: Canonical activations on the run's device.
            check: Whether to look for NaN and infinity before the optimizer moves.

        Returns:
            What is not finite, with the step; None where all went well.
        """
        request, step = self.request, self.step
        trainer = request.trainer
        settings = self._settings()
        self.model.writes = self._writes(settings)
        statistics, captured = self._captured_gradients(x_BD, settings), self.captured
        if statistics is None:
            statistics, captured = self._compute_gradients(x_BD, settings), None
        add_regularisers(self.model, trainer.dead_latents, request.seed, step)
        broken = non_finite_tensor(statistics, self.model.gradients) if check else None
        if broken is not None:
            return f"step {step}: {broken} is not finite"
        if captured is not None:
            captured.update(learning_rate_at(step, trainer), self._update)
        else:
            self._update(learning_rate_at(step, trainer))
        self.trace.record(step, statistics, trainer.batch_size)
        self.step += 1
        if resamples_after(step, trainer):
            self._resample(x_BD)
        return None

    def _captured_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics | None:
        """The step's gradients by a CUDA graph; None where it is none of those it can be.

        Graphs hold memory of their own, so that they are given up where memory is wanting.
        """
        captured = self.captured
        if captured is None or not captured.fits(settings, int(self.micro_batch)):
            return None
        try:
            return captured.compute_gradients(x_BD, settings)
        except (MemoryError, RuntimeError) as error:
            # A capture that fails may raise another error on its way out.
            if not any(is_memory_error(each) for each in (error, error.__context__) if each):
                raise
        self.captured = captured = None
        self.model.release()
        if x_BD.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """The step's gradients, from smaller and smaller parts of the batch as memory asks."""
        before = int(self.micro_batch)
        statistics, tokens = with_tokens_that_fit(
            lambda tokens: accumulate_gradients(self.model, x_BD, settings, tokens),
            before,
            self.model.release,
        )
        if tokens < before:
            self.micro_batch.fill_(tokens)
            self.captured = None  # whose memory is wanted
            LOG.warning(
                "Step %d: %d tokens at once do not fit into memory; gradients are summed over "
                "parts of %d from here on, which is the same mathematics.",
                self.step, before, tokens,
            )  # fmt: skip
        return statistics

    def _update(self, learning_rate: float | Tensor) -> None:
        longest, model = self.request.trainer.gradient_clip, self.model
        divisor = None
        if longest is not None:
            divisor = clip_divisor(
                model.gradients, longest, model.workspace.derived, model.deferred
            )
        self.optimizer.step(learning_rate, divisor, model.deferred)
        model.after_update()

    def _writes(self, settings: StepSettings) -> Written:
        """How much of the matrices' gradients a step must write, since others add to them.

        The same at every step of a CUDA graph.
        """
        trainer, space = self.request.trainer, self.model.workspace
        if not space.fused or int(self.micro_batch) < trainer.batch_size:
            return Written.gradients
        if has_regularisers(trainer.dead_latents):
            return Written.gradients
        # AuxK's factors of W_dec's gradient are as long again.
        tokens = trainer.batch_size * (1 if settings.revival is None else 2)
        has_few = tokens <= MOST_FACTORED_TOKENS and space.dtype is torch.bfloat16
        return Written.nothing if has_few else Written.products

    def settle(self, x_BD: Tensor, number: int) -> int:
        """Lets the model look at a batch after the last step.

        Args:
            x_BD: Canonical activations on the run's device.
            number: How many parts of batches it has looked at.

        Returns:
            The same with this batch's.
        """
        settings = StepSettings(alpha=0.0, target_l0=self._target_l0(self.step - 1))
        for part_BD in x_BD.split(SETTLED_AT_ONCE):
            self.model.settle(part_BD, settings, number)
            number += 1
        return number

    def new_captured_step(self) -> CapturedStep:
        """Steps as CUDA graphs; where target_l0 falls, from the step on where it has fallen."""
        request = self.request
        batch_size, target = request.trainer.batch_size, request.target_l0_count
        return CapturedStep(self.model, batch_size, target)

    def release(self) -> None:
        """Gives back the memory that only steps need."""
        self.captured = None
        self.model.release()

    def steer(self, store: ActivationStore) -> None:
        """Lets the controller, if there is one and it is due, measure L0 and move alpha."""
        last_step = self.step - 1
        if self.controller is not None and self.controller.measures_after(last_step):
            most = min(self.request.trainer.held_out_tokens, MOST_TOKENS)
            l0, _ = with_tokens_that_fit(
                lambda tokens: held_out_l0(self.model, store, most, tokens),
                tokens_at_once(self.request.sae.latent_dim),
            )
            self.controller.observe(last_step, l0)

    def _settings(self) -> StepSettings:
        target = self._target_l0(self.step)
        return StepSettings(alpha=self._step_alpha(), target_l0=target, revival=self._revival())

    def _target_l0(self, step: int) -> float | None:
        request = self.request
        return target_l0_at(step, request.target_l0_count, request.sae.latent_dim, request.trainer)

    def _step_alpha(self) -> float | Tensor:
        """The step's alpha; on a GPU as the graphs have it, so that steps without them agree."""
        alpha, device = self.alpha(self.step), self.model.workspace.device
        return torch.full((), alpha, device=device) if device.type == "cuda" else alpha

    def _revival(self) -> Revival | None:
        config = self.request.trainer.dead_latents
        if not config.revives:
            return None
        dead = self.dead.at(self.step, self._dead_latents())
        if dead is None:
            return None
        half_of_d_in = max(1, len(self.model.parameters["b_dec"]) // 2)
        return Revival(
            dead=dead,
            latents=config.auxk_latents or half_of_d_in,
            coefficient=config.auxk_coefficient,
            pre_activation=config.pre_activation,
        )

    def _dead_latents(self) -> Tensor:
        """Which latents have not fired for `trainer.dead_window` tokens, bool [latent_dim]."""
        return self.trace.tokens_since_fired_F >= self.request.trainer.dead_window_tokens

    def reason_to_stop(self) -> str | None:
        """Why going on is pointless, if it is; a controller may yet help until it lets go."""
        trainer = self.request.trainer
        if not trainer.stop_early:
            return None
        if self.controller is not None and self.step <= self.controller.last:
            return None
        d_in = len(self.model.parameters["b_dec"])
        return reason_to_stop(self.trace, self.step, trainer, d_in)

    def _resample(self, x_BD: Tensor) -> None:
        """Replaces the dead latents, drawing from the batch `x_BD` where the kind needs tokens."""
        dead_F = self._dead_latents()
        random = generator(self.request.seed, f"resample/step {self.step}")
        kind = self.request.trainer.dead_latents.resampling
        replaced = resample(kind, self.model, self.optimizer, dead_F, x_BD, random)
        if replaced:
            self.resampled += replaced
            self.trace.tokens_since_fired_F.masked_fill_(dead_F, 0)


def _controller(request: TrainingRequest) -> L0Controller | None:
    if request.trainer.controller is Controller.none or request.target_l0_count is None:
        return None
    lag = JUMPRELU_FALLING_LAG if request.sae.architecture is Architecture.jumprelu else LAG
    return L0Controller(request.trainer, request.alpha_canonical, request.target_l0_count, lag)


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products run in."""
    if precision is Precision.auto:
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision is Precision.bf16 else torch.float32
