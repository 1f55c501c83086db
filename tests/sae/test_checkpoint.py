import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.checkpoint import METADATA_KEY, Checkpoints
from sae.errors import SaeError


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {"w": torch.arange(6.0).reshape(2, 3), "counter": torch.tensor(3.0)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoint", "ab" * 32)


def zeros(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in tensors.items()}


def newest(checkpoints: Checkpoints) -> Path:
    return max(checkpoints.folder.iterdir())


def test_restore_without_a_checkpoint_starts_at_zero(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    assert checkpoints.restore(tensors) == (0, 0.0)


def test_restore_returns_what_was_saved_last(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(5, 1.0, zeros(tensors))
    checkpoints.save(10, 2.5, tensors)
    target = zeros(tensors)
    assert checkpoints.restore(target) == (10, 2.5)
    assert all(torch.equal(target[name], value) for name, value in tensors.items())


def test_restore_deletes_damaged_checkpoints_so_that_two_whole_ones_are_kept(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    for step in (60, 70):
        checkpoints.save(step, 0.0, tensors)
    newest(checkpoints).write_bytes(b"half")
    assert checkpoints.restore(tensors) == (60, 0.0)
    for step in (62, 64):
        checkpoints.save(step, 0.0, tensors)
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["step_000000062.safetensors", "step_000000064.safetensors"]


def test_restore_deletes_what_a_killed_process_left_half_written(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    (checkpoints.folder / ".step_000000002.safetensors.0123abcd.tmp").write_bytes(b"half")
    checkpoints.restore(tensors)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step_000000001.safetensors"]


def test_save_keeps_two_at_most(checkpoints: Checkpoints, tensors: dict[str, Tensor]) -> None:
    for step in (1, 2, 3, 4):
        checkpoints.save(step, 0.0, tensors)
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["step_000000003.safetensors", "step_000000004.safetensors"]


def test_remove_leaves_other_files_alone(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    (checkpoints.folder / "notes.txt").write_text("mine")
    checkpoints.remove()
    assert [path.name for path in checkpoints.folder.iterdir()] == ["notes.txt"]


def test_remove_deletes_what_a_killed_process_left_half_written(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    (checkpoints.folder / ".step_000000002.safetensors.0123abcd.tmp").write_bytes(b"half")
    checkpoints.remove()
    assert not checkpoints.folder.exists()


def test_remove_deletes_the_empty_folder(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    checkpoints.remove()
    assert not checkpoints.folder.exists()


def test_restore_of_another_run_is_refused(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    other = Checkpoints(checkpoints.folder, "cd" * 32)
    with pytest.raises(SaeError, match=r"configuration, data and seed \(cdcdcdcdcdcd\), but got"):
        other.restore(zeros(tensors))


def test_restore_of_a_run_with_another_setting_names_its_key_and_both_values(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    folder = tmp_path / "checkpoint"
    before = {"trainer": {"learning_rate": 1e-3, "batch_size": 8}, "seed": 0}
    Checkpoints(folder, "ab", before).save(1, 0.0, tensors)
    now = {"trainer": {"learning_rate": 2e-3, "batch_size": 8}, "seed": 0}
    with pytest.raises(SaeError) as error:
        Checkpoints(folder, "cd", now).restore(zeros(tensors))
    assert str(error.value) == (
        f"{folder / 'step_000000001.safetensors'} must be of this configuration, data and seed "
        "(trainer.learning_rate=0.002), but got one of another (trainer.learning_rate=0.001)."
    )


@pytest.mark.parametrize("kept_bytes", [0, 4, 60, -1])
def test_restore_of_a_truncated_file_is_refused(
    checkpoints: Checkpoints, tensors: dict[str, Tensor], kept_bytes: int
) -> None:
    checkpoints.save(1, 0.0, tensors)
    path = newest(checkpoints)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(SaeError, match="must be a whole checkpoint, but got"):
        checkpoints.restore(zeros(tensors))


def test_restore_of_damaged_checkpoints_only_says_what_to_delete_and_keeps_them(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    for step in (1, 2):
        checkpoints.save(step, 0.0, tensors)
    for path in checkpoints.folder.iterdir():
        path.write_bytes(b"half")
    with pytest.raises(SaeError) as error:
        checkpoints.restore(zeros(tensors))
    way_out = f"No older one is left; delete {checkpoints.folder} to begin at the first step."
    assert str(error.value).endswith(way_out)
    assert len(list(checkpoints.folder.iterdir())) == 2


def test_restore_on_another_device_passes_over_what_only_one_of_them_has(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 2.0, tensors | {"dead": torch.ones(3)})
    found = zeros(tensors) | {"norms": torch.full((2,), 7.0)}
    assert checkpoints.restore(found, optional=("dead", "norms")) == (1, 2.0)
    assert found["norms"].tolist() == [7.0, 7.0]
    assert "dead" not in found
    for name, value in tensors.items():
        assert torch.equal(found[name], value)


def test_restore_takes_the_checkpoint_before_one_that_is_damaged(
    checkpoints: Checkpoints, tensors: dict[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(1, 2.0, tensors)
    checkpoints.save(2, 3.0, zeros(tensors))
    newest(checkpoints).write_bytes(b"")
    found = zeros(tensors)
    assert checkpoints.restore(found) == (1, 2.0)
    for name, value in tensors.items():
        assert torch.equal(found[name], value)
    assert "The one before it is taken." in caplog.text


def test_restore_of_a_pickle_is_refused(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    newest(checkpoints).write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(SaeError, match="must be a whole checkpoint, but got"):
        checkpoints.restore(zeros(tensors))


@pytest.mark.parametrize(
    "metadata", [None, {METADATA_KEY: "{"}, {METADATA_KEY: "7"}, {METADATA_KEY: '{"format": 99}'}]
)
def test_restore_of_a_foreign_tensor_file_is_refused(
    checkpoints: Checkpoints, tensors: dict[str, Tensor], metadata: dict[str, str] | None
) -> None:
    checkpoints.save(1, 0.0, tensors)
    save_file(tensors, newest(checkpoints), metadata=metadata)
    with pytest.raises(SaeError, match="must be a checkpoint of a training run"):
        checkpoints.restore(zeros(tensors))


def test_restore_of_other_tensors_names_them(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    with pytest.raises(SaeError, match="differs in extra"):
        checkpoints.restore({**tensors, "extra": torch.zeros(1)})


def test_restore_of_another_shape_names_it(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.0, tensors)
    with pytest.raises(SaeError, match=r"w must be torch.float32 \(3, 2\), but got .* \(2, 3\)"):
        checkpoints.restore({**tensors, "w": torch.zeros(3, 2)})


def test_save_metadata_is_json_without_a_date(
    checkpoints: Checkpoints, tensors: dict[str, Tensor]
) -> None:
    checkpoints.save(1, 0.5, tensors)
    content = newest(checkpoints).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = json.loads(header["__metadata__"][METADATA_KEY])
    assert facts == {"format": 1, "identity": "ab" * 32, "step": 1, "seconds": 0.5}
