"""What was computed from a tensor, kept for as long as the tensor has not changed."""

from collections.abc import Callable
from operator import attrgetter

from torch import Tensor

_changes: Callable[[Tensor], int] = attrgetter("_version")
"""How often a tensor, or a view of it, was changed in place; torch counts. What changes one
without torch's knowledge calls `torch.autograd.graph.increment_version`."""


def norms_of(name: str) -> str:
    """What the norms of a weight's rows are called."""
    return f"norms of {name}"


class Derived:
    """Values by name, each with the tensors that it belongs to."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[tuple[int, int]], Tensor]] = {}

    def keep(self, name: str, value: Tensor, *sources: Tensor) -> Tensor:
        """Keeps a value that was computed from what the sources hold now."""
        self._found[name] = _state(sources), value
        return value

    def get(self, name: str, *sources: Tensor) -> Tensor | None:
        """The value of that name; None where there is none, or a source has changed since."""
        state, value = self._found.get(name, ([], None))
        return value if state == _state(sources) else None

    def clear(self) -> None:
        """Forgets all values."""
        self._found.clear()


def _state(sources: tuple[Tensor, ...]) -> list[tuple[int, int]]:
    return [(source.data_ptr(), _changes(source)) for source in sources]
