"""Running a model over a corpus and writing a folder of activations for each layer.

Shapes: N tokens of a window, D = d_in.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.activations.chunks import Chunk, TokenPlan, plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import layer_folder
from sae.activations.manifest import Split
from sae.activations.model import LanguageModel
from sae.activations.progress import ProgressLine
from sae.activations.recipe import has_recipe
from sae.activations.residual import window_rows
from sae.activations.writer import (
    MEGABYTE,
    LayerWriter,
    exclusive_folder,
    published,
    require_disk,
)

WINDOW_CHUNKS = 256
"""Chunks sorted by length together; more would save little padding and take memory."""

_log = logging.getLogger(__name__)


def extract(
    model: LanguageModel, corpus: Corpus, config: ExtractionConfig, output: Path
) -> list[Path]:
    """Writes `output`/layer_<n> for every layer wanted, all in one pass of the model.

    A layer that is already there from the same model, text and settings is left as it is.

    Args:
        model: The model to run.
        corpus: The text to run it over.
        config: Layers, tokens and storage.
        output: Parent of the layers' folders; made if needed.

    Returns:
        The layers' folders, in the order asked.

    Raises:
        SaeError: The text is too short, the disk too full, an activation not finite, or a
            layer's folder holds something else.
    """
    model.require_layers(config.layers)
    recipe = _recipe(model, corpus, config)
    with exclusive_folder(output):
        missing = [
            layer
            for layer in config.layers
            if not has_recipe(layer_folder(output, layer), recipe | {"layer": layer})
        ]
        if missing:
            context_tokens = min(config.context_tokens, model.context_tokens)
            plan = plan_tokens(corpus, model.tokenizer, context_tokens, config)
            _announce(plan, model, config, output, missing)
            _Extraction(model, plan, config, missing).run(output, corpus, recipe)
    return [layer_folder(output, layer) for layer in config.layers]


def _recipe(model: LanguageModel, corpus: Corpus, config: ExtractionConfig) -> dict[str, Any]:
    """What decides the activations; two folders with the same recipe hold the same."""
    return {
        "weights": model.weights,
        "text_sha256": corpus.sha256,
        "max_tokens": config.max_tokens,
        "held_out_tokens": config.held_out_tokens,
        "document_tokens": config.document_tokens,
        "context_tokens": min(config.context_tokens, model.context_tokens),
        "dtype": str(config.storage),
        "outlier_norm": config.outlier_norm,
        "seed": config.seed,
    }


def _announce(
    plan: TokenPlan,
    model: LanguageModel,
    config: ExtractionConfig,
    output: Path,
    layers: Sequence[int],
) -> None:
    train, held_out = plan.tokens(Split.train), plan.tokens(Split.held_out)
    needed = require_disk(output, train + held_out, model.d_in, config.storage, len(layers))
    _log.info(
        "Extracting %s, layers %s: %s training tokens of %s documents, %s held-out tokens of %s. "
        "Writes %s MB to %s.",
        model.name,
        ", ".join(map(str, layers)),
        f"{train:,}",
        f"{plan.documents(Split.train):,}",
        f"{held_out:,}",
        f"{plan.documents(Split.held_out):,}",
        f"{needed / MEGABYTE:,.1f}",
        output,
    )


class _Extraction:
    """One pass of the model over the tokens planned."""

    def __init__(
        self,
        model: LanguageModel,
        plan: TokenPlan,
        config: ExtractionConfig,
        layers: Sequence[int],
    ) -> None:
        self._model = model
        self._plan = plan
        self._config = config
        self._layers = layers
        self._norm_limits: dict[int, float] = {}
        self._dropped = dict.fromkeys(layers, 0)

    def run(self, output: Path, corpus: Corpus, recipe: Mapping[str, Any]) -> None:
        """Writes every layer's folder; they appear together at the end."""
        config, model = self._config, self._model
        with ExitStack() as stack:
            writers = {
                layer: LayerWriter(
                    stack.enter_context(published(layer_folder(output, layer))),
                    model.d_in,
                    config.storage,
                    config.shard_tokens,
                )
                for layer in self._layers
            }
            total = self._plan.tokens(Split.train) + self._plan.tokens(Split.held_out)
            progress = stack.enter_context(ProgressLine(total, "tokens"))
            for split in Split:
                for window in _windows(self._plan.chunks[split]):
                    self._write_window(split, window, writers)
                    progress.advance(sum(len(chunk.kept) for chunk in window))
                for writer in writers.values():
                    writer.flush(split)
            for layer, writer in writers.items():
                description = self._description(layer, corpus, recipe)
                writer.finish(f"{model.name} layer {layer}", description)

    def _write_window(
        self, split: Split, window: Sequence[Chunk], writers: Mapping[int, LayerWriter]
    ) -> None:
        ids_N2 = torch.cat(
            [
                torch.stack(
                    [torch.full_like(chunk.kept, chunk.document), chunk.token_ids[chunk.kept]],
                    dim=1,
                )
                for chunk in window
            ]
        )
        for layer, rows_ND in window_rows(self._model, self._layers, window).items():
            kept_N = self._without_outliers(layer, rows_ND)
            writers[layer].add(split, rows_ND[kept_N], ids_N2[kept_N])

    def _without_outliers(self, layer: int, rows_ND: Tensor) -> Tensor:
        """Bool [n]: which rows stay.

        The median is that of the layer's first window: documents come shuffled, so it is a
        sample of all, and no second pass is needed.
        """
        if self._config.outlier_norm is None:
            return torch.ones(len(rows_ND), dtype=torch.bool)
        norms_N = rows_ND.norm(dim=1)
        if layer not in self._norm_limits:
            self._norm_limits[layer] = self._config.outlier_norm * float(norms_N.median())
        # A NaN compares as false to everything: it must stay, for the writer to name it.
        outlier_N = norms_N > self._norm_limits[layer]
        self._dropped[layer] += int(outlier_N.sum())
        return ~outlier_N

    def _description(
        self, layer: int, corpus: Corpus, recipe: Mapping[str, Any]
    ) -> dict[str, Any]:
        model = self._model
        return {
            "model_name": model.name,
            "model_class_name": type(model.network).__name__,
            "hook_name": model.hook_name(layer),
            "layer": layer,
            "layer_meaning": "residual stream after block `layer`, the first block being 1",
            "n_layers": len(model.blocks),
            "context_size": recipe["context_tokens"],
            "exclude_special_tokens": True,
            "dataset_path": corpus.name,
            "train_documents": self._plan.documents(Split.train),
            "held_out_documents": self._plan.documents(Split.held_out),
            "outlier_tokens_dropped": self._dropped[layer],
            "outlier_norm_limit": self._norm_limits.get(layer),
            "recipe": {**recipe, "layer": layer},
        }


def _windows(chunks: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
    for start in range(0, len(chunks), WINDOW_CHUNKS):
        yield chunks[start : start + WINDOW_CHUNKS]
