"""From a configuration to a store."""

from dataclasses import replace
from pathlib import Path

from sae.activations.cache import cache_folder
from sae.activations.config import DEFAULT_LAYER, ActivationsConfig, ActivationSource
from sae.activations.dataset_column import dataset_source
from sae.activations.folder import open_folder, resolve_folder
from sae.activations.importing import ImportConfig, cached_import, import_name
from sae.activations.npy_files import npy_source
from sae.activations.row_source import RowSource
from sae.activations.store import ActivationStore
from sae.activations.synthetic import synthetic_activations
from sae.errors import SaeError


def open_activations(config: ActivationsConfig) -> ActivationStore:
    """Opens the activations a run trains on.

    `demo` extracts them into the cache the first time (about two minutes on two CPU cores) and
    opens them from there afterwards; `synthetic` draws them into memory; `folder` opens what
    `sae-activations` wrote; `npy` and `dataset` import theirs into the cache the first time;
    `stream` loads a model and runs it as training goes.

    Args:
        config: Which activations.

    Raises:
        SaeError: They cannot be had; the message says why in one line.
    """
    match config.source:
        case ActivationSource.synthetic:
            return synthetic_activations(config.synthetic)
        case ActivationSource.folder:
            store = open_folder(resolve_folder(Path(config.path or ""), config.layer))
            _refuse_unread_layer(config, store)
            return store
        case ActivationSource.demo:
            from sae.activations.demo import demo_folder  # transformers: only when needed

            return open_folder(demo_folder(config))
        case ActivationSource.npy:
            return _imported(npy_source(Path(config.path or "")), config)
        case ActivationSource.dataset:
            source = dataset_source(config.path or "", config.column or "", config.split)
            return _imported(source, config)
        case ActivationSource.stream:
            from sae.activations.streaming import streamed_activations  # transformers

            return streamed_activations(config)


def _refuse_unread_layer(config: ActivationsConfig, store: ActivationStore) -> None:
    """Raises a SaeError for a layer that the folder is not of: it would say what is not so.

    The default may be what nobody asked for.
    """
    held = store.description.get("layer")
    if config.layer in (DEFAULT_LAYER, held):
        return
    if held:
        raise SaeError(
            f"activations.layer must be {held}, which activations.path={config.path} holds, "
            f"but got {config.layer}."
        )
    raise SaeError(
        f"activations.layer must be left out where activations.path={config.path} holds no "
        f"layers, but got {config.layer}."
    )


def _imported(source: RowSource, config: ActivationsConfig) -> ActivationStore:
    chosen = ImportConfig(held_out_tokens=config.held_out_tokens, outlier_norm=config.outlier_norm)
    store = open_folder(cached_import(source, chosen, cache_folder(config.cache_dir)))
    # The cache may hold the same rows from a path that is called otherwise.
    names = {"model_name": source.name, "dataset_path": source.name}
    name = import_name(source, chosen)
    return replace(store, name=name, description={**store.description, **names})
