from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from sae.activations.dataset_column import dataset_source
from sae.errors import SaeError

VECTORS = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)


def save(folder: Path, **columns: Any) -> str:
    datasets.Dataset.from_dict(columns).save_to_disk(str(folder / "set"))
    return str(folder / "set")


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    return save(tmp_path, text=["t"] * 300, hidden=VECTORS.tolist())


def rows_of(path: str, column: str = "hidden", split: str = "train") -> torch.Tensor:
    return torch.cat([piece.read() for piece in dataset_source(path, column, split).pieces])


def test_dataset_source_of_vectors_reads_every_row_in_order(vectors: str) -> None:
    assert torch.equal(rows_of(vectors), torch.from_numpy(VECTORS))
    assert [piece.first_row for piece in dataset_source(vectors, "hidden").pieces] == [0, 256]


def test_dataset_source_of_matrices_has_a_piece_for_each_document(tmp_path: Path) -> None:
    documents = [VECTORS[:2].tolist(), VECTORS[2:7].tolist()]
    path = save(tmp_path, hidden=documents)
    source = dataset_source(path, "hidden")
    assert [len(piece.read()) for piece in source.pieces] == [2, 5]
    assert torch.equal(rows_of(path), torch.from_numpy(VECTORS[:7]))


def test_dataset_source_takes_the_split_asked(tmp_path: Path) -> None:
    parts: Any = {
        name: datasets.Dataset.from_dict({"hidden": rows.tolist()})
        for name, rows in (("train", VECTORS[:10]), ("test", VECTORS[10:]))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
    path = str(tmp_path / "set")
    assert torch.equal(rows_of(path, split="test"), torch.from_numpy(VECTORS[10:]))
    with pytest.raises(SaeError, match=r"split must be one of train, test .* did you mean 'test'"):
        dataset_source(path, "hidden", "tests")


def test_dataset_source_of_an_unknown_column_names_the_nearest(vectors: str) -> None:
    with pytest.raises(
        SaeError, match=r"one of text, hidden of .* but got 'hiden', did you mean 'hidden'\?"
    ):
        dataset_source(vectors, "hiden")


def test_dataset_source_of_text_is_refused(vectors: str) -> None:
    with pytest.raises(SaeError, match=r"column text of dataset .* must hold floats of one width"):
        dataset_source(vectors, "text")


def test_dataset_source_of_numbers_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, hidden=[1.0, 2.0])
    with pytest.raises(SaeError, match="must hold vectors or matrices, but got numbers"):
        dataset_source(path, "hidden")


def test_dataset_source_of_arrays_of_three_dimensions_says_what_they_are(tmp_path: Path) -> None:
    path = save(tmp_path, hidden=VECTORS[:8].reshape(2, 2, 2, 6).tolist())
    with pytest.raises(SaeError, match="vectors or matrices, but got arrays of 3 dimensions"):
        dataset_source(path, "hidden")


def test_dataset_source_of_two_widths_names_the_rows(tmp_path: Path) -> None:
    path = save(tmp_path, hidden=[[1.0, 2.0], [3.0]])
    with pytest.raises(SaeError, match="one width, but rows 0 to 1 have several widths"):
        rows_of(path)


def test_dataset_source_of_an_empty_document_says_that_it_is_empty(tmp_path: Path) -> None:
    path = save(tmp_path, hidden=[VECTORS[:2].tolist(), [], VECTORS[2:7].tolist()])
    with pytest.raises(SaeError, match="floats of one width, but rows 1 to 1 have none"):
        rows_of(path)


def test_dataset_source_of_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match="must be loadable, but got: ") as error:
        dataset_source(str(tmp_path), "hidden")
    assert "\n" not in str(error.value)


def test_dataset_source_without_datasets_names_the_extra(
    vectors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(_name: str) -> Any:
        return None

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)
    with pytest.raises(SaeError, match=r"pip install 'sae-sweep\[lm\]'"):
        dataset_source(vectors, "hidden")
