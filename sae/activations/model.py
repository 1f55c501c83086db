"""A Hugging Face model, run only up to the deepest layer wanted.

A layer is counted from 1: layer n is the residual stream after the n-th transformer block, which
transformers calls `hidden_states[n]`. (Only for the last block of models that end in a
normalisation do the two differ: `hidden_states` is normalised there, the residual stream is not.)
"""

import importlib.util
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import nn

from sae.activations.shards import file_sha256
from sae.activations.site import Site
from sae.errors import SaeError
from sae.nearest import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LanguageModel:
    """A model without its head, with its tokenizer."""

    name: str
    """Short name for people."""
    network: Any
    """What `transformers.AutoModel` loaded, in float32."""
    tokenizer: Any
    """Its fast tokenizer."""
    weights: str
    """Which weights: sha256 of the local files, or the hub's commit."""
    blocks_name: str
    """Where the blocks are in the network, such as "encoder.layer"."""
    running: Lock = field(default_factory=Lock, init=False, repr=False)
    """Held by whoever hooks into the network and runs it: streams of several runs may share it."""

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks."""
        return self.network.get_submodule(self.blocks_name)

    @property
    def d_in(self) -> int:
        """Width of the residual stream."""
        return int(self.network.config.hidden_size)

    @property
    def context_tokens(self) -> int:
        """Longest chunk, special tokens included, that the model takes."""
        # Tokenizers without a limit state 1e30.
        positions = getattr(self.network.config, "max_position_embeddings", None)
        return int(min(self.tokenizer.model_max_length, positions or 2**31 - 1))

    def hook_name(self, layer: int) -> str:
        """Module whose output layer `layer` is, such as "encoder.layer.2" for layer 3."""
        return f"{self.blocks_name}.{layer - 1}"

    def sites(self, layers: Sequence[int], modules: Sequence[str] = ()) -> tuple[Site, ...]:
        """Where the outputs of blocks, counted from 1, and of modules by name are taken.

        Raises:
            SaeError: A layer is below 1 or beyond the last block, there is no such module, or it
                is that of a layer asked for as well.
        """
        for layer in layers:
            if not 1 <= layer <= len(self.blocks):
                raise SaeError(
                    f"layer must be from 1 to {len(self.blocks)} for {self.name}, but got {layer}."
                )
        known = [name for name, _ in self.network.named_modules() if name]
        for module in modules:
            if module not in known:
                raise SaeError(
                    f"module must be one of {self.name}, but got {module!r}"
                    f"{did_you_mean(module, known)}"
                )
        blocks = [Site(module=self.hook_name(layer), layer=layer) for layer in layers]
        for block in blocks:
            if block.module in modules:
                raise SaeError(
                    f"module must not be that of a layer asked for as well, but got "
                    f"{block.module!r}, which is layer {block.layer}."
                )
        return (*blocks, *(Site(module=module) for module in modules))


class Head(StrEnum):
    """What a model computes from its residual stream."""

    none = "none"
    """Nothing: embedding models are pooled by their users."""
    causal = "causal"
    """The next token."""
    masked = "masked"
    """The tokens that were masked."""


def model_head(model: str) -> Head:
    """Which head a model was saved with, by its configuration.

    Raises:
        SaeError: There is no configuration.
    """
    from transformers import AutoConfig

    try:
        with _quiet_transformers():
            config = AutoConfig.from_pretrained(model, local_files_only=Path(model).is_dir())
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SaeError(f"model {model} must be loadable, but got: {reason}") from error
    for name in getattr(config, "architectures", None) or ():
        if name.endswith(("ForCausalLM", "LMHeadModel")):
            return Head.causal
        if name.endswith("ForMaskedLM"):
            return Head.masked
    return Head.none


def load_model(
    model: str, *, name: str | None = None, device: torch.device, head: Head = Head.none
) -> LanguageModel:
    """Loads weights (safetensors only) and tokenizer from a folder or from the hub.

    Args:
        model: A local folder, which is read without any network, or a name on the hub.
        name: Name for people; by default the folder's or the hub's.
        device: Where the model runs.
        head: Loads the model with this head, which changes the names of its modules.

    Raises:
        SaeError: transformers is missing, or the model cannot be loaded or is of another kind.
    """
    if importlib.util.find_spec("transformers") is None:
        raise SaeError(
            "transformers must be installed to run a model, but is not: "
            "pip install 'sae-sweep[demo]'."
        )
    folder = Path(model)
    if folder.is_dir():
        _require_safetensors(folder)
    elif folder.is_absolute() or model.startswith("."):
        raise SaeError(f"model must be a folder or a name on the hub, but got {model}.")
    network, tokenizer = _load(model, head, local=folder.is_dir())
    network.config.use_cache = False
    return LanguageModel(
        name=name or folder.name,
        network=network.eval().to(device),
        tokenizer=tokenizer,
        weights=_weights(folder, network),
        blocks_name=_blocks_name(network, model),
    )


def _require_safetensors(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise SaeError(f"model folder {folder} must hold a config.json, but there is none.")
    if not any(folder.glob("*.safetensors")):
        raise SaeError(
            f"model folder {folder} must hold its weights as safetensors (pickles are never "
            "read), but there are none."
        )


def _load(model: str, head: Head, *, local: bool) -> tuple[Any, Any]:
    import transformers
    from safetensors import SafetensorError

    loaders: dict[Head, Any] = {
        Head.none: transformers.AutoModel,
        Head.causal: transformers.AutoModelForCausalLM,
        Head.masked: transformers.AutoModelForMaskedLM,
    }
    try:
        with _quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(model, local_files_only=local)
            network, loading = loaders[head].from_pretrained(
                model,
                local_files_only=local,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SaeError(f"model {model} must be loadable, but got: {reason}") from error
    # Poolers sit beside the residual stream, and many checkpoints have none.
    missing = sorted(key for key in loading["missing_keys"] if "pooler" not in key)
    if missing:
        raise SaeError(
            f"model {model} must hold all its weights, but {len(missing)} are missing, "
            f"such as {missing[0]}."
        )
    if not tokenizer.is_fast:
        raise SaeError(f"model {model} must have a fast tokenizer (tokenizer.json), but has none.")
    return network, tokenizer


@contextmanager
def _quiet_transformers() -> Generator[None]:
    """No progress bars and load reports: what matters in them is checked here."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _weights(folder: Path, network: Any) -> str:
    if not folder.is_dir():
        return f"commit:{getattr(network.config, '_commit_hash', None)}"
    sums = [file_sha256(file) for file in sorted(folder.glob("*.safetensors"))]
    return "sha256:" + ",".join(sums)


def _blocks_name(network: Any, model: str) -> str:
    """The module list with as many entries as the model has layers."""
    depth = getattr(network.config, "num_hidden_layers", None)
    if not getattr(network.config, "is_encoder_decoder", False):
        for name, module in network.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == depth:
                return name
    raise SaeError(
        f"model {model} must be an encoder or a decoder with one list of blocks, "
        f"but got {type(network).__name__}."
    )
