from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest

from sae.activations import (
    ActivationsConfig,
    ActivationSource,
    SyntheticConfig,
    open_activations,
)
from sae.activations.corpus import Corpus
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.importing import ImportConfig, import_rows
from sae.activations.model import LanguageModel
from sae.activations.npy_files import npy_source
from sae.errors import SaeError


def test_open_activations_of_a_folder_takes_the_layer_asked(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    extract(bert, corpus, ExtractionConfig(layers=(1, 2), held_out_tokens=60), tmp_path)
    config = ActivationsConfig(source=ActivationSource.folder, path=str(tmp_path), layer=2)
    assert open_activations(config).name == "tiny-bert layer 2"


def test_open_activations_of_an_absent_folder_is_refused(tmp_path: Path) -> None:
    config = ActivationsConfig(source=ActivationSource.folder, path=str(tmp_path / "absent"))
    with pytest.raises(SaeError, match=r"activations\.path must hold a manifest\.json, itself or"):
        open_activations(config)


def test_open_activations_of_a_folder_without_layers_refuses_a_layer(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(600, 4)))
    folder = tmp_path / "imported"
    import_rows(npy_source(tmp_path / "rows.npy"), ImportConfig(held_out_tokens=100), folder)
    config = ActivationsConfig(source=ActivationSource.folder, path=str(folder))
    assert open_activations(config).n_held_out == 100
    with pytest.raises(SaeError) as caught:
        open_activations(replace(config, layer=1))
    assert str(caught.value) == (
        f"activations.layer must be left out where activations.path={folder} holds no layers, "
        "but got 1."
    )


def test_open_activations_of_one_layer_s_folder_refuses_another_layer(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    extract(bert, corpus, ExtractionConfig(layers=(2,), held_out_tokens=60), tmp_path)
    [folder] = {path.parent for path in tmp_path.rglob("manifest.json")}
    config = ActivationsConfig(source=ActivationSource.folder, path=str(folder))
    assert open_activations(config).name == "tiny-bert layer 2"
    assert open_activations(replace(config, layer=2)).name == "tiny-bert layer 2"
    with pytest.raises(SaeError, match=r"^activations\.layer must be 2, which .* but got 1\.$"):
        open_activations(replace(config, layer=1))


def test_open_activations_synthetic_draws_what_is_asked() -> None:
    config = ActivationsConfig(
        source=ActivationSource.synthetic,
        synthetic=SyntheticConfig(d_in=8, n_features=12, n_tokens=100, held_out_tokens=20),
    )
    store = open_activations(config)
    assert (store.d_in, store.n_train, store.n_held_out) == (8, 100, 20)


def test_open_activations_of_npy_imports_into_the_cache(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(600, 4)))
    config = ActivationsConfig(
        source=ActivationSource.npy,
        path=str(tmp_path / "rows.npy"),
        held_out_tokens=100,
        cache_dir=str(tmp_path / "cache"),
    )
    store = open_activations(config)
    assert (store.name, store.d_in, store.n_held_out) == ("rows.npy", 4, 100)
    assert open_activations(config).fingerprint == store.fingerprint
    assert len(list((tmp_path / "cache" / "activations").glob("import-*"))) == 1


def test_open_activations_of_npy_imported_under_another_path_has_the_name_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "rows.npy", np.random.default_rng(0).normal(size=(600, 4)))
    config = ActivationsConfig(
        source=ActivationSource.npy,
        path=str(tmp_path / "folder"),
        held_out_tokens=100,
        cache_dir=str(tmp_path / "cache"),
    )
    assert open_activations(config).name == "folder"
    store = open_activations(replace(config, path=str(tmp_path / "folder" / "rows.npy")))
    assert store.name == "rows.npy"
    assert store.description["dataset_path"] == "rows.npy"
    assert len(list((tmp_path / "cache" / "activations").glob("import-*"))) == 1


def test_open_activations_of_a_dataset_takes_its_column(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 4)).tolist()
    datasets.Dataset.from_dict({"hidden": rows}).save_to_disk(str(tmp_path / "set"))
    config = ActivationsConfig(
        source=ActivationSource.dataset,
        path=str(tmp_path / "set"),
        column="hidden",
        held_out_tokens=100,
        cache_dir=str(tmp_path / "cache"),
    )
    store = open_activations(config)
    assert (store.name, store.d_in, store.n_held_out) == ("set hidden", 4, 100)


@pytest.mark.parametrize("kind", ["npy", "dataset"])
def test_open_activations_with_an_outlier_norm_leaves_rows_out(kind: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    rows[::100] *= 1000
    path = tmp_path / "rows.npy"
    if kind == "npy":
        np.save(path, rows)
    else:
        datasets.Dataset.from_dict({"hidden": rows.tolist()}).save_to_disk(str(path))
    plain = ActivationsConfig(
        source=ActivationSource(kind),
        path=str(path),
        column="hidden" if kind == "dataset" else None,
        held_out_tokens=100,
        cache_dir=str(tmp_path / "cache"),
    )
    store = open_activations(replace(plain, outlier_norm=10.0))
    assert store.raw_rms_norm < 3
    assert open_activations(plain).raw_rms_norm > 50
