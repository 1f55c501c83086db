"""What each local slot may use: one GPU, or its share of the cores."""

import os
from collections.abc import Mapping

from sweeper.execution.lease import SLOT_VARIABLE
from sweeper.settings import Settings

GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def refuse_absent_device(settings: Settings) -> None:
    """Raises a SaeError where this machine lacks the device; a trainer of one's own knows its."""
    if settings.sweep.train is None:
        # Loads torch, which what is refused before, and trainers of one's own, do not wait for.
        from sae.device import resolve_device

        resolve_device(settings.device)


def slot_environments(slots: int, device: str) -> list[Mapping[str, str]]:
    """The environment variables of every slot's process.

    Slot i gets GPU i modulo their number, so that with more slots than GPUs each is shared evenly.

    Args:
        slots: How many there are.
        device: `device` of the settings; one that names a GPU's number is left as it is.
    """
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    threads = {} if any(os.environ.get(name) for name in THREADS) else _threads(slots)
    return [
        {SLOT_VARIABLE: str(slot), **threads} | ({GPUS: gpus[slot % len(gpus)]} if gpus else {})
        for slot in range(slots)
    ]


def _threads(slots: int) -> dict[str, str]:
    share = str(max(1, usable_cores() // slots))
    return dict.fromkeys(THREADS, share)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def visible_gpus() -> list[str]:
    """The GPUs of this process, by the names that `CUDA_VISIBLE_DEVICES` takes."""
    told = os.environ.get(GPUS)
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip()]
    import torch  # here for the same reason

    return [str(number) for number in range(torch.cuda.device_count())]


def describe_slots(environments: list[Mapping[str, str]]) -> str:
    """One line on what the slots run on."""
    count = len(environments)
    gpus = [environment[GPUS] for environment in environments if GPUS in environment]
    if gpus:
        return f"{count} slots, a process each, on GPU {', '.join(gpus)}"
    threads = environments[0].get(THREADS[0]) or next(
        os.environ[name] for name in THREADS if os.environ.get(name)
    )
    return f"{count} slots, a process each, with {threads} thread{'s' * (threads != '1')}"
