"""The shapes that `benchmarks.gpu` measures, and what each must reach."""

from dataclasses import dataclass

from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sae.activations.config import ActivationSource, SyntheticConfig
from sae.architectures.config import SaeConfig

FEWEST_BYTES = 32
"""A weight and step, with float32 moments: Adam reads weight, gradient and two moments, writes
three of them, and the gradient is written once."""
PRODUCTS = 5
"""Matrix products of a step, each of 2 batch d_in latent_dim operations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The shapes of a step."""

    latent_dim: int
    d_in: int
    batch: int
    bandwidth: float = 0.0
    """Goals: least share of the bandwidth,"""
    saelens: float = 0.0
    """times SAELens's step,"""
    matrix_rate: float = 0.0
    """and share of the product rate."""

    @property
    def sae(self) -> SaeConfig:
        """The standard SAE of that width."""
        return SaeConfig(latent_dim=self.latent_dim)

    @property
    def fewest_bytes(self) -> int:
        """Of a step, by `FEWEST_BYTES`."""
        return FEWEST_BYTES * 2 * self.d_in * self.latent_dim

    @property
    def operations(self) -> int:
        """Of a step's products."""
        return PRODUCTS * 2 * self.batch * self.d_in * self.latent_dim

    @property
    def shape(self) -> str:
        """For people."""
        return f"{self.latent_dim} x {self.d_in}, {self.batch}"

    def store(self) -> ActivationStore:
        """Activations of that width."""
        synthetic = SyntheticConfig(
            d_in=self.d_in,
            n_features=2 * self.d_in,
            active_features=8,
            n_tokens=4 * self.batch,
            held_out_tokens=64,
        )
        return open_activations(
            ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large everything is."""

    cases: tuple[Case, ...]
    steps: int = 30
    copied_bytes: int = 2**30
    product: int = 8192


GUIDE = Case(latent_dim=65536, d_in=2048, batch=64, bandwidth=0.7, saelens=3.0)
LARGE = Case(latent_dim=65536, d_in=2048, batch=4096, matrix_rate=0.5)
USUAL = Case(latent_dim=24576, d_in=768, batch=4096)
"""32 times as wide as the activations of GPT-2 small, the batch as in SAELens's examples."""
NARROW = Case(latent_dim=8192, d_in=384, batch=512)
"""Whose kernels are shorter than their launches."""
FULL = Size(cases=(GUIDE, LARGE, USUAL, NARROW))
SMALL = Size(
    cases=(Case(latent_dim=256, d_in=32, batch=16), Case(latent_dim=256, d_in=32, batch=64)),
    steps=3,
    copied_bytes=2**22,
    product=128,
)
