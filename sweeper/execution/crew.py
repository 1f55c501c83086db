"""The commands that run one study: each has a lease of its own, and they decide in turns."""

import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sweeper.errors import SweepError
from sweeper.execution.lease import STALE_AFTER, current_owner, hold, watch_of
from sweeper.journal import FlockLock

COMMANDS = "commands"
"""Folder within the study's, with one for every command that runs it."""
TURN_FILE = "turn.lock"
LOOK_EVERY = 1.0
"""Seconds between looks at a command of another machine that may be dead."""


class Crew:
    """This command among those that run its study.

    Args:
        folder: The study's.

    Attributes:
        name: This command's; its trials are marked with it.
    """

    def __init__(self, folder: Path) -> None:
        self.name = uuid.uuid4().hex
        self._folder = folder
        self._is_in_turn = False

    @property
    def place(self) -> Path:
        """The directory of this command's lease."""
        return self._folder / COMMANDS / self.name

    @contextmanager
    def turn(self) -> Generator[None]:
        """Within the block no other command starts, claims or tells a trial, begins or ends."""
        if self._is_in_turn:
            yield
            return
        lock = FlockLock(self._folder / TURN_FILE)
        lock.acquire()
        self._is_in_turn = True
        try:
            yield
        finally:
            self._is_in_turn = False
            lock.release()

    def is_gone(self, name: str | None) -> bool:
        """Whether a command no longer runs; None is one of before there were names."""
        if name == self.name:
            return False
        return name is None or not watch_of(self._folder / COMMANDS / name).is_alive()

    def others(self) -> list[Path]:
        """The lease directories of the other commands that run."""
        places = sorted((self._folder / COMMANDS).glob("*"))
        return [place for place in places if place != self.place and not self.is_gone(place.name)]

    def remove_the_dead(self) -> None:
        """Clears away what killed commands left; only in a turn."""
        living = [self.place, *self.others()]
        for place in (self._folder / COMMANDS).glob("*"):
            if place not in living:
                shutil.rmtree(place)

    def refuse_others(self) -> None:
        """Raises a SweepError where another command runs the study."""
        for place in self.others():
            owner = current_owner(place)
            who = "another process" if owner is None else f"process {owner.pid}"
            where = "" if owner is None or owner.is_on_this_machine() else f" on {owner.host}"
            raise SweepError(
                f"{self._folder} must be run by one command at a time unless sweep.join=true, "
                f"but {who}{where} is running it."
            )

    def wait_for_the_doubtful(self) -> None:
        """Waits until another machine's command, which may have been killed, is known to live."""
        deadline = time.monotonic() + STALE_AFTER + LOOK_EVERY
        while time.monotonic() < deadline:
            owners = [current_owner(place) for place in self.others()]
            if not owners or any(owner and owner.is_on_this_machine() for owner in owners):
                return
            time.sleep(LOOK_EVERY)


@contextmanager
def enlisted(folder: Path, *, join: bool = False) -> Generator[Crew]:
    """Runs the study for the block, alone or beside others; the system ends a killed one's hold.

    Args:
        folder: The study's, which can be written.
        join: Whether other commands may run it at the same time.

    Raises:
        SweepError: Another command runs it, and `join` is false.
    """
    crew = Crew(folder)
    if not join:
        crew.wait_for_the_doubtful()
    stack = ExitStack()
    try:
        with crew.turn():
            if not join:
                crew.refuse_others()
            crew.remove_the_dead()
            stack.callback(shutil.rmtree, crew.place, ignore_errors=True)  # after the hold
            stack.enter_context(hold(crew.place, attempt=1))
        yield crew
    finally:
        with crew.turn():  # or another that clears away the dead would meet what goes
            stack.close()
