"""Where the time of a step goes, by kernel."""

from operator import attrgetter
from typing import Any

import torch

from benchmarks.gpu_cases import Case, Size
from benchmarks.gpu_clock import wait
from benchmarks.gpu_steps import STEPS_UNTIL_REVIVED, new_state, staged, step
from benchmarks.markdown import table

PROFILED_STEPS = 10
SHOWN_KERNELS = 14


def profiles(device: torch.device, size: Size) -> str:
    """Where the time of a step goes, by kernel."""
    texts = [_profile(case, device) for case in size.cases]
    return "\n\n".join([*texts, _profile(size.cases[0], device, dead=True)])


def _profile(case: Case, device: torch.device, *, dead: bool = False) -> str:
    kind = getattr(torch.profiler.ProfilerActivity, device.type.upper())
    time_of = attrgetter(f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total")
    store = case.store()
    state = new_state(store, case.sae, case.batch, device, dead=dead)
    on_device = staged(store, case.batch, device)
    for _ in range(STEPS_UNTIL_REVIVED):
        step(state, on_device)
    with torch.profiler.profile(activities=[kind]) as seen:
        for _ in range(PROFILED_STEPS):
            step(state, on_device)
        wait(device)
    events: list[Any] = sorted(seen.key_averages(), key=time_of, reverse=True)
    timed = [(event.key, event.count, time_of(event)) for event in events]
    return _table(f"{case.shape}{', reviving,' if dead else ''}", timed)


def _table(shape: str, events: list[tuple[str, int, float]]) -> str:
    """From the names of kernels, their calls, and their microseconds together."""
    total = sum(taken for _, _, taken in events)
    rows = [
        [
            name[:60].replace("|", ""),
            f"{count / PROFILED_STEPS:.1f}",
            f"{taken / 1e3 / PROFILED_STEPS:.3f}",
            f"{taken / total:.2f}",
        ]
        for name, count, taken in events[:SHOWN_KERNELS]
    ]
    return (
        f"Where a step of {shape} goes, {total / 1e3 / PROFILED_STEPS:.2f} ms of kernels:\n\n"
        f"{table(['kernel', 'times a step', 'ms a step', 'of the step'], rows)}"
    )
