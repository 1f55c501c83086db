"""Does an alpha converted to a peer's units, and trained by the peer, give our L0?"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis.units import from_canonical
from benchmarks.demo import activation_scale, held_out, raw_batches
from benchmarks.markdown import table
from benchmarks.peers import (
    PeerRun,
    is_installed,
    train_dictionary_learning,
    train_saelens,
)
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.sae_file import Sae
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, TrainingResult, train

TOLERANCE = 0.10
"""How far the peer's L0 may be from ours, relative."""

PEERS = {
    "saelens": ("sae_lens", (Architecture.standard, Architecture.gated)),
    "dictionary_learning": ("dictionary_learning", (Architecture.standard,)),
}
"""Objective, library, and the architectures whose penalty the library shares with us."""

DIFFERENCES = """\
The peers see the raw activations, in the order of our batches, and scale them themselves from
the first 100 batches; they do not centre, so their decoder bias has to learn the mean. Learning
rate, warm-ups and decay are ours, the penalty one step late (dictionary_learning: the learning
rate too). Both clip the gradient's norm at 1, each in units of its own: dictionary_learning's
activations have a norm of 1 and not sqrt(d_in), so that its limit is d_in in ours, and ours is
trained with that beside it. SAELens's gated does not hold the decoder of the
auxiliary term constant, so its L0 is printed but not expected to be ours. jumprelu's penalty
counts latents, so that its alpha goes with the square of the scale, which is held against the
losses themselves (tests/analysis/test_units.py) and not here; topk has none. Initial weights are
the library's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaCheck:
    """One alpha, trained by us and by a peer."""

    architecture: str
    """What was trained."""
    objective: str
    """The peer's convention."""
    alpha_canonical: float
    """Our alpha."""
    coefficient: float
    """The same in the peer's units."""
    our_l0: float
    """Held-out."""
    their_l0: float
    """Held-out."""
    our_fvu: float
    """Held-out."""
    their_fvu: float
    """Held-out."""

    @property
    def agrees(self) -> bool:
        """Whether L0 is within the tolerance."""
        return abs(self.their_l0 / self.our_l0 - 1) <= TOLERANCE

    @property
    def verdict(self) -> str:
        """For the table."""
        if self.architecture == Architecture.gated:
            return "another loss"
        return "yes" if self.agrees else "NO"


def check_alphas(
    store: ActivationStore, alpha: float, latent_dim: int, trainer: TrainerConfig, seed: int
) -> tuple[str, bool]:
    """Trains with one alpha here and, converted, in every peer that is installed.

    Args:
        store: Real activations.
        alpha: Canonical units.
        latent_dim: Width of the SAEs.
        trainer: The recipe of all.
        seed: Of batches and initial weights.

    Returns:
        A table with what differs, and whether every L0 of the same loss agrees.
    """
    checks: list[AlphaCheck] = []
    for objective, (library, architectures) in PEERS.items():
        if not is_installed(library):
            continue
        for architecture in architectures:
            config = SaeConfig(architecture=architecture, latent_dim=latent_dim)
            same_clip = replace(trainer, gradient_clip=_clip(objective, store.d_in))
            ours = _ours(store, config, same_clip, alpha, seed)
            coefficient = from_canonical(alpha, objective, activation_scale(store))
            run = PeerRun(
                architecture=architecture,
                d_in=store.d_in,
                latent_dim=latent_dim,
                coefficient=coefficient,
                trainer=trainer,
                seed=seed,
            )
            theirs = held_out(_theirs(objective, run, store), store)
            checks.append(
                AlphaCheck(
                    architecture=architecture,
                    objective=objective,
                    alpha_canonical=alpha,
                    coefficient=coefficient,
                    our_l0=ours.l0 or float("nan"),
                    our_fvu=ours.fvu or float("nan"),
                    their_l0=theirs[0],
                    their_fvu=theirs[1],
                )
            )
    return _render(checks), all(check.verdict != "NO" for check in checks)


def _clip(objective: str, d_in: int) -> float:
    """A peer's limit of the gradient's norm, 1 in its own units, in canonical units."""
    return 1.0 if objective == "saelens" else float(d_in)


def _ours(
    store: ActivationStore, config: SaeConfig, trainer: TrainerConfig, alpha: float, seed: int
) -> TrainingResult:
    request = TrainingRequest(
        sae=config, trainer=trainer, alpha_canonical=alpha, seed=seed, device="cpu"
    )
    with TemporaryDirectory() as folder:
        return train(request, store, Path(folder))


def _theirs(objective: str, run: PeerRun, store: ActivationStore) -> Sae:
    batch_size = run.trainer.batch_size
    train_peer = train_saelens if objective == "saelens" else train_dictionary_learning
    return train_peer(run, lambda: raw_batches(store, batch_size, run.seed), normalize=True)


def _render(checks: list[AlphaCheck]) -> str:
    header = ["architecture", "trained by", "alpha", "L0", "fvu", "L0 / ours", "agree"]
    rows: list[list[str]] = []
    for check in checks:
        ours = [f"{check.alpha_canonical:.4g}", f"{check.our_l0:.2f}", f"{check.our_fvu:.4f}"]
        rows.append([check.architecture, "sae-sweep", *ours, "", ""])
        theirs = [f"{check.coefficient:.4g}", f"{check.their_l0:.2f}", f"{check.their_fvu:.4f}"]
        ratio = f"{check.their_l0 / check.our_l0:.3f}"
        rows.append([check.architecture, check.objective, *theirs, ratio, check.verdict])
    return table(header, rows) + "\n\n" + DIFFERENCES
