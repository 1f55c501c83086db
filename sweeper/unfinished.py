"""Trials that were begun and have no job here: what of them goes into the next job."""

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from sweeper.booked_trial import BookedTrial
from sweeper.execution.lease import watch_of
from sweeper.record import Ticket


class Unfinished:
    """A queue of trials, which gives out those that share a job together.

    Args:
        directory: Where a trial is.
        group: What trials must have in common to share a job.
    """

    def __init__(
        self, directory: Callable[[BookedTrial], Path], group: Callable[[BookedTrial], str]
    ) -> None:
        self._directory = directory
        self._group = group
        self._trials: deque[BookedTrial] = deque()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._trials)

    def __contains__(self, number: object) -> bool:
        """Whether the trial of a number is among them."""
        return any(trial.number == number for trial in self._trials)

    def extend(self, trials: Iterable[BookedTrial]) -> None:
        """Puts trials behind the others."""
        self._trials.extend(trials)

    def next_pack(self, most: int) -> list[BookedTrial]:
        """Takes out the first trial, and those that belong into one job with it.

        Args:
            most: Trials of a job that is to be started; one that lives has those it has.
        """
        first = self._trials.popleft()
        if self._is_alive(first):
            pack = Ticket.read(self._directory(first)).pack or ()
            mates = [trial for trial in self._trials if trial.number in pack]
        else:
            alike = (t for t in self._trials if self._group(t) == self._group(first))
            mates = [trial for trial in alike if not self._is_alive(trial)][: most - 1]
        for trial in mates:
            self._trials.remove(trial)
        return [first, *mates]

    def _is_alive(self, trial: BookedTrial) -> bool:
        return watch_of(self._directory(trial)).is_alive()
