import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from safetensors import safe_open

import sweeper.job
import sweeper.pack_job
from benchmarks.postgres import postgres_server
from sweeper.law_sweeper import run_sweep
from sweeper.settings import Settings

App = Callable[..., int]
Landed = Callable[..., str]
Start = Callable[..., subprocess.Popen[str]]
WaitFor = Callable[..., None]

STUDY = ("--multirun", "sweep.study_name=s")


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "multirun" / "s" / "trials.csv")


def test_sweep_lands_every_cell_and_leaves_all_files(landed: Landed, tmp_path: Path) -> None:
    landed("sweep=law", "sae.latent_dim=48,64", "sweep.report=true")
    trials = trials_of(tmp_path)
    assert set(trials[trials["in_band"]]["latent_dim"]) == {48, 64}
    study = tmp_path / "multirun" / "s"
    for name in ("law.json", "trials.parquet", "multirun.yaml", "study.journal", "study.json"):
        assert (study / name).exists(), name
    assert (study / "report" / "index.html").exists()
    assert (study / "trial_00000" / ".hydra" / "config.yaml").exists()


def test_sweep_without_a_report_says_what_writes_it(landed: Landed, tmp_path: Path) -> None:
    output = landed()
    assert not (tmp_path / "multirun" / "s" / "report").exists()
    assert "report: sae-analysis report multirun/s --target-l0 6" in output


def test_sweep_every_searched_trial_keeps_what_was_predicted_before(
    landed: Landed, tmp_path: Path
) -> None:
    landed()
    trials = trials_of(tmp_path)
    assert trials["predicted_l0"].gt(0).all()
    assert trials["predicted_l0_sd"].gt(0).all()
    assert trials["prior_weights"].notna().all()


def test_sweep_goal_law_brackets_with_three_alphas(landed: Landed, tmp_path: Path) -> None:
    landed("sweep=law")
    trials = trials_of(tmp_path)
    assert trials["l1_alpha"].nunique() >= 3
    assert trials["l0"].min() < 6 < trials["l0"].max()


def test_sweep_again_runs_nothing_and_says_so(
    landed: Landed, app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landed()
    before = trials_of(tmp_path)
    assert app(*STUDY) == 0
    assert "nothing to do" in capsys.readouterr().out
    pd.testing.assert_frame_equal(trials_of(tmp_path), before)


def test_sweep_larger_budget_goes_on(app: App, tmp_path: Path) -> None:
    missed = "sweep.tolerance=0.001", "trainer.total_steps=20"
    assert app(*STUDY, *missed, "sweep.n_trials=1") == 1
    assert app(*STUDY, *missed, "sweep.n_trials=2") == 1
    assert list(trials_of(tmp_path)["trial"]) == [0, 1]


def test_sweep_without_a_run_that_came_to_its_end_says_what_may_help(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(*STUDY, "sweep.n_trials=1", "l1_alpha=interval(500,600)") == 1
    assert "no trial came to its end (1 diverged)" in capsys.readouterr().out


def test_sweep_other_settings_under_same_name_are_refused(
    landed: Landed, app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landed()
    before = trials_of(tmp_path)
    assert app(*STUDY, "trainer.total_steps=151") == 2
    assert "trainer.total_steps must stay 150" in capsys.readouterr().err
    pd.testing.assert_frame_equal(trials_of(tmp_path), before)


def test_sweep_of_other_cells_in_a_study_leaves_the_earlier_trials_alone(
    app: App, tmp_path: Path
) -> None:
    grid = "l1_alpha=1,2", "trainer.total_steps=20"
    app(*STUDY, *grid, "sae.latent_dim=48")
    before = trials_of(tmp_path)
    app(*STUDY, *grid, "sae.latent_dim=64")
    after = trials_of(tmp_path)
    pd.testing.assert_frame_equal(after[after["latent_dim"] == 48], before)
    assert list(after["trial"]) == [0, 1, 2, 3]
    assert list(after["attempt"]) == [1, 1, 1, 1]


def test_sweep_plain_grid_runs_each_alpha_once(app: App, tmp_path: Path) -> None:
    grid = "l1_alpha=1,2", "sae.latent_dim=48,64", "trainer.total_steps=20"
    assert app(*STUDY, *grid) == 0
    trials = trials_of(tmp_path)
    assert sorted(zip(trials["latent_dim"], trials["l1_alpha"], strict=True)) == [
        (48, 1),
        (48, 2),
        (64, 1),
        (64, 2),
    ]


def test_sweep_fixed_alpha_with_seeds_makes_replicates(app: App, tmp_path: Path) -> None:
    assert app(*STUDY, "l1_alpha=4", "seed=0,1,2", "trainer.total_steps=60") == 0
    trials = trials_of(tmp_path)
    assert list(trials["seed"]) == [0, 1, 2]
    assert trials["l0"].nunique() == 3
    assert set(trials["cell"]) == {"latent_dim=64"}


def test_sweep_bounds_of_alpha_are_kept(app: App, tmp_path: Path) -> None:
    few = "sweep.n_trials=3", "trainer.total_steps=20"
    app(*STUDY, "l1_alpha=interval(0.5,1.5)", *few)
    assert trials_of(tmp_path)["l1_alpha"].between(0.5, 1.5).all()


def test_sweep_targets_share_the_trials_of_their_width(app: App, tmp_path: Path) -> None:
    assert app(*STUDY, "target_l0=6,7", "sweep.report=true") == 0
    trials = trials_of(tmp_path)
    for target in (6, 7):
        assert (trials["l0"] / target).between(1 / 1.05, 1.05).any()
    assert (tmp_path / "multirun" / "s" / "report" / "target_l0=7" / "index.html").exists()


def test_sweep_topk_needs_one_trial_and_no_alpha(app: App, tmp_path: Path) -> None:
    app(*STUDY, "sae=topk", "sae.latent_dim=64")
    trials = trials_of(tmp_path)
    assert list(trials["penalty"]) == ["none"]
    assert trials["l0"].item() == pytest.approx(6, rel=0.05)


def test_sweep_alpha_of_another_objective_is_recorded_in_both_units(
    app: App, tmp_path: Path
) -> None:
    app(*STUDY, "objective=saelens")
    trials = trials_of(tmp_path)
    ratio = trials["l1_alpha"] / trials["alpha_canonical"]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-12)
    assert abs(ratio.iloc[0] - 1) > 0.001
    assert trials["in_band"].any()


@pytest.mark.parametrize(("keep", "kept"), [("all", "all"), ("none", 0), ("best", 1)])
def test_sweep_keep_says_whose_weights_stay(
    app: App, tmp_path: Path, keep: str, kept: object
) -> None:
    app(*STUDY, "sweep=law", f"sweep.keep={keep}")
    weights = list((tmp_path / "multirun" / "s").glob("trial_*/sae/sae_weights.safetensors"))
    assert len(weights) == (len(trials_of(tmp_path)) if kept == "all" else kept)


def test_sweep_law_of_one_study_is_the_prior_of_the_next(
    landed: Landed, app: App, tmp_path: Path
) -> None:
    landed("sweep=law")
    law = tmp_path / "multirun" / "s" / "law.json"
    status = app("--multirun", "sweep.study_name=t", "prior=file", f"prior.path={law}")
    assert status == 0
    trials = pd.read_csv(tmp_path / "multirun" / "t" / "trials.csv")
    assert json.loads(trials["prior_weights"].iloc[0])["file"] > 0.5
    assert abs(trials["l0_log_error"].iloc[0]) < 0.5


def test_sweep_failing_job_costs_one_trial_and_is_repeated(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sweeper.job.run_trial
    calls: list[Path] = []

    def fails_once(settings: Settings, directory: Path) -> dict[str, Any]:
        calls.append(directory)
        if len(calls) == 1:
            raise RuntimeError("a broken machine")
        return real(settings, directory)

    monkeypatch.setattr(sweeper.pack_job, "run_trial", fails_once)
    assert app(*STUDY, "l1_alpha=2") == 0
    trials = trials_of(tmp_path)
    assert list(trials["state"]) == ["failed", "complete"]
    assert trials["retry_of"].iloc[1] == 0
    error = (tmp_path / "multirun" / "s" / "trial_00000" / "error.txt").read_text()
    assert "a broken machine" in error


def test_sweep_full_disk_is_one_line_and_the_study_goes_on_afterwards(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "multirun" / "s" / "trial_00000" / "history.csv"
    history.parent.mkdir(parents=True)
    history.symlink_to("/dev/full")
    capsys.readouterr()
    assert app(*STUDY, "l1_alpha=2,3") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "trial_00000 must have free disk space, but the disk is full." in line
    history.unlink()
    assert app(*STUDY, "l1_alpha=2,3") == 0
    assert list(trials_of(tmp_path)["state"]) == ["complete", "complete"]


def test_sweep_stop_file_ends_it_before_the_next_trial(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "multirun" / "s").mkdir(parents=True)
    (tmp_path / "multirun" / "s" / "stop").touch()
    assert app(*STUDY, "l1_alpha=2") == 130
    assert "stop is there" in capsys.readouterr().err
    (tmp_path / "multirun" / "s" / "stop").unlink()
    assert app(*STUDY, "l1_alpha=2") == 0


def test_sweep_timeout_starts_no_further_trial(app: App, tmp_path: Path) -> None:
    assert app(*STUDY, "sweep.timeout=0.01", "sweep.tolerance=0.0001") == 1
    assert len(trials_of(tmp_path)) <= 1


@pytest.fixture
def url_with_password() -> Iterator[str]:
    with postgres_server() as url:
        yield url.replace("postgres:@", "postgres:hunter2@")


@pytest.mark.parametrize("study", [(*STUDY, "l1_alpha=2,3"), ("l1_alpha=2",)])
def test_sweep_password_of_storage_is_nowhere_on_disk_or_in_the_output(
    app: App,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    url_with_password: str,
    study: tuple[str, ...],
) -> None:
    assert "hunter2" in url_with_password
    assert app(*study, f"sweep.storage='{url_with_password}'") in (0, 1)
    assert list(tmp_path.rglob("result.json"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"hunter2" in path.read_bytes()]
    assert "hunter2" not in "".join(capsys.readouterr())


def test_sweep_same_seed_gives_the_same_bytes(app: App, tmp_path: Path) -> None:
    for name in ("a", "b"):
        app("--multirun", f"sweep.study_name={name}", "l1_alpha=2")
    files = [
        tmp_path / "multirun" / name / "trial_00000" / "sae" / "sae_weights.safetensors"
        for name in ("a", "b")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


LONG = ("trainer.total_steps=2000", "trainer.checkpoint_every=100", "l1_alpha=2")


def test_sweep_killed_in_a_trial_goes_on_from_its_checkpoint(
    start_command: Start, wait_for: WaitFor, app: App, tmp_path: Path
) -> None:
    trial = tmp_path / "multirun" / "s" / "trial_00000"
    process = start_command(*STUDY, *LONG)
    wait_for(lambda: any((trial / "checkpoint").glob("*")), process)
    process.kill()
    process.wait()
    assert not (trial / "result.json").exists()
    assert app(*STUDY, *LONG) == 0
    trials = trials_of(tmp_path)
    assert list(trials["attempt"]) == [2]
    assert app("--multirun", "sweep.study_name=undisturbed", *LONG) == 0
    other = tmp_path / "multirun" / "undisturbed" / "trial_00000"
    assert weights_of(trial) == weights_of(other)


def test_sweep_after_a_reboot_goes_on_from_its_checkpoint(
    start_command: Start,
    wait_for: WaitFor,
    app: App,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = tmp_path / "multirun" / "s" / "trial_00000"
    process = start_command(*STUDY, *LONG)
    wait_for(lambda: any((trial / "checkpoint").glob("*")), process)
    process.kill()
    process.wait()
    leases = [*trial.glob("lease_*.json"), *trial.parent.glob("commands/*/lease_*.json")]
    assert len(leases) == 2
    for path in leases:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "the one before"}))
    monkeypatch.setattr("sweeper.execution.lease.STALE_AFTER", 1.0)
    monkeypatch.setattr("sweeper.execution.crew.STALE_AFTER", 1.0)
    assert app(*STUDY, *LONG) == 0
    trials = trials_of(tmp_path)
    assert list(trials["attempt"]) == [2]
    assert list(trials["steps_done"]) == [2000]


def test_sweep_interrupted_says_so_and_goes_on(
    start_command: Start, wait_for: WaitFor, app: App, tmp_path: Path
) -> None:
    trial = tmp_path / "multirun" / "s" / "trial_00000"
    process = start_command(*STUDY, *LONG)
    wait_for((trial / "history.csv").exists, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert app(*STUDY, *LONG) == 0
    assert list(trials_of(tmp_path)["steps_done"]) == [2000]


def test_sweep_whose_output_nobody_reads_says_so_and_goes_on(
    start_command: Start, app: App, tmp_path: Path
) -> None:
    process = start_command(*STUDY, "l1_alpha=2,3")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()  # as `| head -1` does
    process.stdout.close()
    assert "Nobody reads the output any more" in process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert app(*STUDY, "l1_alpha=2,3") == 0
    assert list(trials_of(tmp_path)["state"]) == ["complete", "complete"]


def test_sweep_second_command_on_a_running_study_is_refused(
    start_command: Start,
    wait_for: WaitFor,
    app: App,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = start_command(*STUDY, *LONG)
    wait_for((tmp_path / "multirun" / "s" / "trial_00000" / "history.csv").exists, process)
    assert app(*STUDY, *LONG) == 2
    assert f"process {process.pid} is running it" in capsys.readouterr().err


def weights_of(trial: Path) -> bytes:
    path = trial / "sae" / "sae_weights.safetensors"
    with safe_open(path, framework="np") as file:
        assert sorted(file.keys()) == ["W_dec", "W_enc", "b_dec", "b_enc"]
    return path.read_bytes()


def test_sweep_goal_fvu_finds_a_better_learning_rate_than_the_worst(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = "trainer.learning_rate=tag(log,interval(2e-4,2e-2))"
    assert app(*STUDY, "sweep=fvu", "sweep.n_trials=16", searched) == 0
    output = capsys.readouterr().out
    trials = trials_of(tmp_path)
    found = re.search(r"fvu ([\d.]+) at the target with trainer.learning_rate=([\d.e-]+)", output)
    assert found is not None
    assert float(found[1]) < 0.7 * trials["fvu"].max()
    assert trials["trainer.learning_rate"].nunique() > 3
    assert (trials["trainer.learning_rate"] == trials["learning_rate"]).all()
    kept = [path.parent.name for path in (tmp_path / "multirun" / "s").glob("trial_*/sae")]
    best = trials[np.isclose(trials["learning_rate"], float(found[2]), rtol=1e-3)]
    assert len(kept) == 1
    assert kept[0] in set(best["dir"])


def test_sweep_params_of_the_configuration_are_searched(app: App, tmp_path: Path) -> None:
    choice = "+hydra.sweeper.params={trainer.decay_fraction:'choice(0.1,0.3)'}"
    assert app(*STUDY, "sweep.sampler=grid", "sweep=fvu", choice, "l1_alpha=3") in (0, 1)
    assert sorted(trials_of(tmp_path)["trainer.decay_fraction"]) == [0.1, 0.3]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sweep.sampler=tpee"], "tpee"),
        (["trainer.batch_sise=choice(1,2)"], "did you mean 'trainer.batch_size'"),
        (["+hydra.sweeper.params={trainer.batch_sise:'choice(1,2)'}"], "'trainer.batch_size'"),
        (["+hydra.sweeper.params={l1_alpha:'interval(1,2)'}", "l1_alpha=3"], "given once"),
        (["sae=topk", "l1_alpha=interval(1,2)"], "topk"),
        (["hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials must be left"),
        (["hydra/sweeper/sampler=gp"], "hydra.sweeper.sampler must be left"),
    ],
)
def test_sweep_contradictory_space_is_one_line_and_exit_two(
    app: App, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert app(*STUDY, *arguments) == 2
    line = capsys.readouterr().err
    assert named in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["sweep=fvu", "l1_alpha=3", "trainer.batch_size=choice(64,128,100000)"], 100000),
        (["sweep=fvu", "l1_alpha=3", "trainer.batch_size=int(interval(64,5000))"], 5000),
        (["l1_alpha=3", "trainer.batch_size=128,100000"], 100000),
        (["l1_alpha=3", "activations.synthetic.n_tokens=4000,100"], 128),
    ],
)
def test_sweep_batch_size_above_the_training_tokens_makes_no_study(
    app: App,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    size: int,
) -> None:
    assert app(*STUDY, *arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "trainer.batch_size must be from 1 to the number of training tokens" in line
    assert line.endswith(f"but got {size}.")
    assert not (tmp_path / "multirun").exists()


def test_sweep_searched_batch_size_takes_the_place_of_one_that_is_too_large(
    app: App, tmp_path: Path
) -> None:
    few = "activations.synthetic.n_tokens=100", "trainer.total_steps=3", "sweep.n_trials=1"
    searched = "trainer.batch_size=choice(16,32)"
    assert app(*STUDY, "sweep=fvu", "l1_alpha=3", *few, searched) in (0, 1)
    assert list(trials_of(tmp_path)["state"]) == ["complete"]


NO_LAW = "prior=file", "prior.path=nope.json"


@pytest.mark.parametrize("alpha", ["l1_alpha=null", "l1_alpha=3", "l1_alpha=2,3"])
def test_sweep_law_file_that_is_not_there_makes_no_study(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str], alpha: str
) -> None:
    assert app(*STUDY, *NO_LAW, alpha) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "nope.json must be a readable law file" in line
    assert not (tmp_path / "multirun").exists()


def test_sweep_without_an_alpha_reads_no_law_file(app: App) -> None:
    assert app(*STUDY, *NO_LAW, "sae=topk", "trainer.total_steps=3") == 0


def test_sweep_known_alphas_and_an_earlier_study_come_first(
    landed: Landed, app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landed()
    found = trials_of(tmp_path).query("in_band")["l1_alpha"].iloc[0]
    warm = ("--multirun", "sweep.study_name=t", "sweep.warm_start=multirun/s")
    assert app(*warm, "sweep.enqueue=[9.5]", "seed=1") in (0, 1)
    assert "warm start from multirun/s" in capsys.readouterr().out
    trials = pd.read_csv(tmp_path / "multirun" / "t" / "trials.csv")
    assert trials["l1_alpha"].iloc[0] == 9.5
    assert trials["l1_alpha"].iloc[1] == pytest.approx(found, rel=0.3)


def test_sweep_enqueues_a_table_of_alphas_by_cell(app: App, tmp_path: Path) -> None:
    table = r"sweep.enqueue={latent_dim\=48:[2.5]}"
    app("--multirun", "sweep.study_name=s", "sae.latent_dim=48,64", "sweep.n_trials=1", table)
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    assert list(trials[trials["latent_dim"] == 48]["l1_alpha"]) == [2.5]
    assert 2.5 not in list(trials[trials["latent_dim"] == 64]["l1_alpha"])


def test_sweep_with_an_added_key_that_nothing_reads_is_one_line(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--multirun", "+sweep.foo=1") == 2
    assert "sweep.foo must be a known key" in capsys.readouterr().err


def test_sweep_in_another_application_is_one_line_that_names_what_it_lacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unused: Any = None
    assert run_sweep(unused, unused, OmegaConf.create({"sweep": {}, "trainer": {}}), []) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "hydra.sweeper.grammar must be hos" in line
    assert "has no activations, sae, objective, prior, but got law" in line
