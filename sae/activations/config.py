"""Which activations a run trains on."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any

from sae.errors import SaeError
from sae.number_rules import refuse_too_large, require_factor

DEFAULT_LAYER = 3


class ActivationSource(StrEnum):
    """Where activations come from."""

    demo = "demo"
    synthetic = "synthetic"
    folder = "folder"
    npy = "npy"
    dataset = "dataset"
    stream = "stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticConfig:
    """Tokens drawn from a known dictionary that has more features than dimensions.

    Raises:
        SaeError: A field is out of its range.
    """

    d_in: int = 64
    """Dimensions of an activation."""
    n_features: int = 256
    """Rows of the true dictionary; above `d_in` the features are in superposition."""
    active_features: int = 4
    """Features present in every token."""
    n_tokens: int = 50_000
    """Training tokens."""
    held_out_tokens: int = 4_096
    """Held-out tokens, of other documents than the training tokens."""
    mean_norm: float = 1.0
    """Euclidean norm of the vector added to every token."""
    noise: float = 0.01
    """Standard deviation, per dimension, of the Gaussian noise added to every token."""
    seed: int = 0
    """Seed of dictionary, coefficients and noise."""

    def __post_init__(self) -> None:
        for key in ("d_in", "n_features", "active_features", "n_tokens", "held_out_tokens"):
            _require_count(f"activations.synthetic.{key}", getattr(self, key))
        for key in ("mean_norm", "noise"):
            value = getattr(self, key)
            if not 0 <= value < float("inf"):
                raise SaeError(
                    f"activations.synthetic.{key} must be finite and not negative, "
                    f"but got {value}."
                )
        if self.active_features > self.n_features:
            raise SaeError(
                "activations.synthetic.active_features must be at most n_features "
                f"({self.n_features}), but got {self.active_features}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """A model that is run while the SAE trains; nothing is written to disk.

    Raises:
        SaeError: A field is out of its range.
    """

    model: str = "demo"
    """Local folder or hub name; demo: all-MiniLM-L6-v2."""
    text: str | None = None
    """Text file, JSONL file or a folder of them; None: CPython's documentation."""
    text_key: str = "text"
    """Where JSONL lines hold text."""
    module: str | None = None
    """Module by name; None: the block `activations.layer`."""
    max_tokens: int | None = None
    """Tokens of an epoch and held out together; None: all of the text."""
    context_tokens: int = 256
    """Longest piece of text read at once."""
    buffer_tokens: int = 65_536
    """Tokens shuffled together; two buffers are in memory at a time."""
    statistics_tokens: int = 65_536
    """First training tokens, whose mean and scale stand for all."""

    def __post_init__(self) -> None:
        for key in ("context_tokens", "buffer_tokens", "statistics_tokens"):
            _require_count(f"activations.stream.{key}", getattr(self, key))


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationsConfig:
    """The activations to train on.

    Raises:
        SaeError: A field is out of its range, a source lacks the key that says where it is, or a
            key is given that only other sources read.
    """

    source: ActivationSource = ActivationSource.demo
    """`demo` (all-MiniLM-L6-v2 over CPython's documentation), `synthetic`, `folder`, `npy`,
    `dataset` or `stream`."""
    path: str | None = None
    """For `folder`: what `sae-activations` wrote, one layer's folder or their parent. For `npy`:
    a .npy file or a folder of them. For `dataset`: a saved dataset, or a name on the hub."""
    column: str | None = None
    """For `dataset`: the column that holds the activations."""
    split: str = "train"
    """For `dataset`: which split, where it has several."""
    layer: int = DEFAULT_LAYER
    """Transformer block, counted from 1, whose output is used (see `sae.activations.model`).
    A `folder` that holds no layers has none to choose."""
    max_tokens: int = 300_000
    """For `demo`: tokens to extract, held-out ones included."""
    held_out_tokens: int = 22_000
    """For `demo`, `npy`, `dataset` and `stream`: how many are held out, of documents of their
    own."""
    outlier_norm: float | None = None
    """For `demo`, `npy` and `dataset`: leave out rows whose norm is above this many times the
    median, such as a decoder's first tokens; None keeps all."""
    cache_dir: str | None = None
    """For `demo`, `npy` and `dataset`: overrides $SAE_SWEEP_CACHE and the user's cache folder."""
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """For `synthetic`: what to draw."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    """For `stream`: model, text and buffer."""

    def __post_init__(self) -> None:
        for key in ("layer", "max_tokens", "held_out_tokens"):
            _require_count(f"activations.{key}", getattr(self, key))
        if self.source is ActivationSource.demo and self.held_out_tokens >= self.max_tokens:
            raise SaeError(
                f"activations.held_out_tokens must be below activations.max_tokens "
                f"({self.max_tokens}), but got {self.held_out_tokens}."
            )
        require_factor("activations.outlier_norm", self.outlier_norm)
        for source, key in _NEEDED:
            if self.source is source and not getattr(self, key):
                raise SaeError(
                    f"activations.{key} must be given when activations.source is '{source}', "
                    f"but got {getattr(self, key)!r}."
                )
        for key, value in _given(self, "activations."):
            _refuse_unread(self.source, key, value)


def _given(part: Any, prefix: str) -> Iterator[tuple[str, object]]:
    """The dotted keys of a configuration that are not at their defaults, with their values."""
    for each in fields(part):
        value = getattr(part, each.name)
        if is_dataclass(value):
            yield from _given(value, f"{prefix}{each.name}.")
        elif value != each.default:
            yield f"{prefix}{each.name}", value


def _refuse_unread(source: ActivationSource, key: str, value: object) -> None:
    """Raises a SaeError for a key of other sources: the data are not what it says."""
    part = key.split(".")[1]
    readers = _READ_BY.get(part, (source,))
    if source not in readers:
        raise SaeError(
            f"{key} must be left out with activations={source}, which does not read it "
            f"(activations={'|'.join(readers)} does{_INSTEAD.get((part, source), '')}), "
            f"but got {value!r}."
        )


def _require_count(key: str, value: int) -> None:
    if value < 1:
        raise SaeError(f"{key} must be positive, but got {value}.")
    refuse_too_large(key, value)


_NEEDED = (
    (ActivationSource.folder, "path"),
    (ActivationSource.npy, "path"),
    (ActivationSource.dataset, "path"),
    (ActivationSource.dataset, "column"),
)
"""Sources with the keys that say where they are."""

_READ_BY = {
    "path": (ActivationSource.folder, ActivationSource.npy, ActivationSource.dataset),
    "column": (ActivationSource.dataset,),
    "split": (ActivationSource.dataset,),
    "layer": (ActivationSource.demo, ActivationSource.folder, ActivationSource.stream),
    "max_tokens": (ActivationSource.demo,),
    "held_out_tokens": (
        ActivationSource.demo,
        ActivationSource.npy,
        ActivationSource.dataset,
        ActivationSource.stream,
    ),
    "outlier_norm": (ActivationSource.demo, ActivationSource.npy, ActivationSource.dataset),
    "synthetic": (ActivationSource.synthetic,),
    "stream": (ActivationSource.stream,),
}
"""Keys that say what the data are, with the sources that read them. `cache_dir` says only where
they lie, and may stand in a file for every source."""
_INSTEAD = {
    ("outlier_norm", ActivationSource.folder): "; sae-activations does when it writes a folder",
    ("outlier_norm", ActivationSource.stream): "; sae-activations extract does",
}
"""What does for a source what its keys do not."""
