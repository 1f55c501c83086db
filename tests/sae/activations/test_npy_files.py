import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sae.activations.npy_files import npy_source
from sae.errors import SaeError


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_npy_source_of_a_folder_reads_its_files_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    rows = floats(700, 8)
    np.save(tmp_path / "b.npy", rows[300:])
    np.save(tmp_path / "a.npy", rows[:300])
    source = npy_source(tmp_path)
    assert source.d_in == 8
    assert torch.equal(
        torch.cat([piece.read() for piece in source.pieces]), torch.from_numpy(rows)
    )
    starts = [(Path(piece.origin).name, piece.first_row) for piece in source.pieces]
    assert starts == [("a.npy", 0), ("a.npy", 256), ("b.npy", 0), ("b.npy", 256)]


def test_npy_source_of_three_dimensions_has_a_piece_for_each_document(tmp_path: Path) -> None:
    array = floats(3, 5, 4)
    np.save(tmp_path / "a.npy", array)
    pieces = npy_source(tmp_path / "a.npy").pieces
    assert [piece.first_row for piece in pieces] == [0, 5, 10]
    assert torch.equal(pieces[2].read(), torch.from_numpy(array[2]))


def test_npy_source_of_the_other_byte_order_has_the_same_rows(tmp_path: Path) -> None:
    array = floats(3, 4)
    np.save(tmp_path / "a.npy", array.astype(array.dtype.newbyteorder("S")))
    [piece] = npy_source(tmp_path / "a.npy").pieces
    assert torch.equal(piece.read(), torch.from_numpy(array))


def test_npy_source_of_a_changed_file_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, floats(10, 4))
    before = npy_source(path).identity
    np.save(path, floats(11, 4))
    assert npy_source(path).identity != before


def test_npy_source_of_pickled_objects_is_refused_without_reading_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SaeError, match=r"a\.npy must be a whole \.npy file of numbers \(pickles"):
        npy_source(tmp_path / "a.npy")


def test_npy_source_of_a_torch_pickle_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3, 4), tmp_path / "a.pt")
    with pytest.raises(SaeError, match=r"a\.pt must be a \.npy file .* \(pickles, .* got \.pt\."):
        npy_source(tmp_path / "a.pt")


def test_npy_source_of_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(pickle.dumps([1.0, 2.0]))
    with pytest.raises(SaeError, match=r"a\.npy must be a whole \.npy file .* but got: .*magic"):
        npy_source(tmp_path)


def test_npy_source_of_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, floats(10, 4))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SaeError, match=r"a\.npy must be a whole \.npy file of numbers"):
        npy_source(path)


def test_npy_source_of_two_widths_names_the_second_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", floats(10, 4))
    np.save(tmp_path / "b.npy", floats(10, 5))
    with pytest.raises(
        SaeError, match=r"b\.npy must hold rows of width 4 as a\.npy does, but got 5\."
    ):
        npy_source(tmp_path)


@pytest.mark.parametrize("array", [np.zeros((3, 4), dtype=np.int64), np.zeros(3), np.array(1.0)])
def test_npy_source_of_anything_but_a_table_of_floats_is_refused(
    array: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(SaeError, match=r"a\.npy must hold floats \[rows, d_in\] or .*, but got "):
        npy_source(tmp_path / "a.npy")


def test_npy_source_of_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"a\.npy must be readable, but got: No such file"):
        npy_source(tmp_path / "a.npy")


def test_npy_source_of_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"must hold \.npy files, but got none\."):
        npy_source(tmp_path)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4), (3, 0)])
def test_npy_source_without_numbers_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", floats(*shape))
    with pytest.raises(SaeError, match=r"must hold at least one row, but got none\."):
        npy_source(tmp_path)
