from pathlib import Path

import pytest

from sae.files import write_atomically


def test_write_atomically_refused_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "name"
    taken.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(taken, b"content")
    assert caught.value.filename == str(taken)
    assert list(tmp_path.iterdir()) == [taken]


@pytest.mark.parametrize("name", [".", "/"])
def test_write_atomically_path_without_a_name_is_refused_as_a_directory(name: str) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(Path(name), b"content")
    assert caught.value.filename == name
