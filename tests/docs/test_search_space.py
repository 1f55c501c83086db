"""The commands of docs/search_space.md make the search spaces that the page promises."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from sweeper.app import CONFIG_FOLDER
from sweeper.cells import Cell, make_cells
from sweeper.errors import SweepError
from sweeper.sampler_names import SamplerName
from sweeper.samplers import make_sampler
from sweeper.settings import Settings, register_schema, to_settings
from sweeper.space import SearchSpace, parse_space

PAGE = (Path(__file__).parents[2] / "docs" / "search_space.md").read_text()
COMMANDS = re.findall(r"^sae-sweep --multirun (.+)$", PAGE, re.MULTILINE)
REFUSED = [tuple(command.split("#")) for command in COMMANDS if "#" in command]
ACCEPTED = [command for command in COMMANDS if "#" not in command]


def settings_of(overrides: Sequence[str]) -> Settings:
    register_schema()
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return to_settings(compose("config", list(overrides)))


def cells_of(command: str) -> tuple[tuple[Cell, ...], SearchSpace]:
    space = parse_space(shlex.split(command))
    return make_cells(space, settings_of), space


@pytest.mark.parametrize("command", ACCEPTED)
def test_page_command_makes_cells_and_a_sampler(command: str) -> None:
    cells, space = cells_of(command)
    sweep = cells[0].settings.sweep
    assert make_sampler(sweep.sampler, sweep.sampler_options, space.searched) is not None
    lists = re.findall(r"(?:latent_dim|layer|target_l0)=([\d,]+)(?:\s|$)", command)
    expected = 1
    for values in lists:
        expected *= len(values.split(","))
    assert len(cells) == expected


@pytest.mark.parametrize(("command", "line"), REFUSED)
def test_page_refused_command_is_refused_as_it_says(command: str, line: str) -> None:
    with pytest.raises(SweepError, match=re.escape(line.strip())):
        cells_of(command)


def test_page_params_in_the_configuration_make_cells_and_a_search() -> None:
    block = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)[0]
    space = parse_space([], yaml.safe_load(block)["hydra"]["sweeper"]["params"])
    assert [axis.values for axis in space.axes] == [("1024", "2048")]
    assert list(space.searched) == ["trainer.learning_rate"]


def test_page_names_every_sampler() -> None:
    assert [name for name in SamplerName if f"`{name.value}`" not in PAGE] == []
