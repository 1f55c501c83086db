"""Do the real libraries load what we write, and compute the same from it?"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

import sae
from benchmarks.markdown import table
from benchmarks.peers import is_installed
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.dictionary_learning_export import save_dictionary_learning
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

TOLERANCE = 1e-5
"""Largest relative difference allowed, per row."""
ROWS = 2048
LATENT_DIM = 1024
TARGET = 64.0
ALPHAS = {Architecture.jumprelu: 0.3}
"""Any that leaves some latents on and others off; the penalty of jumprelu is another one."""
DEFAULT_ALPHA = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """How far a library's reading of one exported SAE is from ours."""

    architecture: str
    """What was trained."""
    library: str
    """Who read it."""
    l0: float
    """Active latents per row, ours."""
    latents: float
    """Largest ||theirs - ours|| / ||ours|| over the rows."""
    reconstructions: float
    """The same for reconstructions."""
    at_threshold: int
    """Rows left out of both: a latent within rounding of its threshold is on for one only."""

    @property
    def agrees(self) -> bool:
        """Whether both are within the tolerance."""
        return max(self.latents, self.reconstructions) <= TOLERANCE


def check_files(store: ActivationStore, steps: int) -> tuple[str, bool]:
    """Trains one small SAE per architecture and reads each with every library.

    Args:
        store: Real activations.
        steps: Length of the training runs.

    Returns:
        A table with the reasons for what is missing, and whether all that was compared agrees.
    """
    checks: list[FileCheck] = []
    skipped: set[str] = set()
    for architecture in Architecture:
        with TemporaryDirectory() as folder:
            _train(architecture, store, steps, Path(folder))
            ours = sae.load(Path(folder) / "sae")
            raw_BD, _ = next(store.held_out_batches(ROWS))
            for read in (_read_with_saelens, _read_with_dictionary_learning):
                result = read(Path(folder), ours)
                if isinstance(result, str):
                    skipped.add(result)
                else:
                    checks.append(_check(architecture, ours, result, raw_BD))
    header = [
        *("architecture", "read by", "L0", "latents differ by", "reconstructions"),
        *("rows at a threshold", "agree"),
    ]
    rows = [
        [
            check.architecture,
            check.library,
            f"{check.l0:.1f}",
            f"{check.latents:.1e}",
            f"{check.reconstructions:.1e}",
            f"{check.at_threshold} of {ROWS}",
            "yes" if check.agrees else "NO",
        ]
        for check in checks
    ]
    notes = "".join(f"\nskipped: {reason}" for reason in sorted(skipped))
    return table(header, rows) + notes, all(check.agrees for check in checks)


def _train(architecture: Architecture, store: ActivationStore, steps: int, folder: Path) -> None:
    alpha = 0.0 if architecture.sets_l0 else ALPHAS.get(architecture, DEFAULT_ALPHA)
    request = TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=LATENT_DIM),
        trainer=TrainerConfig(total_steps=steps, held_out_tokens=ROWS),
        alpha_canonical=alpha,
        target_l0_count=TARGET,
        device="cpu",
    )
    train(request, store, folder)


Coder = Callable[[Tensor], Tensor]
Reading = tuple[str, Coder, Coder] | str
"""Library, its encoder and its reconstruction of raw rows; or why it did not read."""


@torch.no_grad()
def _read_with_saelens(folder: Path, _ours: sae.Sae) -> Reading:
    if not is_installed("sae_lens"):
        return "sae_lens is not installed here"
    theirs: Any = import_module("sae_lens").SAE.load_from_disk(folder / "sae")
    return "sae_lens", theirs.encode, theirs


@torch.no_grad()
def _read_with_dictionary_learning(folder: Path, ours: sae.Sae) -> Reading:
    if not is_installed("dictionary_learning"):
        return "dictionary_learning is not installed here"
    save_dictionary_learning(folder / "dictionary", ours)
    loader = import_module("dictionary_learning.utils").load_dictionary
    theirs: Any = loader(str(folder / "dictionary"), device="cpu")[0]
    # Its decoder rows have norm one, so its latents are ours times the norms.
    norms_F = ours.tensors["W_dec"].norm(dim=1)

    def encode(x_BD: Tensor) -> Tensor:
        return theirs.encode(x_BD) / norms_F

    return "dictionary_learning", encode, theirs


@torch.no_grad()
def _check(
    architecture: Architecture, ours: sae.Sae, read: tuple[str, Coder, Coder], raw_BD: Tensor
) -> FileCheck:
    library, encode, reconstruct = read
    f_BF, their_f_BF = ours.encode(raw_BD), encode(raw_BD)
    kept_B = ~_at_threshold(ours, f_BF, their_f_BF)
    return FileCheck(
        architecture=architecture,
        library=library,
        l0=float((f_BF > 0).sum(1).float().mean()),
        latents=_difference(their_f_BF[kept_B], f_BF[kept_B]),
        reconstructions=_difference(reconstruct(raw_BD)[kept_B], ours(raw_BD)[kept_B]),
        at_threshold=int((~kept_B).sum()),
    )


def _at_threshold(ours: sae.Sae, f_BF: Tensor, their_f_BF: Tensor) -> Tensor:
    """Rows that differ only in latents whose pre-activation rounds to their threshold, [B].

    A threshold is a jump: summing a product in another order moves a latent across it.
    """
    if "threshold" not in ours.tensors:
        return torch.zeros(len(f_BF), dtype=torch.bool)
    differs_BF = (f_BF > 0) != (their_f_BF > 0)
    excess_BF = torch.maximum(f_BF, their_f_BF) / ours.tensors["threshold"] - 1
    is_rounding_BF = differs_BF & (excess_BF.abs() <= TOLERANCE)
    return is_rounding_BF.any(1) & ~(differs_BF & ~is_rounding_BF).any(1)


@torch.no_grad()
def _difference(theirs: Tensor, ours: Tensor) -> float:
    distances_B = (theirs.double() - ours.double()).norm(dim=1)
    return float((distances_B / ours.double().norm(dim=1).clamp_min(1e-30)).max())
