"""Computing the next item while the present one is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """The same items in the same order, each computed in a thread while its predecessor is used.

    Args:
        items: Not used elsewhere meanwhile. What it raises, this raises at the same item.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="one_ahead") as executor:
        following = executor.submit(next, items, None)
        while (item := following.result()) is not None:
            following = executor.submit(next, items, None)
            yield item
