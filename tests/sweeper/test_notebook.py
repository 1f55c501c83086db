import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.version import getbase

import sweeper
from analysis import load_trials
from sae.errors import SaeError
from sweeper.errors import SweepError

QUICK = [
    "activations.synthetic.d_in=16",
    "activations.synthetic.n_features=32",
    "activations.synthetic.active_features=2",
    "activations.synthetic.n_tokens=4000",
    "activations.synthetic.held_out_tokens=1000",
    "trainer.batch_size=128",
    "trainer.learning_rate=5e-3",
    "trainer.total_steps=150",
    "sweep.report=false",
]


def test_find_alpha_lands_and_leaves_a_study(tmp_path: Path) -> None:
    overrides = [*QUICK, "sweep.report=true"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    assert found.landed
    assert 6 / 1.05 <= found.l0 <= 6 * 1.05
    assert (found.folder / "report" / "index.html").exists()


def test_find_alpha_again_runs_nothing_new(tmp_path: Path) -> None:
    def call() -> sweeper.FoundAlpha:
        return sweeper.find_alpha("synthetic", 64, 6, overrides=QUICK, folder=tmp_path, quiet=True)

    assert len(call().trials) == len(call().trials)


def test_find_alpha_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match="nowhere"):
        sweeper.find_alpha(tmp_path / "nowhere", 64, 6, folder=tmp_path)


@pytest.mark.parametrize("name", ["it's", "back\\slash", "ends\\", "both\\'"])
def test_find_alpha_folder_of_any_name_is_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(SaeError, match=re.escape(str(tmp_path / name))):
        sweeper.find_alpha(tmp_path / name, 64, 6, folder=tmp_path)


def test_find_alpha_takes_a_number_of_numpy_s(tmp_path: Path) -> None:
    overrides = [*QUICK, "trainer.total_steps=3", "l1_alpha=2"]
    found = sweeper.find_alpha(
        "synthetic", 64, np.float64(6), overrides=overrides, folder=tmp_path, quiet=True
    )
    assert list(found.trials["target_l0"]) == [6]


def test_find_alpha_of_a_topk_has_no_alpha(tmp_path: Path) -> None:
    overrides = [*QUICK, "trainer.total_steps=3", "sae=topk"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    assert (found.l1_alpha, found.alpha_canonical, found.l0) == (None, None, 6)


def test_find_alpha_quiet_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeper.find_alpha(
        "synthetic", 64, 6, overrides=[*QUICK, "l1_alpha=2"], folder=tmp_path, quiet=True
    )
    assert capsys.readouterr().out == ""


def test_find_alpha_with_budgets_answers_with_a_full_run(tmp_path: Path) -> None:
    overrides = [*QUICK, "sweep.budgets=[0.5,1]"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    answer = found.trials[found.trials["l0"] == found.l0]
    assert list(answer["total_steps"]) == [found.trials["total_steps"].max()]


def test_find_alpha_answers_for_its_width_in_a_study_of_two(tmp_path: Path) -> None:
    named = [*QUICK, "sweep.study_name=two"]
    narrow, wide = (
        sweeper.find_alpha("synthetic", width, 6, overrides=named, folder=tmp_path, quiet=True)
        for width in (64, 128)
    )
    of_wide = wide.trials[wide.trials["latent_dim"] == 128]
    assert set(wide.trials["latent_dim"]) == {64, 128}
    assert wide.l1_alpha in of_wide["l1_alpha"].to_list()
    assert wide.l1_alpha != narrow.l1_alpha


def test_find_alpha_takes_the_search_grammar(tmp_path: Path) -> None:
    overrides = [*QUICK, "l1_alpha=interval(1.5,4)", "seed=0,1"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    assert found.trials["l1_alpha"].between(1.5, 4).all()
    assert set(found.trials["seed"]) == {0, 1}


def test_find_alpha_of_several_cells_has_the_interval_of_the_cell_that_answers(
    tmp_path: Path,
) -> None:
    """Its runs lie on one side of the target, and support none; those of the other rate do."""
    # In bfloat16 it is the other rate that answers.
    overrides = [*QUICK, "trainer.learning_rate=2e-3,5e-3", "trainer.precision=fp32"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    of_its_rate = found.trials[found.trials["learning_rate"] == 5e-3]
    assert found.l0 in of_its_rate["l0"].to_list()
    assert (of_its_rate["l0"] < 6).all()
    assert (found.low, found.high) == (None, None)


def test_find_alpha_of_the_lowest_fvu_answers_with_the_candidate_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = "trainer.learning_rate=choice(2e-3,5e-3,1e-2)"
    rest = [override for override in QUICK if not override.startswith("trainer.learning_rate")]
    overrides = [*rest, "sweep=fvu", "sweep.n_trials=14", rates]
    found = sweeper.find_alpha("synthetic", 64, 6, overrides=overrides, folder=tmp_path)
    printed = re.search(
        r"with (trainer\.learning_rate)=(\S+), .*\(trial (\d+)", capsys.readouterr().out
    )
    assert printed is not None
    answer = found.trials[found.trials["trial"] == int(printed[3])]
    assert list(answer["fvu"]) == [found.fvu]
    assert found.searched == {printed[1]: float(printed[2])}
    assert found.landed


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("sweep.slotz=2", "did you mean 'sweep.slots'"),
        ("sweep.slots=(", "sweep.slots="),
        ("sweep.slots=4", "sweep.slots must be 1 for find_alpha"),
        ("hydra/launcher=nonsense", "hydra/launcher must not be given to find_alpha"),
        ("+hydra.sweeper.n_trials=3", "hydra.sweeper.n_trials must not be given to find_alpha"),
        ("sweep.dry_run=true", "sweep.dry_run must be false for find_alpha"),
        ("target_l0=20", "target_l0 must be given to find_alpha as target_l0, but got"),
        ("++sae.latent_dim=512", "sae.latent_dim must be given to find_alpha as latent_dim"),
        ("activations=demo", "activations must be given to find_alpha as activations, but got"),
        ("activations.path=nb", "activations.path must be given to find_alpha as activations"),
    ],
)
def test_find_alpha_odd_override_is_one_line(tmp_path: Path, override: str, line: str) -> None:
    with pytest.raises(SweepError, match=line.replace("(", r"\(")):
        sweeper.find_alpha("synthetic", 64, 6, overrides=[override], folder=tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (
            {"activations": np.ones((2, 3))},
            "activations must be a folder's path, demo or synthetic, but got a ndarray.",
        ),
        (
            {"activations": None},
            "activations must be a folder's path, demo or synthetic, but got None.",
        ),
        ({"latent_dim": "64"}, "latent_dim must be a whole number, but got '64'."),
        ({"latent_dim": 64.0}, "latent_dim must be a whole number, but got 64.0."),
        ({"latent_dim": True}, "latent_dim must be a whole number, but got True."),
        ({"target_l0": "x"}, "target_l0 must be a number, but got 'x'."),
        ({"target_l0": None}, "target_l0 must be a number, but got None."),
        ({"target_l0": True}, "target_l0 must be a number, but got True."),
        ({"overrides": None}, "overrides must be a list of texts, but got None."),
        (
            {"overrides": "sweep.storage=pg://me:secret@h"},
            "overrides must be a list of texts, but got a str.",
        ),
        ({"overrides": ["seed=1", 5]}, "overrides must be a list of texts, but got one with 5."),
        ({"folder": 5}, "folder must be a path, but got 5."),
    ],
)
def test_find_alpha_argument_of_a_wrong_type_is_one_line_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "activations": "synthetic",
        "latent_dim": 64,
        "target_l0": 6,
        "overrides": QUICK,
    }
    with pytest.raises(SweepError) as caught:
        sweeper.find_alpha(**(given | wrong))
    assert str(caught.value) == line
    assert not list(tmp_path.iterdir())


def test_find_alpha_takes_a_whole_number_of_numpy_s(tmp_path: Path) -> None:
    overrides = [*QUICK, "trainer.total_steps=3", "l1_alpha=2"]
    found = sweeper.find_alpha(
        "synthetic", cast("int", np.int64(64)), 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    assert list(found.trials["latent_dim"]) == [64]


def test_find_alpha_works_outside_the_main_thread(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        found = executor.submit(
            sweeper.find_alpha, "synthetic", 64, 6, overrides=QUICK, folder=tmp_path, quiet=True
        ).result()
    assert found.landed


def test_find_alpha_inside_a_hydra_application_leaves_it_as_it_was(tmp_path: Path) -> None:
    overrides = [*QUICK, "trainer.total_steps=3", "l1_alpha=2"]
    with initialize_config_dir(str(tmp_path), version_base="1.2"):
        hydra = GlobalHydra.instance().hydra
        sweeper.find_alpha("synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True)
        assert GlobalHydra.instance().hydra is hydra
        assert str(getbase()) == "1.2"


def test_find_alpha_keeps_its_trials_in_the_storage_asked_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    overrides = [*QUICK, "trainer.total_steps=3", "l1_alpha=2", f"sweep.storage='{url}'"]
    found = sweeper.find_alpha(
        "synthetic", 64, 6, overrides=overrides, folder=tmp_path, quiet=True
    )
    assert len(load_trials(url)) == len(found.trials) == 1
    assert not (found.folder / "study.journal").exists()


TRAINERS = """
import os, time

def wanders(config):
    os.chdir("/")
    for step in (1, 2):
        time.sleep(1.2)  # past a heartbeat
        config.report(step=step, l0=6.0)
    return {"l0": 6.0, "fvu": 0.1}

def collapses(config):
    return {"l0": 0, "fvu": 1.0}
"""


@pytest.fixture
def trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory."""
    (tmp_path / "notebook_trainers.py").write_text(TRAINERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "notebook_trainers"


def test_find_alpha_in_a_relative_folder_keeps_the_trial_of_a_trainer_that_goes_elsewhere(
    trainers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = [*QUICK, f"sweep.train={trainers}:wanders"]
    found = sweeper.find_alpha("synthetic", 64, 6, overrides=overrides)
    assert found.landed
    assert "no more reports" not in "".join(capfd.readouterr())


def test_find_alpha_whose_runs_all_collapse_says_what_the_search_came_to(trainers: str) -> None:
    overrides = [*QUICK, f"sweep.train={trainers}:collapses", "l1_alpha=interval(1,2)"]
    with pytest.raises(SweepError, match=r"with an L0 above 0, .* came to l1_alpha=1 twice"):
        sweeper.find_alpha("synthetic", 64, 6, overrides=overrides, quiet=True)


def test_find_alpha_whose_given_alpha_collapses_says_that_nothing_is_left_to_run(
    trainers: str,
) -> None:
    overrides = [*QUICK, f"sweep.train={trainers}:collapses", "l1_alpha=2"]
    with pytest.raises(SweepError, match=r"with an L0 above 0, but has none: \w.*\.$"):
        sweeper.find_alpha("synthetic", 64, 6, overrides=overrides, quiet=True)
