"""The downstream effect of an SAE's folder: finds its model, its module and some text."""

from pathlib import Path

from sae.activations.chunks import plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.demo import DOCUMENT_TOKENS, load_demo_model
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.manifest import Split
from sae.activations.model import Head, LanguageModel, load_model, model_head
from sae.activations.module_outputs import output_widths
from sae.device import resolve_device
from sae.downstream import DownstreamEffect, measure
from sae.errors import SaeError
from sae.sae_file import Sae, load


def measure_folder(
    folder: Path, model: str, corpus: Corpus, max_tokens: int, device: str = "auto"
) -> DownstreamEffect:
    """Splices an SAE into the model and module that its activations came from.

    The text is what an extraction of the same text with seed 0 holds out, as far as it goes.

    Args:
        folder: As `sae.load` reads it; its metadata names the module.
        model: A folder or a name on the hub; "demo" is all-MiniLM-L6-v2.
        corpus: The text.
        max_tokens: At most so many tokens of it.
        device: A name that `sae.device.resolve_device` knows.

    Raises:
        SaeError: The SAE or the model cannot be loaded, or they do not fit together.
    """
    sae = load(folder)
    resolved = resolve_device(device)
    head = Head.none if model == "demo" else model_head(model)
    loaded = (
        load_demo_model(device)
        if model == "demo"
        else load_model(model, device=resolved, head=head)
    )
    module = _module(sae, folder, loaded)
    context_tokens = min(ExtractionConfig().context_tokens, loaded.context_tokens)
    config = ExtractionConfig(held_out_tokens=max_tokens, document_tokens=DOCUMENT_TOKENS)
    plan = plan_tokens(corpus, loaded.tokenizer, context_tokens, config)
    return measure(sae.to(resolved), loaded, module, plan.chunks[Split.held_out], head)


def _module(sae: Sae, folder: Path, model: LanguageModel) -> str:
    """The module that the SAE's metadata names, in a model that may have a head around it."""
    name = sae.config.get("metadata", {}).get("hook_name")
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
