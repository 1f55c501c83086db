"""hydra-optuna-sweeper's kinds of example application, with the sweeper's name changed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from omegaconf import OmegaConf

APPS = Path(__file__).parent / "apps"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(start_python: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Run:
    """Runs an application to its end."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        asked = ("--multirun", f"hydra.sweep.dir={tmp_path}", *arguments)
        process = start_python(str(APPS / script), *asked)
        output, error = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, error)

    return run


def results(folder: Path) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))
    return cast("dict[str, Any]", content)


def test_bowl_by_tpe_writes_the_study_s_best_trial(run: Run, tmp_path: Path) -> None:
    storage = f"sqlite:///file:{tmp_path}/test.db?uri=true&word=HUNTER2"
    ended = run("sphere/app.py", f"hydra.sweeper.storage='{storage}'", "~z")
    assert ended.returncode == 0, ended.stderr
    written = [path.read_text() for path in tmp_path.glob("*/.hydra/*.yaml")]
    assert not any("HUNTER2" in text for text in [*written, ended.stdout, ended.stderr])
    study = optuna.load_study(storage=storage, study_name="sphere")
    assert len(study.trials) == 20
    assert results(tmp_path) == {
        "name": "optuna",
        "best_params": study.best_params,
        "best_value": study.best_value,
    }
    # The seed is that of hydra-optuna-sweeper's own test, which bounds the value in this way.
    assert study.best_value <= 2.27
    assert (tmp_path / "19" / ".hydra" / "overrides.yaml").exists()


def test_bowl_is_found_where_torch_cannot_be_loaded(tmp_path: Path) -> None:
    app = [str(APPS / "sphere/app.py"), "--multirun", f"hydra.sweep.dir={tmp_path}"]
    without_torch = "import runpy, sys; sys.modules['torch'] = None; del sys.argv[0]; "
    without_torch += "runpy.run_path(sys.argv[0], run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", without_torch, *app, "hydra.sweeper.n_trials=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert results(tmp_path)["name"] == "optuna"


def test_bowl_command_line_takes_the_place_of_params(run: Run, tmp_path: Path) -> None:
    ended = run("sphere/app.py", "x=0,1,2", "y=0", "hydra.sweeper.n_trials=8")
    assert ended.returncode == 0, ended.stderr
    found = results(tmp_path)
    assert found["best_params"].keys() == {"x"}
    assert found["best_value"] == found["best_params"]["x"] ** 2


def test_bowl_on_a_grid_stops_when_it_is_done(run: Run, tmp_path: Path) -> None:
    ended = run("sphere/app.py", "--config-name=grid")
    assert ended.returncode == 0, ended.stderr
    assert len(list(tmp_path.glob("*/.hydra"))) == 12
    found = results(tmp_path)
    assert (found["best_value"], abs(found["best_params"]["x"])) == (1.0, 1)
    assert found["best_params"]["z"] in ("foo", "bar")


def test_bowl_of_the_older_search_space_maximises(run: Run, tmp_path: Path) -> None:
    ended = run("sphere/app.py", "--config-name=older")
    assert ended.returncode == 0, ended.stderr
    found = results(tmp_path)
    params = found["best_params"]
    assert found["best_value"] == params["x"] ** 2 + params["y"] ** 2
    assert params["x"] % 0.5 == 0
    assert found["best_value"] > 20


def test_own_function_extends_the_search_space(run: Run, tmp_path: Path) -> None:
    ended = run("bounded/bounded-search.py", "max_z_difference_from_x=0.3")
    assert ended.returncode == 0, ended.stderr
    params = results(tmp_path)["best_params"]
    assert abs(params["x"] - params["z"]) <= 0.3
    assert 0 <= params["+w"] <= 1


def test_two_goals_give_solutions_that_no_other_beats(run: Run, tmp_path: Path) -> None:
    ended = run("two/app.py")
    assert ended.returncode == 0, ended.stderr
    solutions = results(tmp_path)["solutions"]
    values = [tuple(solution["values"]) for solution in solutions]
    assert solutions
    assert all(solution["params"].keys() == {"x", "y"} for solution in solutions)
    assert not any(
        a != b and all(x <= y for x, y in zip(a, b, strict=True)) for a in values for b in values
    )


def test_a_study_that_goes_on_reuses_no_directory(run: Run, tmp_path: Path) -> None:
    storage = f"hydra.sweeper.storage=sqlite:///{tmp_path}/test.db"
    for _ in range(2):
        ended = run("sphere/app.py", storage, "hydra.sweeper.n_trials=2")
        assert ended.returncode == 0, ended.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("*/.hydra")) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ("x=range(0,3)", "x must be searched as FloatDistribution(high=5.0, log=False"),
        ("y=choice(1,2)", "y must be searched as CategoricalDistribution(choices=(-5, 0, 5))"),
        (
            "hydra.sweeper.direction=maximize",
            "hydra.sweeper.direction must stay minimize in study 'sphere', but got maximize",
        ),
    ],
)
def test_a_stored_study_of_another_space_or_direction_is_one_line(
    run: Run, tmp_path: Path, changed: str, line: str
) -> None:
    storage = f"hydra.sweeper.storage=sqlite:///{tmp_path}/test.db"
    ended = run("sphere/app.py", storage, "hydra.sweeper.n_trials=1")
    assert ended.returncode == 0, ended.stderr
    ended = run("sphere/app.py", storage, "hydra.sweeper.n_trials=1", changed)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"hydra/sweeper=law: {line}")
    assert "Traceback" not in ended.stderr


def test_a_storage_that_is_no_url_is_named_by_the_key_that_gives_it(
    run: Run, tmp_path: Path
) -> None:
    ended = run("sphere/app.py", "hydra.sweeper.storage=foo")
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("hydra/sweeper=law: hydra.sweeper.storage must be a URL such as")


@pytest.mark.parametrize(("rate", "status"), [("0.5", 1), ("1.0", 2)])
def test_jobs_that_fail_end_the_sweep_where_too_many_do(
    run: Run, tmp_path: Path, rate: str, status: int
) -> None:
    asked = ("error=true", "hydra.sweeper.n_trials=2", f"hydra.sweeper.max_failure_rate={rate}")
    ended = run("sphere/app.py", *asked)
    assert ended.returncode == status
    last = "RuntimeError: asked to fail" if status == 1 else "every job failed"
    assert last in ended.stderr


def test_bowl_on_joblib_runs_jobs_in_other_processes(run: Run, tmp_path: Path) -> None:
    asked = ("hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4", "~z")
    ended = run("sphere/app.py", *asked)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("*/.hydra")) == ["0", "1", "2", "3"]
    assert "best_value" in results(tmp_path)
