import os
import signal
from pathlib import Path

import pytest
from submitit.core.job_environment import SignalHandler
from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.local.local import LocalJobEnvironment

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


def test_on_signals_first_one_reaches_the_handler_that_was_there() -> None:
    with StopSignal().on_signals() as outer, StopSignal().on_signals() as inner:
        os.kill(os.getpid(), signal.SIGINT)
        assert outer.requested
        assert inner.requested


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_on_signals_ctrl_c_as_the_second_signal_stops_at_once(first: signal.Signals) -> None:
    with StopSignal().on_signals():
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_on_signals_a_second_notice_that_is_no_ctrl_c_still_waits() -> None:
    with StopSignal().on_signals() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested


def test_on_signals_under_submitit_stops_the_run_before_submitit_ends_the_job(
    tmp_path: Path,
) -> None:
    submission = DelayedSubmission(print)
    submission.set_timeout(timeout_min=1, max_num_timeout=0)
    submitit = SignalHandler(LocalJobEnvironment(), JobPaths(tmp_path, job_id="1"), submission)
    before = signal.signal(signal.SIGUSR2, submitit.checkpoint_and_try_requeue)
    try:
        with StopSignal().on_signals() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert stop.reason == "SIGUSR2"
    finally:
        signal.signal(signal.SIGUSR2, before)
