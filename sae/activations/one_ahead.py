"""Computing the next item while the present one is used."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterator[Item], abandon: Callable[[], None] | None = None) -> Generator[Item]:
    """The same items in the same order, each computed in a thread while its predecessor is used.

    Args:
        items: Not used elsewhere meanwhile. What it raises, this raises at the same item.
        abandon: Called when no more items are wanted, so that the one that is being computed can
            be given up; without it that one is waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="one_ahead") as executor:
        try:
            following = executor.submit(next, items, None)
            while (item := following.result()) is not None:
                following = executor.submit(next, items, None)
                yield item
        finally:
            if abandon is not None:
                abandon()
