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
