"""Everybody who can take a training step: ours, plain torch, SAELens and the other peers.

Shape letters: B batch, D d_in, F latent_dim.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from benchmarks.demo import for_raw_rows, held_out
from benchmarks.paced import PacedTraining
from benchmarks.peers import (
    PeerRun,
    dictionary_learning_sae,
    dictionary_learning_settings,
    is_installed,
    saelens_trainer,
)
from sae.activations import ActivationStore
from sae.architectures.config import Architecture
from sae.device import has_native_bfloat16
from sae.recipe import alpha_at, learning_rate_at
from sae.sae_file import Sae
from sae.training import TrainingRequest

Weights = dict[str, Tensor]


class Contestant(ABC):
    """A trainer that takes the same steps as the others."""

    name: str
    is_emulated: bool = False
    """Whether the processor lacks what its switch asks for, so that it takes few steps only."""

    @abstractmethod
    def step(self) -> float:
        """Takes the next step on the next batch; returns its seconds."""

    @abstractmethod
    def held_out(self, store: ActivationStore) -> tuple[float, float]:
        """L0 and fvu now."""


class Ours(Contestant):
    """The whole of `sae.training.train`."""

    def __init__(self, name: str, request: TrainingRequest, layer: int) -> None:
        self.name = name
        self.training = PacedTraining(request, layer)

    def step(self) -> float:
        """See `Contestant`."""
        return self.training.step()

    def held_out(self, store: ActivationStore) -> tuple[float, float]:  # noqa: ARG002
        """See `Contestant`; what the trainer itself measured."""
        result = self.training.result()
        return result.l0 or 0.0, result.fvu or 0.0


class _InLoop(Contestant):
    """A contestant whose step is a function of step number and batch."""

    def __init__(self, name: str, batches: Sequence[Tensor], *, autocast: bool) -> None:
        self.name = name
        self.batches = batches
        self.is_emulated = autocast and not has_native_bfloat16(torch.device("cpu"))
        self.done = 0

    def step(self) -> float:
        """See `Contestant`."""
        started = time.perf_counter()
        self.update(self.done, self.batches[self.done])
        self.done += 1
        return time.perf_counter() - started

    @abstractmethod
    def update(self, step: int, x_BD: Tensor) -> None:
        """One training step."""

    @abstractmethod
    def sae(self) -> Sae:
        """What it has come to, for canonical activations."""

    def held_out(self, store: ActivationStore) -> tuple[float, float]:
        """See `Contestant`."""
        return held_out(for_raw_rows(self.sae(), store), store)


class PlainTorch(_InLoop):
    """The loss as one would write it, autograd, and torch's fused Adam."""

    def __init__(
        self, start: Weights, run: PeerRun, batches: Sequence[Tensor], *, autocast: bool
    ) -> None:
        super().__init__(
            "plain torch, fused Adam" + ", autocast" * autocast, batches, autocast=autocast
        )
        self.weights = {name: value.clone().requires_grad_() for name, value in start.items()}
        self.adam = torch.optim.Adam(list(self.weights.values()), fused=True)
        self.run = run
        self.autocast = autocast

    def update(self, step: int, x_BD: Tensor) -> None:
        """See `_InLoop`."""
        weights = self.weights
        with _precision(self.autocast):
            f_BF = torch.relu((x_BD - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
            x_hat_BD = f_BF @ weights["W_dec"] + weights["b_dec"]
        mse = (x_hat_BD.float() - x_BD).square().sum(1).mean()
        l1 = (f_BF.float().mean(0) * weights["W_dec"].norm(dim=1)).sum()
        loss = mse + alpha_at(step, self.run.coefficient, self.run.trainer) * l1
        self.adam.zero_grad()
        loss.backward()
        if self.run.trainer.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.weights.values(), self.run.trainer.gradient_clip)
        self.adam.param_groups[0]["lr"] = learning_rate_at(step, self.run.trainer)
        self.adam.step()

    def sae(self) -> Sae:
        """See `_InLoop`."""
        return _standard(self.weights)


class SaeLens(_InLoop):
    """SAELens's `SAETrainer.step`, which is its loop less the logging."""

    def __init__(
        self,
        start: Weights,
        run: PeerRun,
        batches: Sequence[Tensor],
        *,
        autocast: bool,
        compiled: bool,
    ) -> None:
        name = "SAELens" + ", autocast" * autocast + ", compile" * compiled
        super().__init__(name, batches, autocast=autocast)
        self.trainer = saelens_trainer(run, iter(batches), autocast=autocast)
        own = dict(self.trainer.sae.named_parameters())
        with torch.no_grad():
            for name in start.keys() & own.keys():
                own[name].copy_(start[name])
        if compiled:  # as its runner does with compile_sae
            self.trainer.sae.training_forward_pass = torch.compile(
                self.trainer.sae.training_forward_pass
            )

    def update(self, step: int, x_BD: Tensor) -> None:
        """See `_InLoop`."""
        self.trainer.n_training_steps = step
        self.trainer.step(x_BD)

    def sae(self) -> Sae:
        """See `_InLoop`."""
        return _standard(dict(self.trainer.sae.named_parameters()))


class DictionaryLearning(_InLoop):
    """dictionary_learning's `StandardTrainerAprilUpdate.update`."""

    def __init__(
        self, start: Weights, run: PeerRun, batches: Sequence[Tensor], *, autocast: bool
    ) -> None:
        super().__init__(
            "dictionary_learning April" + ", autocast" * autocast, batches, autocast=autocast
        )
        self.autocast = autocast
        library: Any = import_module("dictionary_learning.trainers.standard")
        self.trainer = library.StandardTrainerAprilUpdate(**dictionary_learning_settings(run))
        with torch.no_grad():
            self.trainer.ae.encoder.weight.copy_(start["W_enc"].t())
            self.trainer.ae.decoder.weight.copy_(start["W_dec"].t())
            self.trainer.ae.encoder.bias.zero_()  # a Linear draws its bias

    def update(self, step: int, x_BD: Tensor) -> None:
        """See `_InLoop`."""
        with _precision(self.autocast):
            self.trainer.update(step, x_BD)

    def sae(self) -> Sae:
        """See `_InLoop`."""
        return dictionary_learning_sae(self.trainer.ae)


class Sparsify(_InLoop):
    """sparsify's `SparseCoder`, stepped as its trainer does: TopK, another loss, unit rows."""

    def __init__(self, run: PeerRun, batches: Sequence[Tensor], *, autocast: bool) -> None:
        super().__init__("sparsify" + ", autocast" * autocast, batches, autocast=autocast)
        os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")  # which wants a GPU
        library: Any = import_module("sparsify")
        config = library.SparseCoderConfig(num_latents=run.latent_dim, k=round(run.coefficient))
        self.coder = library.SparseCoder(run.d_in, config, "cpu", dtype=torch.float32)
        self.coder.b_dec.data = batches[0].mean(0)
        self.adam = torch.optim.Adam(self.coder.parameters())
        self.run, self.autocast = run, autocast

    def update(self, step: int, x_BD: Tensor) -> None:
        """See `_InLoop`."""
        self.coder.set_decoder_norm_to_unit_norm()
        with _precision(self.autocast):
            out = self.coder(x_BD)
        out.fvu.backward()
        self.coder.remove_gradient_parallel_to_decoder_directions()
        self.adam.param_groups[0]["lr"] = learning_rate_at(step, self.run.trainer)
        self.adam.step()
        self.adam.zero_grad()

    def sae(self) -> Sae:
        """See `_InLoop`; not wanted, since its loss is another."""
        raise NotImplementedError


Make = Callable[[], _InLoop]


def others(
    start: Weights, run: PeerRun, batches: Sequence[Tensor], *, compiled: bool
) -> dict[str, Make]:
    """Plain torch, and every peer that is installed and trains this, each with its switches.

    dictionary_learning is left out where SAELens is compiled: it imports nnsight 0.3, after which
    torch 2.13 compiles nothing that multiplies a parameter by a number.

    Returns:
        What makes each, by a name to tell them apart.
    """
    makers: dict[str, Make] = {}
    is_standard = run.architecture is Architecture.standard
    for autocast in (False, True):
        switch = ", autocast" if autocast else ""
        if is_standard:
            makers[f"plain torch{switch}"] = partial(
                PlainTorch, start, run, batches, autocast=autocast
            )
        if is_installed("sae_lens"):
            makers[f"SAELens{switch}"] = partial(
                SaeLens, start, run, batches, autocast=autocast, compiled=compiled
            )
        if is_installed("dictionary_learning") and is_standard and not compiled:
            makers[f"dictionary_learning{switch}"] = partial(
                DictionaryLearning, start, run, batches, autocast=autocast
            )
        if is_installed("sparsify") and run.architecture is Architecture.topk:
            makers[f"sparsify{switch}"] = partial(Sparsify, run, batches, autocast=autocast)
    return makers


def _precision(autocast: bool) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext()


def _standard(weights: Weights) -> Sae:
    tensors = {name: value.detach().clone() for name, value in weights.items()}
    d_in, latent_dim = tensors["W_enc"].shape
    return Sae(
        architecture="standard", d_in=d_in, latent_dim=latent_dim, tensors=tensors, config={}
    )
