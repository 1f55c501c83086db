"""Whether what a study writes can be reached from the machines that its jobs run on."""

from collections.abc import Collection
from pathlib import Path

from sweeper.database import is_of_this_machine, redacted
from sweeper.errors import SweepError

OWN_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"})
"""File systems of one machine; any other is taken for one that a cluster shares."""
MOUNTS = Path("/proc/mounts")


def check_reach(launcher: str, others: Collection[str], storage: str | None, folder: Path) -> None:
    """Refuses a study on this machine's own disk or server with jobs on other machines.

    Args:
        launcher: What starts the jobs, for the message.
        others: Names of the machines, other than this one, that jobs may run on.
        storage: `sweep.storage`.
        folder: The study's folder.

    Raises:
        SweepError: A job there could not reach the storage, or not write its result.
    """
    if not others:
        return
    why = f"since {launcher} runs jobs on {', '.join(sorted(others))}"
    if storage is not None and is_of_this_machine(storage):
        raise SweepError(
            f"sweep.storage must be a database that other machines reach, {why}, "
            f"but got {redacted(storage)}."
        )
    kind = file_system(folder)
    if kind in OWN_DISKS:
        raise SweepError(
            f"hydra.sweep.dir must be on a disk that other machines see, {why}, "
            f"but got {folder.resolve()}, which is {kind} of this machine."
        )


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; "unknown" where the system does not say."""
    try:
        mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    except FileNotFoundError:
        return "unknown"
    place = folder.resolve()
    # The last of equals is mounted over the others.
    found = [(len(m[1]), number, m[2]) for number, m in enumerate(mounts) if _is_in(place, m[1])]
    return max(found)[2] if found else "unknown"


def _is_in(place: Path, mount_point: str) -> bool:
    return place.is_relative_to(mount_point.replace("\\040", " "))
