from sae.stopwatch import Stopwatch


def test_seconds_while_paused_stands_still() -> None:
    clock = Stopwatch()
    clock.pause()
    assert clock.seconds() == clock.seconds()


def test_seconds_gone_on_counts_on() -> None:
    clock = Stopwatch()
    clock.pause()
    before = clock.seconds()
    clock.go_on()
    while clock.seconds() == before:
        pass
    assert clock.seconds() > before


def test_seconds_holds_what_was_added_while_paused() -> None:
    clock = Stopwatch()
    clock.pause()
    before = clock.seconds()
    clock.add(2.5)
    assert clock.seconds() == before + 2.5
