"""What `benchmarks.step` measures: pieces of a few minutes each."""

from dataclasses import dataclass

from sae.architectures.config import Architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One contest; latent_dim and L0 are what its numbers belong to."""

    title: str
    """Of its section in the results."""
    architecture: Architecture = Architecture.standard
    latent_dim: int = 4096
    alpha: float = 0.0
    """Coefficient of the penalty."""
    k: float | None = None
    """Active latents per token, where the architecture is told."""
    steps: int = 300
    """That ours takes."""
    peer_steps: int = 300
    """That the others take, at the end."""
    last: int = 100
    """Steps that the median is over."""
    goal: float
    """How many times as fast as SAELens ours must be."""
    compiled: bool = False
    """SAELens through torch.compile; dictionary_learning then stays out."""

    @property
    def compares_ends(self) -> bool:
        """Whether all take the same steps, so that L0 and fvu can be compared."""
        return self.peer_steps == self.steps and self.architecture is Architecture.standard


PIECES = {
    "dense": Piece(title="standard, latent_dim 4096, L0 about 5 %", alpha=1.2, goal=4),
    "sparse": Piece(title="standard, latent_dim 4096, L0 about 1 %", alpha=7.5, goal=8),
    "wide": Piece(
        title="standard, latent_dim 16384, L0 about 1 %",
        latent_dim=16384, alpha=5.0, peer_steps=30, last=30, goal=6,
    ),
    "gated": Piece(
        title="gated", architecture=Architecture.gated, alpha=5.0, peer_steps=60, last=50, goal=3
    ),
    "jumprelu": Piece(
        title="jumprelu",
        architecture=Architecture.jumprelu, alpha=1.5, peer_steps=60, last=50, goal=3,
    ),
    "topk": Piece(
        title="topk, k 41", architecture=Architecture.topk, k=41, peer_steps=60, last=50, goal=3
    ),
    "batchtopk": Piece(
        title="batchtopk, k 41",
        architecture=Architecture.batchtopk, k=41, peer_steps=60, last=50, goal=3,
    ),
    "compiled_dense": Piece(
        title="standard, latent_dim 4096, L0 about 5 %, SAELens through torch.compile",
        alpha=1.2, peer_steps=60, last=50, goal=4, compiled=True,
    ),
    "compiled_sparse": Piece(
        title="standard, latent_dim 4096, L0 about 1 %, SAELens through torch.compile",
        alpha=7.5, peer_steps=60, last=50, goal=8, compiled=True,
    ),
}  # fmt: skip
MEMORY = "memory"
"""The piece that measures memory, each contestant in a process of its own."""
