"""From a configuration to a store."""

from pathlib import Path

from sae.activations.config import ActivationsConfig, ActivationSource
from sae.activations.folder import open_folder, resolve_folder
from sae.activations.store import ActivationStore
from sae.activations.synthetic import synthetic_activations


def open_activations(config: ActivationsConfig) -> ActivationStore:
    """Opens the activations a run trains on.

    `demo` extracts them into the cache the first time (about two minutes on two CPU cores) and
    opens them from there afterwards; `synthetic` draws them into memory; `folder` opens what
    `sae-activations extract` wrote.

    Args:
        config: Which activations.

    Raises:
        SaeError: They cannot be had; the message says why in one line.
    """
    match config.source:
        case ActivationSource.synthetic:
            return synthetic_activations(config.synthetic)
        case ActivationSource.folder:
            return open_folder(resolve_folder(Path(config.path or ""), config.layer))
        case ActivationSource.demo:
            from sae.activations.demo import demo_folder  # transformers: only when needed

            return open_folder(demo_folder(config))
