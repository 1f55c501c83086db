"""The command line `sae-activations extract | import | info | verify | downstream`."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sae.activations.cache import cache_folder
from sae.activations.corpus import Corpus, read_corpus
from sae.activations.dataset_column import dataset_source
from sae.activations.demo import (
    DOCUMENT_TOKENS,
    MAX_TOKENS,
    demo_output,
    load_demo_model,
)
from sae.activations.documentation import python_documentation
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import open_folder, verify_folder
from sae.activations.importing import ImportConfig, import_rows
from sae.activations.manifest import StorageType, read_manifest
from sae.activations.model import load_model
from sae.activations.npy_files import npy_source
from sae.activations.outliers import outlier_warning
from sae.device import resolve_device
from sae.downstream_run import measure_folder
from sae.errors import SaeError

app = typer.Typer(
    help="Activations on disk: extract them from a model, look at them, check them.",
    epilog="--version says which this is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(help="Folder of one layer, which holds a manifest.json.")]
OutlierNorm = Annotated[
    float | None, typer.Option(help="Drop tokens above this many median norms.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("extract")
def extract_command(  # noqa: PLR0913 - typer: a parameter is an option
    model: Annotated[str, typer.Option(help="Local folder or hub name; demo: MiniLM.")] = "demo",
    layer: Annotated[list[int] | None, typer.Option(help="Block, from 1; repeat it.")] = None,
    module: Annotated[
        list[str] | None, typer.Option(help="Module by name, instead of a block; repeat it.")
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Text, JSONL or a folder; repeat it. Default: CPython's documentation."),
    ] = None,
    text_key: Annotated[str, typer.Option(help="Where JSONL lines hold text.")] = "text",
    output: Annotated[
        Path | None,
        typer.Option(help="Parent of layer_<n> or <module>; the demo's default is the cache."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens in all; demo 300,000, else all.")
    ] = None,
    held_out_tokens: Annotated[int, typer.Option(help="How many are held out.")] = 22_000,
    document_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a document; demo 3,000, else all.")
    ] = None,
    context_tokens: Annotated[int, typer.Option(help="Longest piece read at once.")] = 256,
    dtype: Annotated[StorageType, typer.Option(help="Type on disk.")] = StorageType.float32,
    outlier_norm: OutlierNorm = None,
    seed: Annotated[int, typer.Option(help="Of the order of documents.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Runs a model as far as needed and writes what its layers or modules put out."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    is_demo = model == "demo"
    if is_demo and not text:
        max_tokens = MAX_TOKENS if max_tokens is None else max_tokens
        document_tokens = DOCUMENT_TOKENS if document_tokens is None else document_tokens
    config = ExtractionConfig(
        layers=tuple(layer or ([] if module else [3])),
        modules=tuple(module or []),
        max_tokens=max_tokens,
        held_out_tokens=held_out_tokens,
        document_tokens=document_tokens,
        context_tokens=context_tokens,
        storage=dtype,
        outlier_norm=outlier_norm,
        seed=seed,
    )
    folder = _output(output, config, in_cache=is_demo and not text)
    corpus = _corpus(text or [], text_key)
    loaded = (
        load_demo_model(device) if is_demo else load_model(model, device=resolve_device(device))
    )
    for path in extract(loaded, corpus, config, folder):
        typer.echo(path)
        _warn(path)


def _output(output: Path | None, config: ExtractionConfig, *, in_cache: bool) -> Path:
    if output is not None:
        return output
    if not in_cache:
        raise SaeError("--output must name a folder unless the demo is extracted, but got none.")
    return demo_output(config, cache_folder(None))


def _corpus(text: list[Path], text_key: str) -> Corpus:
    return read_corpus(text, text_key) if text else python_documentation()


@app.command("import")
def import_command(  # noqa: PLR0913 - typer: a parameter is an option
    path: Annotated[
        str, typer.Argument(help="A .npy file, a folder of them, or with --column a dataset.")
    ],
    output: Annotated[Path, typer.Option(help="Folder to write.")],
    column: Annotated[
        str | None, typer.Option(help="Column of a Hugging Face dataset (saved, or on the hub).")
    ] = None,
    split: Annotated[str, typer.Option(help="Its split.")] = "train",
    held_out_tokens: Annotated[int, typer.Option(help="How many rows are held out.")] = 22_000,
    dtype: Annotated[StorageType, typer.Option(help="Type on disk.")] = StorageType.float32,
    outlier_norm: OutlierNorm = None,
    seed: Annotated[int, typer.Option(help="Of which documents are held out.")] = 0,
) -> None:
    """Copies activations from .npy files or a dataset into shards with a manifest."""
    source = npy_source(Path(path)) if column is None else dataset_source(path, column, split)
    config = ImportConfig(
        held_out_tokens=held_out_tokens, storage=dtype, outlier_norm=outlier_norm, seed=seed
    )
    typer.echo(import_rows(source, config, output))
    _warn(output)


@app.command()
def info(folder: Folder, as_json: Json = False) -> None:
    """Prints what the manifest says, after checking that every shard is there."""
    open_folder(folder)
    _print(read_manifest(folder).facts(), as_json=as_json)
    _warn(folder)


@app.command()
def verify(folder: Folder, as_json: Json = False) -> None:
    """Reads every byte: checksums, finite numbers, statistics, documents."""
    facts = verify_folder(folder).facts()
    _print({"verified": True, **facts} if as_json else {"verified": folder}, as_json=as_json)


@app.command()
def downstream(
    sae: Annotated[Path, typer.Argument(help="Folder of a trained SAE, with a cfg.json.")],
    model: Annotated[str, typer.Option(help="Local folder or hub name; demo: MiniLM.")] = "demo",
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Text, JSONL or a folder; repeat it. Default: CPython's documentation."),
    ] = None,
    text_key: Annotated[str, typer.Option(help="Where JSONL lines hold text.")] = "text",
    max_tokens: Annotated[int, typer.Option(help="Tokens to measure on.")] = 5_000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Splices an SAE into its model and prints, as JSON, how much of the model survives."""
    effect = measure_folder(sae, model, _corpus(text or [], text_key), max_tokens, device)
    typer.echo(json.dumps(asdict(effect), indent=2))


def _warn(folder: Path) -> None:
    """Says on standard error what is doubtful about a folder's activations."""
    if (warning := outlier_warning(open_folder(folder))) is not None:
        typer.echo(warning, err=True)


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    description = facts.pop("description", {})
    for key, value in {**facts, **description}.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        typer.echo(f"{key:24} {shown}")
