"""A job that trains several trials on shared batches; each has its own directory and record."""

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from sae.activations import ActivationStore, open_activations
from sae.packed_training import Training, train_together
from sae.stop_signal import StopSignal
from sweeper.execution.executor import Ending, JobEnd, end_of
from sweeper.job import run_trial, trial_in_training
from sweeper.record import Ticket
from sweeper.settings import Settings, to_plain, to_settings
from sweeper.study_folder import trial_directory_name

CONFIG_FILE = ".hydra/config.yaml"
OVERRIDES_FILE = ".hydra/overrides.yaml"
"""As Hydra writes them for the trial in whose directory the job starts."""


def run_pack(members: Sequence[tuple[Settings, Path]]) -> list[JobEnd]:
    """Trains trials together, and writes their records as they end.

    What ends one of them leaves the others alone. Each goes on from its own checkpoint.

    Args:
        members: The settings and the directory of each.

    Returns:
        How each ended.
    """
    opened = functools.cache(open_activations)
    try:
        stores = [opened(settings.activations) for settings, _ in members]
        with StopSignal().on_signals() as process:
            return train_together(
                [
                    _member(settings, directory, store, process)
                    for (settings, directory), store in zip(members, stores, strict=True)
                ]
            )
    except Exception as error:  # noqa: BLE001  (whatever opening activations raises ends this job only)
        return [end_of(error, directory) for _, directory in members]


def run_trials(settings: Settings, directory: Path) -> Any:
    """Runs the trial of a directory, or the whole pack that starts there.

    Returns:
        The trial's record, or how each member of the pack ended, as plain values.
    """
    ticket = Ticket.read(directory)
    if ticket.pack is None:
        return run_trial(settings, directory)
    others = [
        directory.parent / trial_directory_name(number)
        for number in ticket.pack
        if number != ticket.trial
    ]
    members = [(settings, directory), *((_read_settings(other), other) for other in others)]
    return [asdict(end) for end in run_pack(members)]


def _member(
    settings: Settings, directory: Path, store: ActivationStore, process: StopSignal
) -> Training[JobEnd]:
    try:
        yield from trial_in_training(settings, directory, store=store, process=process)
    except Exception as error:  # noqa: BLE001  (whatever a member raises ends that member only)
        return end_of(error, directory)
    return JobEnd(ending=Ending.returned)


def write_settings(settings: Settings, overrides: Sequence[str], directory: Path) -> None:
    """Writes a member's configuration where its job, which Hydra starts elsewhere, reads it."""
    (directory / CONFIG_FILE).parent.mkdir(exist_ok=True)
    OmegaConf.save(OmegaConf.create(to_plain(settings)), directory / CONFIG_FILE)
    OmegaConf.save(OmegaConf.create(list(overrides)), directory / OVERRIDES_FILE)


def _read_settings(directory: Path) -> Settings:
    return to_settings(cast("DictConfig", OmegaConf.load(directory / CONFIG_FILE)))
