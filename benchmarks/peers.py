"""SAELens's and dictionary_learning's own trainers, set to our recipe as near as they permit.

What they do that we do not, and that no setting turns off: both clip the gradient's norm at 1
(sums over d_in make it far larger, so nearly every step is rescaled; Adam then sees a slowly
moving factor); both raise the penalty one step later, and dictionary_learning the learning rate
too; each draws its initial weights in its own way.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from sae.architectures.config import Architecture
from sae.recipe import LONGEST_ALPHA_WARMUP, LONGEST_LEARNING_RATE_WARMUP
from sae.sae_file import Sae, load
from sae.schedules import resolve_steps
from sae.trainer_config import TrainerConfig

NORM_BATCHES = 100
"""Batches from which the peers estimate the scale of the data (dictionary_learning's own)."""

Batches = Callable[[], Iterator[Tensor]]
"""Starts the stream of batches anew."""


def is_installed(library: str) -> bool:
    """Whether the peer can be imported (`make interop` installs both)."""
    return find_spec(library) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRun:
    """One SAE for a peer to train."""

    architecture: Architecture
    """Under the name that both sides use."""
    d_in: int
    """Size of an activation."""
    latent_dim: int
    """Number of latents."""
    coefficient: float
    """Of the penalty, in the units of the batches; for topk and batchtopk it is k."""
    trainer: TrainerConfig
    """Our recipe, which the peer is set to."""
    seed: int = 0
    """Of the initial weights."""

    @property
    def learning_rate_warmup(self) -> int:
        """Steps."""
        trainer = self.trainer
        return resolve_steps(
            trainer.learning_rate_warmup, trainer.total_steps, LONGEST_LEARNING_RATE_WARMUP
        )

    @property
    def coefficient_warmup(self) -> int:
        """Steps."""
        return resolve_steps(
            self.trainer.alpha_warmup, self.trainer.total_steps, LONGEST_ALPHA_WARMUP
        )

    @property
    def decay(self) -> int:
        """Steps."""
        return round(self.trainer.decay_fraction * self.trainer.total_steps)


def saelens_trainer(
    run: PeerRun, batches: Iterator[Tensor], *, autocast: bool = False, normalize: bool = False
) -> Any:
    """SAELens's `SAETrainer`, ready for `fit()` or for `step(batch)`.

    Args:
        run: What to train.
        batches: What it trains on.
        autocast: Its switch for bf16.
        normalize: Let it scale raw activations to a mean norm of sqrt(d_in).
    """
    library = import_module("sae_lens")
    torch.manual_seed(run.seed)
    sae = _saelens_sae(library, run, normalize)
    trainer = run.trainer
    config = import_module("sae_lens.config").SAETrainerConfig(
        total_training_samples=trainer.batch_size * trainer.total_steps,
        train_batch_size_samples=trainer.batch_size,
        lr=trainer.learning_rate,
        lr_end=trainer.learning_rate,  # unused by a constant schedule, but None is refused
        lr_warm_up_steps=run.learning_rate_warmup,
        lr_decay_steps=run.decay,
        autocast=autocast,
        n_batches_for_norm_estimate=NORM_BATCHES,
    )
    return library.SAETrainer(cfg=config, sae=sae, data_provider=batches)


def _saelens_sae(library: Any, run: PeerRun, normalize: bool) -> Any:
    warmup = run.coefficient_warmup
    l1 = {"l1_coefficient": run.coefficient, "l1_warm_up_steps": warmup}
    name, settings = {
        Architecture.standard: ("StandardTrainingSAE", l1),
        Architecture.gated: ("GatedTrainingSAE", l1),
        Architecture.jumprelu: (
            "JumpReLUTrainingSAE",
            {"l0_coefficient": run.coefficient, "l0_warm_up_steps": warmup},
        ),
        Architecture.topk: ("TopKTrainingSAE", {"k": round(run.coefficient)}),
        Architecture.batchtopk: ("BatchTopKTrainingSAE", {"k": run.coefficient}),
    }[run.architecture]
    config = getattr(library, f"{name}Config")(
        d_in=run.d_in,
        d_sae=run.latent_dim,
        normalize_activations="expected_average_only_in" if normalize else "none",
        **settings,
    )
    return getattr(library, name)(config)


def train_saelens(run: PeerRun, batches: Batches, *, normalize: bool = False) -> Sae:
    """Trains with SAELens's own loop; the SAE takes activations as the batches have them."""
    stream = batches()
    if normalize:  # the estimate eats its batches, and training shall see the same ones
        stream = chain(islice(batches(), NORM_BATCHES), stream)
    with _silenced(), TemporaryDirectory() as folder:
        sae = saelens_trainer(run, stream, normalize=normalize).fit()
        sae.save_inference_model(folder)
        return load(folder)


@contextmanager
def _silenced() -> Generator[None]:
    """Keeps the peers' progress bars and prints off our tables; errors still come as such."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


class _Restarting:
    """Batches that start anew whenever they are iterated over, as `trainSAE` expects."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Tensor]:
        return self.batches()


def dictionary_learning_settings(run: PeerRun) -> dict[str, Any]:
    """What dictionary_learning's `StandardTrainerAprilUpdate` is made with (standard only)."""
    trainer = run.trainer
    return {
        "steps": trainer.total_steps,
        "activation_dim": run.d_in,
        "dict_size": run.latent_dim,
        "layer": 0,
        "lm_name": "none",
        "lr": trainer.learning_rate,
        "l1_penalty": run.coefficient,
        "warmup_steps": run.learning_rate_warmup,
        "sparsity_warmup_steps": run.coefficient_warmup,
        "decay_start": trainer.total_steps - run.decay if run.decay else None,
        "seed": run.seed,
        "device": "cpu",
    }


def train_dictionary_learning(run: PeerRun, batches: Batches, *, normalize: bool = False) -> Sae:
    """Trains with dictionary_learning's `trainSAE` and its April update."""
    trainer = import_module("dictionary_learning.trainers.standard").StandardTrainerAprilUpdate
    settings = {"trainer": trainer, **dictionary_learning_settings(run)}
    with _silenced(), TemporaryDirectory() as folder:
        import_module("dictionary_learning.training").trainSAE(
            data=_Restarting(batches),
            trainer_configs=[settings],
            steps=run.trainer.total_steps,
            save_dir=folder,
            device="cpu",
            normalize_activations=normalize,
        )
        dictionary = import_module("dictionary_learning.dictionary").AutoEncoder
        trained = dictionary.from_pretrained(
            Path(folder) / "trainer_0" / "ae.pt", normalize_decoder=False
        )
    return dictionary_learning_sae(trained)


def dictionary_learning_sae(trained: Any) -> Sae:
    """dictionary_learning's `AutoEncoder` as ours."""
    tensors = {
        "W_enc": trained.encoder.weight.detach().t().contiguous(),
        "W_dec": trained.decoder.weight.detach().t().contiguous(),
        "b_enc": trained.encoder.bias.detach().clone(),
        "b_dec": trained.bias.detach().clone(),
    }
    d_in, latent_dim = tensors["W_enc"].shape
    return Sae(
        architecture="standard", d_in=d_in, latent_dim=latent_dim, tensors=tensors, config={}
    )
