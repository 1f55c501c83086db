"""Running a model over a corpus and writing a folder of activations for each site.

Shapes: N tokens of a window, D a site's width.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.activations.chunks import Chunk, TokenPlan, plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.manifest import Split
from sae.activations.model import LanguageModel
from sae.activations.module_outputs import output_widths, window_rows
from sae.activations.outliers import is_outlier, norm_limit
from sae.activations.progress import ProgressLine
from sae.activations.recipe import has_recipe
from sae.activations.site import Site
from sae.activations.unfinished import Progress, UnfinishedExtraction
from sae.activations.writer import (
    MEGABYTE,
    LayerWriter,
    exclusive_folder,
    require_disk,
)
from sae.errors import SaeError

WINDOW_CHUNKS = 256
"""Chunks sorted by length together; more would save little padding and take memory."""

_log = logging.getLogger(__name__)


def extract(
    model: LanguageModel, corpus: Corpus, config: ExtractionConfig, output: Path
) -> list[Path]:
    """Writes `output`/layer_<n> or `output`/<module> for every site, all in one pass of the model.

    What is already there from the same model, text and settings is left as it is. A process
    that was killed is continued after its last complete shards, and ends with the same bytes.

    Args:
        model: The model to run.
        corpus: The text to run it over.
        config: Layers, modules, tokens and storage.
        output: Parent of the folders; made if needed.

    Returns:
        The folders: layers, then modules, in the order asked.

    Raises:
        SaeError: The text is too short, the disk too full, an activation not finite, a module
            absent, or a folder holds something else.
    """
    sites = model.sites(config.layers, config.modules)
    recipe = extraction_recipe(model, corpus, config)
    with exclusive_folder(output):
        missing = [
            site for site in sites if not has_recipe(output / site.folder, recipe | site.recipe)
        ]
        if missing:
            context_tokens = min(config.context_tokens, model.context_tokens)
            plan = plan_tokens(corpus, model.tokenizer, context_tokens, config)
            widths = output_widths(model, [site.module for site in missing])
            _announce(plan, model, config, output, missing, widths)
            _Extraction(model, plan, config, missing, widths).run(output, corpus, recipe)
    return [output / site.folder for site in sites]


def extraction_recipe(
    model: LanguageModel, corpus: Corpus, config: ExtractionConfig
) -> dict[str, Any]:
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
    sites: Sequence[Site],
    widths: Mapping[str, int],
) -> None:
    train, held_out = plan.tokens(Split.train), plan.tokens(Split.held_out)
    needed = require_disk(output, train + held_out, list(widths.values()), config.storage)
    _log.info(
        "Extracting %s, %s: %s training tokens of %s documents, %s held-out tokens of %s. "
        "Writes %s MB to %s.",
        model.name,
        ", ".join(site.label for site in sites),
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
        sites: Sequence[Site],
        widths: Mapping[str, int],
    ) -> None:
        self._model = model
        self._plan = plan
        self._config = config
        self._sites = sites
        self._widths = widths
        self._progress = Progress()

    def run(self, output: Path, corpus: Corpus, recipe: Mapping[str, Any]) -> None:
        """Writes every site's folder; they appear together at the end."""
        config = self._config
        modules = [site.module for site in self._sites]
        unfinished = UnfinishedExtraction(output, {**recipe, "modules": modules})
        writers = {
            site.module: LayerWriter(
                unfinished.folder / site.folder,
                self._widths[site.module],
                config.storage,
                config.shard_tokens,
            )
            for site in self._sites
        }
        self._progress = unfinished.resume(writers)
        try:
            self._write_windows(unfinished, writers)
            for site in self._sites:
                name = f"{self._model.name} {site.label}"
                writers[site.module].finish(name, self._description(site, corpus, recipe))
        except SaeError:
            unfinished.remove()  # it would end the same way again
            raise
        for site in self._sites:
            writers[site.module].folder.rename(output / site.folder)
        unfinished.remove()

    def _write_windows(
        self, unfinished: UnfinishedExtraction, writers: Mapping[str, LayerWriter]
    ) -> None:
        """Windows beyond those done; shards end where a window does, so that work can go on."""
        done = self._progress.windows
        total = self._plan.tokens(Split.train) + self._plan.tokens(Split.held_out)
        with ProgressLine(total, "tokens") as line:
            for number, planned in enumerate(_windows(self._plan, self._config.shard_tokens)):
                if number >= done:
                    self._write_window(planned, writers)
                    self._progress.windows = number + 1
                    if planned.ends_shards:
                        for writer in writers.values():
                            writer.flush(planned.split)
                        unfinished.save(self._progress, writers)
                line.advance(planned.tokens)

    def _write_window(self, window: "_Window", writers: Mapping[str, LayerWriter]) -> None:
        ids_N2 = torch.cat(
            [
                torch.stack(
                    [torch.full_like(chunk.kept, chunk.document), chunk.token_ids[chunk.kept]],
                    dim=1,
                )
                for chunk in window.chunks
            ]
        )
        for module, rows_ND in window_rows(self._model, list(writers), window.chunks).items():
            kept_N = self._without_outliers(module, rows_ND)
            writers[module].add(window.split, rows_ND[kept_N], ids_N2[kept_N])

    def _without_outliers(self, module: str, rows_ND: Tensor) -> Tensor:
        """Bool [n]: which rows stay.

        The median is that of the module's first window: documents come shuffled, so it is a
        sample of all, and no second pass is needed.
        """
        if self._config.outlier_norm is None:
            return torch.ones(len(rows_ND), dtype=torch.bool)
        limits, dropped = self._progress.norm_limits, self._progress.dropped
        norms_N = rows_ND.norm(dim=1)
        if module not in limits:
            limits[module] = norm_limit(norms_N, self._config.outlier_norm)
        outlier_N = is_outlier(norms_N, limits[module])
        dropped[module] = dropped.get(module, 0) + int(outlier_N.sum())
        return ~outlier_N

    def _description(
        self, site: Site, corpus: Corpus, recipe: Mapping[str, Any]
    ) -> dict[str, Any]:
        model = self._model
        return {
            "model_name": model.name,
            "model_class_name": type(model.network).__name__,
            "hook_name": site.module,
            "layer": site.layer,
            "layer_meaning": "residual stream after block `layer`, the first block being 1",
            "n_layers": len(model.blocks),
            "context_size": recipe["context_tokens"],
            "exclude_special_tokens": True,
            "dataset_path": corpus.name,
            "train_documents": self._plan.documents(Split.train),
            "held_out_documents": self._plan.documents(Split.held_out),
            "outlier_tokens_dropped": self._progress.dropped.get(site.module, 0),
            "outlier_norm_limit": self._progress.norm_limits.get(site.module),
            "recipe": {**recipe, **site.recipe},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """Chunks that the model reads together."""

    split: Split
    chunks: Sequence[Chunk]
    ends_shards: bool
    """Whether everything up to here goes into shards before the next window."""

    @property
    def tokens(self) -> int:
        return sum(len(chunk.kept) for chunk in self.chunks)


def _windows(plan: TokenPlan, shard_tokens: int) -> Iterator[_Window]:
    for split in Split:
        chunks = plan.chunks[split]
        pending = 0
        for start in range(0, len(chunks), WINDOW_CHUNKS):
            window = chunks[start : start + WINDOW_CHUNKS]
            pending += sum(len(chunk.kept) for chunk in window)
            ends = pending >= shard_tokens or start + WINDOW_CHUNKS >= len(chunks)
            pending = 0 if ends else pending
            yield _Window(split=split, chunks=window, ends_shards=ends)
