import os
import signal

import pytest

from sae.stop_signal import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_on_signals_received_sets_the_flag(number: signal.Signals) -> None:
    with StopSignal().on_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.reason == number.name


def test_on_signals_left_restores_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal().on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
