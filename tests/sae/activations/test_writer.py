import multiprocessing
import time
from pathlib import Path

import pytest

from sae.activations.writer import exclusive_folder, published
from sae.errors import SaeError


def hold(folder: Path, seconds: float) -> None:
    with exclusive_folder(folder):
        (folder / "held").touch()
        time.sleep(seconds)
        (folder / "released").touch()


def test_exclusive_folder_waits_for_another_process(tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, 0.5))
    other.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with exclusive_folder(tmp_path):
        assert (tmp_path / "released").exists()
    other.join()
    assert other.exitcode == 0


def test_exclusive_folder_turns_a_full_disk_into_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(SaeError, match=r"output folder .* must be writable, but got: .* No space"),
        exclusive_folder(tmp_path),
        Path("/dev/full").open("w") as stream,
    ):
        stream.write("x")


def test_published_folder_appears_when_its_block_ends(tmp_path: Path) -> None:
    with published(tmp_path / "layer_1") as partial:
        (partial / "file").touch()
        assert not (tmp_path / "layer_1").exists()
    assert (tmp_path / "layer_1" / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["layer_1"]


def test_published_folder_of_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with published(tmp_path / "layer_1") as partial:
            (partial / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
