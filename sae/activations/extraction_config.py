"""What an extraction takes from a model and a text."""

from dataclasses import dataclass

from sae.activations.manifest import StorageType
from sae.errors import SaeError
from sae.number_rules import require_factor


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionConfig:
    """What to extract, and how to store it.

    Raises:
        SaeError: A field is out of its range.
    """

    layers: tuple[int, ...] = (3,)
    """Transformer blocks, counted from 1 (see `sae.activations.model`)."""
    modules: tuple[str, ...] = ()
    """Further modules by their names in the network, such as "encoder.layer.2.attention"."""
    max_tokens: int | None = None
    """Tokens of both splits together; all of the text when None."""
    held_out_tokens: int = 22_000
    """How many of them are held out, of documents of their own."""
    document_tokens: int | None = None
    """Most tokens taken of one document, its first; None takes all. A few long documents would
    otherwise be most of the held-out tokens."""
    context_tokens: int = 256
    """Longest piece of text read at once, special tokens included; cut to the model's own."""
    storage: StorageType = StorageType.float32
    """Number type on disk."""
    outlier_norm: float | None = None
    """Drop tokens whose norm is above this many times the median; None keeps all. Few such
    tokens dominate the scale, and so alpha."""
    shard_tokens: int = 65_536
    """Tokens of a shard."""
    seed: int = 0
    """Of the order of documents, and so of the split."""

    def __post_init__(self) -> None:
        sites = [*self.layers, *self.modules]
        if not sites or len(set(sites)) != len(sites):
            raise SaeError(f"layers or modules must be given, each once, but got {sites}.")
        for key in (
            "max_tokens",
            "held_out_tokens",
            "document_tokens",
            "context_tokens",
            "shard_tokens",
        ):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise SaeError(f"{key} must be positive, but got {value}.")
        if self.max_tokens is not None and self.held_out_tokens >= self.max_tokens:
            raise SaeError(
                f"held_out_tokens must be below max_tokens ({self.max_tokens}), "
                f"but got {self.held_out_tokens}."
            )
        require_factor("outlier_norm", self.outlier_norm)
