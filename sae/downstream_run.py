"""The downstream effect of an SAE's folder: finds its model, its module and some text."""

import logging
from pathlib import Path

from sae.activations.chunks import Chunk, first_tokens, held_out_chunks
from sae.activations.corpus import Corpus
from sae.activations.demo import DOCUMENT_TOKENS, load_demo_model
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.model import Head, LanguageModel, load_model, model_head
from sae.activations.module_outputs import output_widths
from sae.device import resolve_device
from sae.downstream import DownstreamEffect, measure
from sae.errors import SaeError
from sae.sae_file import Sae, load

LOG = logging.getLogger(__name__)

PLANNED = ("max_tokens", "held_out_tokens", "document_tokens", "seed")
"""What of an extraction's recipe decides which tokens are held out, beside text and context."""


def measure_folder(
    folder: Path, model: str, corpus: Corpus, max_tokens: int, device: str = "auto"
) -> DownstreamEffect:
    """Splices an SAE into the model and module that its activations came from.

    Measured on what the extraction of its activations held out, where the text is the same.

    Args:
        folder: As `sae.load` reads it; its metadata names the module.
        model: A folder or a name on the hub; "demo" is all-MiniLM-L6-v2.
        corpus: The text.
        max_tokens: At most so many tokens of it.
        device: A name that `sae.device.resolve_device` knows.

    Raises:
        SaeError: The SAE or the model cannot be loaded, or they do not fit together.
    """
    if max_tokens < 1:
        raise SaeError(f"max_tokens must be positive, but got {max_tokens}.")
    sae = load(folder)
    resolved = resolve_device(device)
    head = Head.none if model == "demo" else model_head(model)
    loaded = (
        load_demo_model(device)
        if model == "demo"
        else load_model(model, device=resolved, head=head)
    )
    module = _module(sae, folder, loaded)
    chunks = measured_chunks(sae, corpus, loaded, max_tokens)
    return measure(sae.to(resolved), loaded, module, chunks, head)


def measured_chunks(
    sae: Sae, corpus: Corpus, model: LanguageModel, max_tokens: int
) -> list[Chunk]:
    """The first of the text that the SAE did not train on, as far as its metadata tells.

    Args:
        sae: Its metadata hold the recipe of its activations, if an extraction wrote them.
        corpus: The text.
        model: Whose tokenizer is used.
        max_tokens: At most so many tokens.
    """
    recipe = sae.metadata.get("recipe")
    if isinstance(recipe, dict) and recipe.get("text_sha256") == corpus.sha256:
        config = ExtractionConfig(**{name: recipe[name] for name in PLANNED})
        context_tokens = recipe["context_tokens"]
    else:
        LOG.warning(
            "What was held out is not known, since %s is not the text that the SAE's cfg.json "
            "names: it may have been trained on the tokens that it is measured on.",
            corpus.name,
        )
        config = ExtractionConfig(held_out_tokens=max_tokens, document_tokens=DOCUMENT_TOKENS)
        context_tokens = config.context_tokens
    context_tokens = min(context_tokens, model.context_tokens)
    chunks = held_out_chunks(corpus, model.tokenizer, context_tokens, config)
    return list(first_tokens(chunks, max_tokens))


def _module(sae: Sae, folder: Path, model: LanguageModel) -> str:
    """The module that the SAE's metadata names, in a model that may have a head around it."""
    name = sae.metadata.get("hook_name")
    if not isinstance(name, str):
        raise SaeError(f"{folder} must name its hook_name in cfg.json, but does not.")
    known = {known for known, _ in model.network.named_modules()}
    inside = f"{getattr(model.network, 'base_model_prefix', '')}.{name}"
    module = name if name in known or inside not in known else inside
    model.sites((), (module,))
    width = output_widths(model, [module])[module]
    if width != sae.d_in:
        raise SaeError(
            f"{folder} must have the d_in of module {module} of {model.name} ({width}), "
            f"but got {sae.d_in}."
        )
    return module
