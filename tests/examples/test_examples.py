import re
import runpy
import sys
from pathlib import Path

import pytest

from sweeper import find_alpha

EXAMPLES = Path(__file__).parents[2] / "examples"


def output_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")["main"]()
    return capsys.readouterr().out


def test_refit_a_csv_prints_an_interval_for_every_width(capsys: pytest.CaptureFixture[str]):
    output = output_of("refit_a_csv", capsys)
    assert len(re.findall(r"width \d+: alpha [\d.]+ \[[\d.]+, [\d.]+\]", output)) == 4
    assert "alpha goes as width^-0.2" in output
    assert "status: provisional" in output


def test_refit_a_csv_of_the_guides_jobs_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
):
    main = runpy.run_path(str(EXAMPLES / "refit_a_csv.py"), run_name="example")["main"]
    main(EXAMPLES.parent / "tests/data/guide_jobs.csv", 0.05)
    output = capsys.readouterr().out
    assert "no interval" in output
    assert "no exponent" in output
    assert "run next" in output


def test_compare_three_studies_more_steps_need_less_alpha(capsys: pytest.CaptureFixture[str]):
    ratios = [
        float(each)
        for each in re.findall(r"is ([\d.]+) \[", output_of("compare_three_studies", capsys))
    ]
    assert ratios
    assert max(ratios) < 0.85


def test_predict_a_new_width_interval_holds_what_was_measured(
    capsys: pytest.CaptureFixture[str],
):
    output = output_of("predict_a_new_width", capsys)
    low, high = map(float, re.findall(r"\[([\d.]+), ([\d.]+)\]", output)[0])
    measured = float(re.findall(r"measured there: alpha ([\d.]+)", output)[0])
    assert low < measured < high


def test_own_trainer_lands_under_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = find_alpha(
        "synthetic",
        latent_dim=64,
        target_l0=8,
        overrides=[
            "sweep.train=examples.own_trainer:train",
            "activations.synthetic.d_in=16",
            "activations.synthetic.n_features=32",
            "activations.synthetic.active_features=2",
            "activations.synthetic.n_tokens=4000",
            "activations.synthetic.held_out_tokens=1000",
            "trainer.batch_size=128",
            "trainer.learning_rate=5e-3",
            "trainer.total_steps=150",
        ],
        folder=tmp_path,
        quiet=True,
    )
    assert found.landed
    assert found.fvu < 0.9
