from collections.abc import Iterator
from threading import Event

import pytest

from sae.activations.one_ahead import one_ahead


def test_one_ahead_gives_the_same_items_in_order() -> None:
    assert list(one_ahead(iter(range(50)))) == list(range(50))


def test_one_ahead_computes_no_more_than_one_item_ahead() -> None:
    computed: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            computed.append(number)
            yield number

    ahead = one_ahead(items())
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert computed == [0, 1, 2]


def test_one_ahead_closed_gives_up_the_item_that_is_being_computed() -> None:
    given_up = Event()

    def items() -> Iterator[int]:
        yield 0
        given_up.wait(60)
        yield 1

    ahead = one_ahead(items(), given_up.set)
    assert next(ahead) == 0
    ahead.close()
    assert given_up.is_set()


def test_one_ahead_raises_what_its_items_raise_at_their_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="second"):
        next(ahead)
