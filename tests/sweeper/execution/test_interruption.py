import os
import signal

import pytest

from sae.stop_signal import StopSignal
from sweeper.execution.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_interruption_during_a_run_of_this_process_is_noted_by_both(
    number: signal.Signals,
) -> None:
    with Interruption().on_signals() as sweep, StopSignal().on_signals() as run:
        os.kill(os.getpid(), number)
        assert (sweep.reason, run.reason) == (number.name, number.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_interruption_second_signal_that_is_no_ctrl_c_still_waits(number: signal.Signals) -> None:
    with Interruption().on_signals() as sweep:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), number)
        assert sweep.reason == "SIGTERM"


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ctrl_c_as_the_second_signal_stops_at_once(first: signal.Signals) -> None:
    with Interruption().on_signals():
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt, match="were not waited for"):
            os.kill(os.getpid(), signal.SIGINT)
