"""Every row of the gate: what may not be said is in no output, and what to run is in all."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import summaries
from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.refitting import refit
from analysis.report import write_report

MakeTrials = Callable[..., pd.DataFrame]
Rows = Sequence[tuple[int, float, float]]

TARGET = 64


def curve(width: int, *alphas: float) -> list[tuple[int, float, float]]:
    """Runs on a curve that is at the target at alpha 2."""
    return [(width, alpha, 64 * (alpha / 2) ** -1.2) for alpha in alphas]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """All that is said about one table of trials."""

    text: str
    document: dict[str, Any]
    page: str
    tables: dict[str, pd.DataFrame]
    law: dict[str, Any] | None

    @property
    def curves(self) -> list[dict[str, Any]]:
        return self.document["curves"]


Say = Callable[..., Outputs]


@pytest.fixture(name="say")
def fixture_say(make_trials: MakeTrials, tmp_path: Path) -> Say:
    def say(rows: Rows, **columns: object) -> Outputs:
        trials = make_trials(rows, **columns)
        fit = refit(trials, target_l0=TARGET)
        table = summaries.refit_table(fit).render(200)
        page = write_report(trials, fit, tmp_path / "report", title="gate").read_text()
        try:
            law = Law.from_refit(fit).to_json()
        except AnalysisError:
            law = None
        folder = tmp_path / "report" / "tables"
        return Outputs(
            text="\n".join([summaries.refit_answer(fit), *table, *summaries.refit_lines(fit)]),
            document=json.loads(json.dumps(fit.to_json(), allow_nan=False)),
            page=page,
            tables={path.stem: pd.read_csv(path) for path in folder.glob("*.csv")},
            law=law,
        )

    return say


def no_interval(said: Outputs) -> bool:
    """No output has an interval of alpha."""
    ends = said.tables["widths"][["alpha_low", "alpha_high", "next_run_low", "next_run_high"]]
    stars = [each["alpha_star"] for each in said.curves]
    return (
        all(star is None or star["low"] is None for star in stars)
        and all(each["next_run"] is None for each in said.curves)
        and bool(ends.isna().to_numpy().all())
        and re.search(r"95 % interval \d", said.page) is None
        and said.law is None
    )


def no_alpha(said: Outputs) -> bool:
    """No output has an alpha for the target, or one of a global form."""
    return (
        "No alpha for 64 active latents may be named" in said.text
        and all(each["alpha_star"] is None for each in said.curves)
        and all(each["average_alpha"] is None for each in said.curves)
        and all(form["alpha"] is None for each in said.curves for form in each["forms"])
        and "no alpha yet" in said.page
        and bool(said.tables["widths"]["alpha"].isna().all())
        and ("forms" not in said.tables or bool(said.tables["forms"]["alpha"].isna().all()))
        and said.law is None
    )


def no_exponent(said: Outputs) -> bool:
    """No output has an exponent in width that runs did not give."""
    return (
        said.document["exponent"] is None
        and "Alpha goes as width" not in said.text
        and "Alpha goes as width" not in said.page
        and "scaling" not in said.tables
        and (said.law is None or said.law["parameters"]["beta"] is None)
        and (said.law is None or said.law["intervals"]["beta"] is None)
    )


def no_law(said: Outputs) -> bool:
    """No output calls anything a law."""
    return (
        said.document["status"] == "provisional"
        and "Status: provisional" in said.text
        and '<span class="badge is-warning">provisional</span>' in said.page
        and "scaling law" not in said.text + said.page
        and (said.law is None or said.law["status"] == "provisional")
    )


def suggests(said: Outputs, latent_dim: int) -> bool:
    """All outputs say what to run next at a width, the JSON as overrides."""
    found = [each for each in said.document["suggestions"] if each["latent_dim"] == latent_dim]
    return (
        bool(found)
        and f"sae.latent_dim={latent_dim}" in found[0]["overrides"]
        and found[0]["command"] in said.text
        and "<h3>Run next</h3>" in said.page
    )


def test_gate_one_alpha_says_no_curve_and_no_alpha(say: Say):
    said = say(curve(1024, 3.0))
    assert no_alpha(said)
    assert no_exponent(said)
    assert said.curves[0]["forms"] == []
    assert "forms" not in said.tables
    assert suggests(said, 1024)


def test_gate_two_alphas_say_no_interval_no_criterion_and_no_choice(say: Say):
    said = say(curve(1024, 1.0, 4.0))
    assert no_interval(said)
    assert no_exponent(said)
    assert said.curves[0]["form_choice"] is None
    for form in said.curves[0]["forms"]:
        assert "0 d.o.f." in form["flags"][0]
        values = [form[name] for name in ("rms_log", "aicc_stated_noise", "aicc_free_noise")]
        assert values == [None] * 3
    assert said.curves[0]["elasticity"] is None
    assert suggests(said, 1024)


def test_gate_three_alphas_say_no_form_of_three_parameters_and_no_aicc(say: Say):
    said = say(curve(1024, 1.0, 2.2, 4.0))
    shown = {form["form"] for form in said.curves[0]["forms"]}
    assert shown == {"exponential", "power"}
    assert set(said.tables["forms"]["form"]) == shown
    assert all(form["aicc_stated_noise"] is None for form in said.curves[0]["forms"])
    assert all(form["aicc_free_noise"] is None for form in said.curves[0]["forms"])
    assert said.curves[0]["alpha_star"]["low"] is not None


@pytest.mark.parametrize("alphas", [(4.0, 6.0, 9.0), (0.2, 0.4, 0.8)])
def test_gate_target_outside_the_runs_says_no_alpha(say: Say, alphas: tuple[float, ...]):
    said = say(curve(1024, *alphas))
    assert no_alpha(said)
    assert no_interval(said)
    assert "lies outside the runs' L0" in said.text
    assert suggests(said, 1024)


def test_gate_one_width_says_no_exponent(say: Say):
    said = say(curve(1024, 1.0, 2.2, 4.0, 6.0))
    assert no_exponent(said)
    assert no_law(said)
    assert said.curves[0]["alpha_star"] is not None
    assert suggests(said, 2048)


@pytest.mark.parametrize("widths", [(512, 1024), (512, 1024, 2048)])
def test_gate_fewer_than_four_widths_say_no_law(say: Say, widths: tuple[int, ...]):
    said = say([run for width in widths for run in curve(width, 1.0, 2.2, 4.0)])
    assert no_law(said)
    assert said.document["exponent"]["form_tested"] == (len(widths) > 2)
    assert ("the form is not tested" in said.page) == (len(widths) == 2)
    assert suggests(said, 2 * max(widths))


def test_gate_unconverged_runs_say_no_law(say: Say):
    rows = [run for width in (512, 1024, 2048, 4096) for run in curve(width, 1.0, 2.2, 4.0)]
    said = say(rows, converged=False)
    assert no_law(said)
    assert "converged runs (some had not)" in said.text
    assert said.document["suggestions"][0]["times_the_steps"] == 2
    assert suggests(said, 4096)


def test_gate_unbracketed_width_is_a_bound_and_not_in_the_exponent(say: Say):
    rows = [run for width in (512, 1024, 2048) for run in curve(width, 1.0, 2.2, 4.0)]
    said = say([*rows, *curve(4096, 4.0, 6.0, 9.0)])
    assert no_law(said)
    assert said.document["exponent"]["widths"] == [512, 1024, 2048]
    assert (said.curves[3]["alpha_star"], said.curves[3]["side"]) == (None, "below")
    assert said.law is not None
    assert [shape["latent_dim"] for shape in said.law["shapes"]] == [512, 1024, 2048]
    assert suggests(said, 4096)


def test_gate_four_converged_widths_are_a_law_everywhere(say: Say):
    rows = [run for width in (512, 1024, 2048, 4096) for run in curve(width, 1.0, 2.2, 4.0)]
    said = say(rows)
    assert said.law is not None
    assert (said.document["status"], said.law["status"]) == ("law", "law")
    assert "Status: law." in said.text
    assert '<span class="badge is-success">law</span>' in said.page
