"""A store whose training rows come straight from the model."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from sae.activations.chunks import TokenPlan, plan_tokens
from sae.activations.config import ActivationsConfig
from sae.activations.corpus import Corpus, read_corpus
from sae.activations.demo import load_demo_model
from sae.activations.documentation import python_documentation
from sae.activations.extraction import extraction_recipe
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.manifest import Split
from sae.activations.model import LanguageModel, load_model
from sae.activations.rows import Rows
from sae.activations.site import Site
from sae.activations.statistics import StatisticsAccumulator
from sae.activations.store import ActivationStore
from sae.activations.stream import TokenStream
from sae.device import resolve_device


def streamed_activations(config: ActivationsConfig) -> ActivationStore:
    """Opens `activations=stream`: runs the model over held-out text and the first tokens.

    Args:
        config: Its `stream` says which model and text.

    Raises:
        SaeError: The model or the text cannot be had, or there is too little of it.
    """
    stream = config.stream
    is_demo = stream.model == "demo"
    model = (
        load_demo_model("auto")
        if is_demo
        else load_model(stream.model, device=resolve_device("auto"))
    )
    corpus = (
        read_corpus([Path(stream.text)], stream.text_key)
        if stream.text
        else python_documentation()
    )
    extraction = ExtractionConfig(
        layers=() if stream.module else (config.layer,),
        modules=(stream.module,) if stream.module else (),
        max_tokens=stream.max_tokens,
        held_out_tokens=config.held_out_tokens,
        context_tokens=stream.context_tokens,
    )
    return streamed_store(
        model, corpus, extraction, stream.buffer_tokens, stream.statistics_tokens
    )


def streamed_store(
    model: LanguageModel,
    corpus: Corpus,
    extraction: ExtractionConfig,
    buffer_tokens: int,
    statistics_tokens: int,
) -> ActivationStore:
    """A store over `model`; held-out rows and statistics are computed at once, and in memory.

    Args:
        model: The model.
        corpus: The text.
        extraction: One layer or module; tokens and split, as an extraction takes them.
        buffer_tokens: Tokens shuffled together.
        statistics_tokens: First training tokens, whose mean and scale stand for all.

    Raises:
        SaeError: The text is too short, or there is no such layer or module.
    """
    (site,) = model.sites(extraction.layers, extraction.modules)
    context_tokens = min(extraction.context_tokens, model.context_tokens)
    plan = plan_tokens(corpus, model.tokenizer, context_tokens, extraction)
    train = TokenStream(model, site.module, plan.chunks[Split.train], buffer_tokens)
    recipe = {
        **extraction_recipe(model, corpus, extraction),
        **site.recipe,
        "buffer_tokens": buffer_tokens,
        "statistics_tokens": statistics_tokens,
    }
    accumulator: StatisticsAccumulator | None = None
    in_order = torch.arange(len(plan.chunks[Split.train]))
    for start in range(0, min(statistics_tokens, len(train)), buffer_tokens):
        stop = min(start + buffer_tokens, statistics_tokens)
        rows_ND = train.rows(in_order, start, stop)
        accumulator = accumulator or StatisticsAccumulator(rows_ND.shape[1])
        accumulator.update(rows_ND)
    assert accumulator is not None  # the plan has training tokens
    return ActivationStore(
        name=f"{model.name} {site.label}, streamed",
        description=_description(model, corpus, plan, site, recipe),
        fingerprint=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
        statistics=accumulator.result(),
        train=train,
        held_out=_held_out(model, plan, site),
    )


def _held_out(model: LanguageModel, plan: TokenPlan, site: Site) -> Rows:
    chunks = plan.chunks[Split.held_out]
    stream = TokenStream(model, site.module, chunks, buffer_tokens=1)
    rows_ND = stream.rows(torch.arange(len(chunks)), 0, len(stream))
    documents = [torch.full_like(chunk.kept, chunk.document) for chunk in chunks]
    return Rows([rows_ND], [torch.cat(documents)])


def _description(
    model: LanguageModel, corpus: Corpus, plan: TokenPlan, site: Site, recipe: dict[str, Any]
) -> dict[str, Any]:
    return {
        "model_name": model.name,
        "model_class_name": type(model.network).__name__,
        "hook_name": site.module,
        "layer": site.layer,
        "context_size": recipe["context_tokens"],
        "exclude_special_tokens": True,
        "dataset_path": corpus.name,
        "train_documents": plan.documents(Split.train),
        "held_out_documents": plan.documents(Split.held_out),
        "recipe": recipe,
    }
