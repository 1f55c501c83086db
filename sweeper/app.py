"""The command `sae-sweep`: one SAE, or with `--multirun` a study."""

import logging
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import sweeper
from sweeper.command_line import flags_first, refuse_what_is_taken_for_something_else
from sweeper.concealment import STORAGE_KEY, clear, conceal_in_files
from sweeper.config_errors import describe, describe_file
from sweeper.group_choices import refuse_choices_without_a_name
from sweeper.messages import EXIT_BAD_INPUT, end_interrupted, output_failure, say
from sweeper.settings import USER_ERRORS, register_schema, to_settings
from sweeper.study_folder import unusable_folder
from sweeper.sweeper_options import refuse_chdir

CONFIG_FOLDER = Path(sweeper.__file__).parent.parent / "conf"
"""By its installed place, so that a folder `conf` where the user stands is not taken for it."""


def main() -> None:
    """Entry point; exit status 0, 1 (goal missed), 2 (bad input) or 130 (interrupted)."""
    # Hydra prints and swallows errors unless this is set; here they become one line each.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_schema()
    _show_what_extraction_says()
    with _one_line_each():
        sys.argv[1:] = flags_first(sys.argv[1:])
        refuse_choices_without_a_name(sys.argv[1:], CONFIG_FOLDER)
        refuse_what_is_taken_for_something_else(sys.argv[1:])
        _compose_and_run()


def _show_what_extraction_says() -> None:
    """Extraction takes a minute or two the first time, and says so in log lines."""
    logger = logging.getLogger("sae")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())


@contextmanager
def _one_line_each() -> Generator[None]:
    """Turns what a user can mend into one line and an exit status, without a traceback."""
    try:
        yield
    except USER_ERRORS as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(describe(error))
    except (YAMLError, UnicodeDecodeError) as error:
        if (line := describe_file(error)) is None:
            raise
        _fail(line)
    except OSError as error:
        _fail(_refusal_of_the_system(error))
    except KeyboardInterrupt as stop:
        end_interrupted(stop)


def _refusal_of_the_system(error: OSError) -> str:
    if error.filename is None and (failure := output_failure()) is not None:
        return f"standard output must take what is written, but got: {failure.strerror}."
    return str(unusable_folder(Path(error.filename or "."), error))


@contextmanager
def _without_an_idle_folder(directory: Path) -> Generator[None]:
    """Removes the folder that Hydra made for a run that was refused, or only planned.

    A name without the time may be that of a folder that was there before.
    """
    is_new = "${now:" in OmegaConf.to_yaml(HydraConfig.get().run)
    subfolder = HydraConfig.get().output_subdir
    try:
        yield
    finally:
        if is_new and {path.name for path in directory.iterdir()} <= {subfolder}:
            shutil.rmtree(directory)


def _fail(line: str) -> NoReturn:
    say(line)
    raise SystemExit(EXIT_BAD_INPUT)


@hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="config")
def _compose_and_run(config: DictConfig) -> Any:
    """Hydra's task function: a trial of a sweep, or a single run."""
    # Imported here so that `--help` and mistyped overrides are answered without loading a trainer.
    from sweeper.pack_job import run_trials
    from sweeper.single_run import run_single

    directory = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        return run_trials(to_settings(config), directory)
    # Hydra would print the overrides above whatever leaves this function as an exception.
    with _one_line_each(), _without_an_idle_folder(directory):
        refuse_chdir(HydraConfig.get().job.chdir)
        if (subfolder := HydraConfig.get().output_subdir) is not None:
            conceal_in_files(directory / subfolder)
        clear(config, STORAGE_KEY)  # one run needs none
        return run_single(to_settings(config), directory)
