from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sae.activations.folder import open_folder, verify_folder
from sae.activations.importing import ImportConfig, cached_import, import_rows
from sae.activations.manifest import StorageType
from sae.activations.npy_files import npy_source
from sae.activations.row_source import RowSource
from sae.activations.rows import Rows
from sae.activations.store import ActivationStore
from sae.errors import SaeError

ROWS = np.random.default_rng(0).normal(size=(2048, 8)).astype(np.float32)
SMALL = ImportConfig(held_out_tokens=300, shard_tokens=500)


@pytest.fixture
def source(tmp_path: Path) -> RowSource:
    np.save(tmp_path / "rows.npy", ROWS)
    return npy_source(tmp_path / "rows.npy")


def all_rows(store: ActivationStore) -> torch.Tensor:
    held_out = [rows for rows, _ in store.held_out_batches(64)]
    assert isinstance(store.train, Rows)
    return torch.cat([rows for rows, _ in store.train.blocks()] + held_out)


def test_import_rows_of_stretches_keeps_every_row_in_one_split(
    source: RowSource, tmp_path: Path
) -> None:
    folder = import_rows(source, SMALL, tmp_path / "out")
    manifest = verify_folder(folder)
    store = open_folder(folder)
    assert (store.n_train, store.n_held_out) == (2048 - 300, 300)
    assert len(manifest.shards) > 3
    known = {row.tobytes() for row in ROWS}
    assert {row.numpy().tobytes() for row in all_rows(store)} <= known


def test_import_rows_statistics_are_those_of_the_training_rows(
    source: RowSource, tmp_path: Path
) -> None:
    store = open_folder(import_rows(source, SMALL, tmp_path / "out"))
    assert isinstance(store.train, Rows)
    rows = torch.cat([rows for rows, _ in store.train.blocks()]).double()
    torch.testing.assert_close(store.mean.double(), rows.mean(0), atol=1e-6, rtol=1e-6)
    centred = (rows - rows.mean(0)).square().sum(1).mean()
    assert store.scale == pytest.approx(float((8 / centred) ** 0.5))


def test_import_rows_again_leaves_the_folder_alone(source: RowSource, tmp_path: Path) -> None:
    folder = import_rows(source, SMALL, tmp_path / "out")
    written = (folder / "manifest.json").stat().st_mtime_ns
    import_rows(source, SMALL, tmp_path / "out")
    assert (folder / "manifest.json").stat().st_mtime_ns == written


def test_import_rows_over_another_import_is_refused(source: RowSource, tmp_path: Path) -> None:
    import_rows(source, SMALL, tmp_path / "out")
    with pytest.raises(SaeError, match="of the same recipe, but has seed 0 where 1 is asked"):
        import_rows(source, ImportConfig(held_out_tokens=300, seed=1), tmp_path / "out")


def test_import_rows_in_half_precision_stores_rounded_rows(
    source: RowSource, tmp_path: Path
) -> None:
    config = ImportConfig(held_out_tokens=300, storage=StorageType.bfloat16)
    store = open_folder(import_rows(source, config, tmp_path / "out"))
    assert isinstance(store.train, Rows)
    assert store.train.blocks()[0][0].dtype is torch.bfloat16


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_import_rows_of_a_value_not_finite_names_file_and_row(
    value: float, tmp_path: Path
) -> None:
    rows = ROWS.copy()
    rows[777, 3] = value
    np.save(tmp_path / "rows.npy", rows)
    source = npy_source(tmp_path / "rows.npy")
    with pytest.raises(SaeError, match=r"rows\.npy must be finite, but row 777 is not\."):
        import_rows(source, SMALL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("held_out_tokens", [2048, 5000])
def test_import_rows_without_rows_to_train_on_is_refused(
    held_out_tokens: int, source: RowSource, tmp_path: Path
) -> None:
    with pytest.raises(
        SaeError, match=r"held_out_tokens must leave rows of rows\.npy to train on"
    ):
        import_rows(source, ImportConfig(held_out_tokens=held_out_tokens), tmp_path / "out")


@pytest.mark.parametrize(("rows", "held_out_tokens"), [(300, 100), (256, 22), (100, 97), (6, 2)])
def test_import_rows_of_a_small_array_cuts_a_stretch(
    rows: int, held_out_tokens: int, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", ROWS[:rows])
    config = ImportConfig(held_out_tokens=held_out_tokens, shard_tokens=16)
    store = open_folder(import_rows(npy_source(tmp_path / "rows.npy"), config, tmp_path / "out"))
    assert store.n_held_out == held_out_tokens
    assert store.n_train == rows - held_out_tokens
    found = all_rows(store)
    assert len({row.numpy().tobytes() for row in found}) == len(found)
    verify_folder(tmp_path / "out")


def test_import_rows_of_whole_documents_cuts_none_of_them(tmp_path: Path) -> None:
    np.save(tmp_path / "documents.npy", ROWS.reshape(2, 1024, 8))
    source = npy_source(tmp_path / "documents.npy")
    with pytest.raises(SaeError, match=r"train on \(of 2048 in 2 documents\), but got 1025\.$"):
        import_rows(source, ImportConfig(held_out_tokens=1025), tmp_path / "out")


def test_cached_import_of_the_same_source_is_one_folder(source: RowSource, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = cached_import(source, SMALL, cache)
    assert cached_import(source, SMALL, cache) == first
    assert cached_import(source, ImportConfig(held_out_tokens=301), cache) != first


def test_import_config_out_of_range_is_refused() -> None:
    with pytest.raises(SaeError, match="held_out_tokens must be positive, but got 0"):
        ImportConfig(held_out_tokens=0)


@pytest.fixture
def with_sinks(tmp_path: Path) -> RowSource:
    """32 documents of 64 rows, the first of each far longer than the others."""
    rows = ROWS.reshape(32, 64, 8).copy()
    rows[:, 0] *= 1000
    np.save(tmp_path / "sinks.npy", rows)
    return npy_source(tmp_path / "sinks.npy")


def test_import_rows_with_an_outlier_norm_leaves_them_out_of_both_splits(
    with_sinks: RowSource, tmp_path: Path
) -> None:
    config = ImportConfig(held_out_tokens=63 * 4, outlier_norm=10)
    store = open_folder(import_rows(with_sinks, config, tmp_path / "out"))
    assert (store.n_train, store.n_held_out) == (63 * 28, 63 * 4)
    assert float(all_rows(store).norm(dim=1).max()) < 10
    assert store.description["outlier_tokens_dropped"] == 32
    assert store.name == "sinks.npy, outlier_norm=10"


def test_import_rows_with_another_outlier_norm_over_the_first_is_refused(
    with_sinks: RowSource, tmp_path: Path
) -> None:
    import_rows(with_sinks, ImportConfig(held_out_tokens=252, outlier_norm=10), tmp_path / "out")
    with pytest.raises(SaeError, match=r"but has outlier_norm 10 where None is asked\."):
        import_rows(with_sinks, ImportConfig(held_out_tokens=252), tmp_path / "out")


def test_cached_import_with_an_outlier_norm_has_a_folder_of_its_own(
    with_sinks: RowSource, tmp_path: Path
) -> None:
    config = ImportConfig(held_out_tokens=252)
    plain = cached_import(with_sinks, config, tmp_path)
    assert cached_import(with_sinks, replace(config, outlier_norm=10), tmp_path) != plain
    assert cached_import(with_sinks, config, tmp_path) == plain


def test_import_config_with_an_outlier_norm_of_one_is_refused() -> None:
    with pytest.raises(SaeError, match=r"outlier_norm must be above 1, but got 1\."):
        ImportConfig(outlier_norm=1)


def test_import_rows_of_a_long_document_tells_the_rows_in_neither_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "two.npy", ROWS.reshape(2, 1024, 8))
    source = npy_source(tmp_path / "two.npy")
    store = open_folder(import_rows(source, ImportConfig(held_out_tokens=24), tmp_path / "out"))
    assert (store.n_train, store.n_held_out) == (1024, 24)
    assert store.description["tokens_in_neither_split"] == 1000
    assert "two.npy: 1,000 rows are in neither split" in caplog.text


def test_import_rows_of_whole_documents_tells_of_no_rows_in_neither_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "documents.npy", ROWS.reshape(16, 128, 8))
    source = npy_source(tmp_path / "documents.npy")
    store = open_folder(import_rows(source, ImportConfig(held_out_tokens=256), tmp_path / "out"))
    assert store.description["tokens_in_neither_split"] == 0
    assert caplog.text == ""


def test_import_rows_without_outliers_of_stretches_counts_each_row_once(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[::64] *= 1000
    np.save(tmp_path / "sinks.npy", rows)
    config = ImportConfig(held_out_tokens=300, outlier_norm=10)
    store = open_folder(import_rows(npy_source(tmp_path / "sinks.npy"), config, tmp_path / "out"))
    assert store.description["outlier_tokens_dropped"] == 32
    assert store.n_train + store.n_held_out == 2048 - 32


@pytest.mark.parametrize(
    ("value", "storage"), [(1e200, StorageType.float32), (-7e4, StorageType.float16)]
)
def test_import_rows_of_a_value_too_large_to_store_names_file_row_and_value(
    value: float, storage: StorageType, tmp_path: Path
) -> None:
    rows = ROWS.astype(np.float64)
    rows[777, 3] = value
    np.save(tmp_path / "rows.npy", rows)
    message = rf"rows\.npy must fit into {storage}, but row 777 holds "
    with pytest.raises(SaeError, match=message):
        import_rows(
            npy_source(tmp_path / "rows.npy"), replace(SMALL, storage=storage), tmp_path / "out"
        )


def test_import_rows_that_are_all_alike_names_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "const.npy", np.ones((600, 4), dtype=np.float32))
    with pytest.raises(SaeError, match=r"const\.npy must hold at least two different tokens"):
        import_rows(npy_source(tmp_path / "const.npy"), SMALL, tmp_path / "out")


def test_cached_import_without_rows_to_train_on_names_the_key_of_a_run(
    source: RowSource, tmp_path: Path
) -> None:
    with pytest.raises(SaeError, match=r"^activations\.held_out_tokens must leave rows of"):
        cached_import(source, ImportConfig(held_out_tokens=5000), tmp_path)
