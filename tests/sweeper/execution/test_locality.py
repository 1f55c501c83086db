from pathlib import Path

import pytest

from sweeper.database import is_of_this_machine
from sweeper.errors import SweepError
from sweeper.execution import locality
from sweeper.execution.locality import check_reach, file_system

POSTGRES = "postgresql://me:secret@database/sweeps"


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with its root on ext4 and `tmp_path/shared` on NFS."""
    table = tmp_path / "mounts"
    table.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path}/shared nfs4 rw 0 0\n")
    monkeypatch.setattr(locality, "MOUNTS", table)
    return tmp_path


def test_check_reach_own_disk_with_other_machines_is_refused(mounts: Path) -> None:
    with pytest.raises(SweepError) as caught:
        check_reach("Slurm", {"node2"}, POSTGRES, mounts / "multirun")
    assert "hydra.sweep.dir must be on a disk that other machines see" in str(caught.value)
    assert "node2" in str(caught.value)
    assert "ext4" in str(caught.value)


def test_check_reach_own_database_with_other_machines_is_refused(mounts: Path) -> None:
    with pytest.raises(SweepError, match=r"sweep\.storage must be a database") as caught:
        check_reach("Ray", {"node2"}, "postgresql://me:secret@localhost/db", mounts / "shared")
    assert "secret" not in str(caught.value)


def test_check_reach_shared_disk_and_server_are_good(mounts: Path) -> None:
    check_reach("Slurm", {"node2"}, POSTGRES, mounts / "shared" / "multirun")
    check_reach("Slurm", {"node2"}, None, mounts / "shared" / "multirun")


def test_check_reach_cluster_of_this_machine_alone_may_use_its_disk(mounts: Path) -> None:
    check_reach("Slurm", set(), "sqlite:///study.db", mounts)


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("sqlite:///study.db", True),
        ("postgresql://postgres:@/postgres?host=/run/pg", True),
        ("postgresql://me@127.0.0.1/db", True),
        ("mysql://me@database/db", False),
        ("grpc://localhost:13000", True),
        ("grpc://head:13000", False),
    ],
)
def test_is_of_this_machine_knows_local_urls(url: str, is_own: bool) -> None:
    assert is_of_this_machine(url) is is_own


def test_file_system_of_a_real_folder_is_known(tmp_path: Path) -> None:
    assert file_system(tmp_path) != "unknown"
