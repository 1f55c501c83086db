import html
import json
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.cli import run
from analysis.records import empty_record

MakeTrials = Callable[..., pd.DataFrame]
Capture = pytest.CaptureFixture[str]

# L0 of the demo's activations after 600 steps, rounded; width 1024 and 2048 at three alphas.
RUNS = [
    (1024, 1.0, 181.7),
    (1024, 2.0, 81.9),
    (1024, 4.0, 27.6),
    (2048, 2.0, 144.9),
    (2048, 3.0, 66.0),
    (2048, 4.0, 36.5),
]


def write_trial(study: Path, number: int, **values: Any) -> None:
    directory = study / f"trial_{number:05d}"
    directory.mkdir(parents=True)
    record = empty_record() | {"trial": number, "cell": "c", "state": "complete"} | values
    (directory / "result.json").write_text(json.dumps(record))


@pytest.fixture(name="study")
def fixture_study(tmp_path: Path) -> Path:
    study = tmp_path / "demo"
    for number, (width, alpha, l0) in enumerate(RUNS):
        write_trial(
            study,
            number,
            latent_dim=width,
            l1_alpha=alpha,
            alpha_canonical=alpha,
            l0=l0,
            l0_fraction=l0 / width,
            target_l0=64,
            in_band=width == 2048 and alpha == 3.0,
            fvu=0.3,
            converged=True,
        )
    return study


def output_of(capsys: Capture, *arguments: str | Path) -> str:
    assert run([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def json_of(capsys: Capture, *arguments: str | Path) -> Any:
    return json.loads(output_of(capsys, *arguments, "--json"))


def test_trials_first_line_is_the_answer(study: Path, capsys: Capture) -> None:
    lines = output_of(capsys, "trials", study).splitlines()

    assert lines[0] == "6 trials in 2 widths: 6 complete."
    assert len(lines) == 8


def test_trials_json_has_every_row_and_column(study: Path, capsys: Capture) -> None:
    content = json_of(capsys, "trials", study)

    assert [row["l0"] for row in content["trials"]] == [l0 for _, _, l0 in RUNS]
    assert content["trials"][0]["mse"] is None


def test_trials_csv_is_read_back_the_same(study: Path, tmp_path: Path, capsys: Capture) -> None:
    output_of(capsys, "trials", study, "--csv", tmp_path / "out.csv")

    assert json_of(capsys, "trials", tmp_path / "out.csv") == json_of(capsys, "trials", study)


def test_trials_unreadable_record_is_named(study: Path, capsys: Capture) -> None:
    (study / "trial_00000" / "result.json").write_text("{")

    text = output_of(capsys, "trials", study)

    assert text.startswith("5 trials")
    assert "Not read:" in text


def test_status_counts_and_lists(study: Path, capsys: Capture) -> None:
    lines = output_of(capsys, "status", study).splitlines()

    assert lines[0] == "demo: 6 trials (6 complete), 1 in band."
    assert "trial_00005" in lines[-1]


def test_status_json_has_counts(study: Path, capsys: Capture) -> None:
    content = json_of(capsys, "status", study)

    assert content["counts"] == {"complete": 6}
    assert content["trials"][4]["in_band"] is True


def test_status_empty_study_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "study.json").write_text("{}")
    assert output_of(capsys, "status", tmp_path).count("\n") == 1


def test_refit_first_line_names_alpha_of_every_width(study: Path, capsys: Capture) -> None:
    text = output_of(capsys, "refit", study)

    assert text.startswith("Alpha for 64 active latents, by width: 2.3")
    assert "Status: provisional." in text
    assert "Alpha goes as width^" in text


def test_refit_json_is_the_refits(study: Path, capsys: Capture) -> None:
    content = json_of(capsys, "refit", study, "--target-l0", "0.05")

    assert content["target_l0"] == 0.05
    assert [curve["latent_dim"] for curve in content["curves"]] == [1024, 2048]


def test_refit_one_alpha_refuses_and_suggests(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "one.csv"
    path.write_text("latent_dim,l1_alpha,l0\n1024,2.0,82\n1024,-1,5\n")

    text = output_of(capsys, "refit", path, "--target-l0", "64")

    assert text.startswith("No alpha for 64 active latents may be named")
    assert "No exponent in width" in text
    assert "Run next: width 1024, alpha" in text
    assert "Row 1 not used: alpha is negative." in text


def test_refit_suggestion_names_the_activations_that_its_command_lacks(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "one.csv"
    header = "latent_dim,l1_alpha,alpha_canonical,l0,activations"
    path.write_text(f"{header}\n1024,2.0,2.0,82,my model layer 6\n")

    text = output_of(capsys, "refit", path, "--target-l0", "64")

    assert ", by the command and the keys of the activations, my model layer 6:" in " ".join(
        text.split()
    )


def test_refit_suggestion_has_its_command_whole_on_a_line_of_its_own(
    study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    [suggested] = json_of(capsys, "refit", study)["suggestions"]

    lines = output_of(capsys, "refit", study).splitlines()

    assert len(suggested["command"]) > 40
    assert suggested["command"] in lines


def test_alpha_prints_value_interval_and_units(study: Path, capsys: Capture) -> None:
    text = output_of(capsys, "alpha", study, "--latent-dim", "1024", "--target-l0", "64")

    assert text.startswith("alpha 2.3")
    assert "95 % interval" in text.splitlines()[0]
    assert "canonical units" in text.splitlines()[0]


def layers(folder: Path) -> Path:
    """Layer 3 at width 1024, layer 5 at width 2048."""
    table = pd.DataFrame(RUNS, columns=["latent_dim", "l1_alpha", "l0"])
    table["layer"] = table["latent_dim"].map({1024: 3, 2048: 5})
    table.to_csv(folder / "layers.csv", index=False)
    return folder / "layers.csv"


def test_alpha_names_the_group_that_answers(tmp_path: Path, capsys: Capture) -> None:
    text = output_of(
        capsys, "alpha", layers(tmp_path), "--latent-dim", "2048", "--target-l0", "64"
    )
    assert "layer=5." in text
    assert "this answer is that of the runs with layer=5" in text


@pytest.mark.parametrize("command", ["alpha", "refit", "report"])
def test_where_keeps_one_layer(tmp_path: Path, capsys: Capture, command: str) -> None:
    width = ["--latent-dim", "2048"] if command == "alpha" else []
    text = output_of(
        capsys, command, layers(tmp_path), *width, "--target-l0", "64", "--where", "layer=5"
    )
    assert "only trials where layer=5: 3 of 6" in text


def test_report_command_keeps_where(tmp_path: Path, capsys: Capture) -> None:
    output_of(capsys, "report", layers(tmp_path), "--target-l0", "64", "--where", "layer=5")
    [page] = tmp_path.glob("report_*/index.html")
    assert "--where layer=5" in html.unescape(page.read_text())


def test_alpha_as_another_convention_is_converted(
    study: Path, tmp_path: Path, capsys: Capture
) -> None:
    norms = {"d_in": 4, "centred_rms_norm": 1.0, "raw_mean_norm": 2.0, "raw_rms_norm": 2.0}
    (tmp_path / "manifest.json").write_text(json.dumps(norms))
    asked = ["alpha", study, "--latent-dim", "1024", "--target-l0", "64"]

    canonical = json_of(capsys, *asked)["alpha"]
    converted = json_of(capsys, *asked, "--as", "saelens", "--activations", tmp_path)["alpha"]

    assert converted == pytest.approx(canonical / 2)


def test_alpha_without_interval_says_so(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "two.csv"
    path.write_text("latent_dim,l1_alpha,l0\n1024,2.0,82\n1024,4.0,28\n")

    text = output_of(capsys, "alpha", path, "--latent-dim", "1024", "--target-l0", "64")

    assert "(no interval)" in text.splitlines()[0]


def test_report_prints_the_page_and_writes_it(study: Path, capsys: Capture) -> None:
    text = output_of(capsys, "report", study)

    page = Path(text.splitlines()[0])
    assert page == study / "report" / "index.html"
    assert "demo" in page.read_text()


def test_report_judges_by_the_studys_own_tolerance(study: Path, capsys: Capture) -> None:
    (study / "study.json").write_text('{"tolerance": 0.35}')
    page = Path(output_of(capsys, "report", study).splitlines()[0])

    assert "±35 %" in page.read_text()


@pytest.mark.parametrize("name", ["a\x1b[31mred", "层 五"])
def test_report_name_of_any_characters_is_written_without_a_warning(
    make_trials: MakeTrials, tmp_path: Path, name: str
) -> None:
    trials = make_trials(RUNS, architecture=name)
    trials.to_csv(tmp_path / "runs.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(["report", str(tmp_path / "runs.csv"), "--target-l0", "64"]) == 0


def test_report_command_keeps_the_tolerance(study: Path, capsys: Capture) -> None:
    page = Path(output_of(capsys, "report", study, "--tolerance", "0.3").splitlines()[0])

    assert "±30 %" in page.read_text()
    assert "--tolerance 0.3" in page.read_text()


def test_compare_judges_by_the_studys_own_tolerance_or_the_one_asked_for(
    study: Path, capsys: Capture
) -> None:
    (study / "study.json").write_text('{"tolerance": 0.35}')
    command = ("compare", study, "--target-l0", "64")

    own = [cell["in_band"] for cell in json_of(capsys, *command)["cells"]]
    asked = [cell["in_band"] for cell in json_of(capsys, *command, "--tolerance", "0.01")["cells"]]
    assert (own, asked) == ([1, 1], [0, 0])


def test_report_prints_what_was_assumed_of_its_source(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = data / "l0_curve_saelens_719.csv"

    text = output_of(capsys, "report", path, "--target-l0", "64", "--output", tmp_path)

    assert "Note: " in text


def test_trials_csv_in_no_folder_names_the_file_that_was_asked_for(
    study: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["trials", str(study), "--csv", str(tmp_path / "none" / "x.csv")]) == 2
    assert "none/x.csv must be a place that can be read and written" in capsys.readouterr().err


def test_trials_csv_that_is_a_folder_is_one_line(study: Path, capsys: Capture) -> None:
    assert run(["trials", str(study), "--csv", "."]) == 2
    refusal = ". must be a place that can be read and written, but got: Is a directory.\n"
    assert capsys.readouterr().err == refusal


@pytest.mark.parametrize("words", [("refit",), ("alpha", "--latent-dim", "1024")])
def test_run_what_is_not_recorded_is_said_once(
    words: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    table = pd.DataFrame(RUNS, columns=["latent_dim", "l1_alpha", "l0"])
    layers = [table.assign(layer=layer) for layer in (3, 4, 5)]
    pd.concat(layers).to_csv(tmp_path / "t.csv", index=False)

    text = output_of(capsys, words[0], tmp_path / "t.csv", *words[1:], "--target-l0", "64")

    assert text.count("penalty") == 1
    assert "not recorded: architecture, penalty, d_in" in " ".join(text.split())
    assert "Also layer=4: Alpha for 64" in text or words[0] == "alpha"


def test_refit_impossible_target_is_said_once_a_width(study: Path, capsys: Capture) -> None:
    text = " ".join(output_of(capsys, "refit", study, "--target-l0", "1e9").split())

    assert text.count("at most latent_dim (1024)") == 1
    assert ".." not in text


def test_refit_says_the_noise_and_what_the_intervals_hold_for(data: Path, capsys: Capture) -> None:
    curves = data / "l0_curves_minilm_layer3.csv"
    text = " ".join(output_of(capsys, "refit", curves, "--target-l0", "64").split())

    assert "Noise: L0 scatters by about" in text
    assert "hold for the held-out tokens that the runs share" in text


def test_report_command_is_quoted_and_keeps_every_digit(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "my runs.csv"
    path.write_text("latent_dim,l1_alpha,l0\n1024,2.0,82\n1024,4.0,28\n")
    asked = ("--target-l0", "51.23456789", "--figures", "svg, png", "--output", tmp_path)

    output_of(capsys, "report", path, *asked)

    page = html.unescape((tmp_path / "index.html").read_text())
    assert f"sae-analysis report '{path}' --target-l0 51.23456789" in page
    assert list((tmp_path / "figures").glob("*.png"))


def test_groups_of_one_run_are_one_line_and_one_section(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rates.csv"
    rows = [f"1024,2,{60 + rate},{rate}e-4" for rate in range(1, 9)]
    path.write_text("\n".join(["latent_dim,l1_alpha,l0,learning_rate", *rows]))

    text = output_of(capsys, "refit", path, "--target-l0", "64")
    output_of(capsys, "report", path, "--target-l0", "64", "--output", tmp_path / "out")

    assert "Also 7 groups of one run: no curve." in text
    assert [each.name for each in (tmp_path / "out" / "figures").glob("l0-alpha*")] == [
        "l0-alpha.svg"
    ]


def test_report_json_names_page_and_refit(study: Path, tmp_path: Path, capsys: Capture) -> None:
    content = json_of(capsys, "report", study, "--output", tmp_path / "out")

    assert content["report"] == str(tmp_path / "out" / "index.html")
    assert content["refit"]["target_l0"] == 64


def test_audit_first_line_is_the_answer_and_all_claims_follow(capsys: Capture) -> None:
    text = output_of(capsys, "audit")

    assert text.startswith("Of 29 claims of the guide 2 hold")
    assert "\n29. holds:" in text


def test_audit_changed_jobs_change_the_rate(data: Path, tmp_path: Path, capsys: Capture) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text((data / "guide_jobs.csv").read_text().replace("0.0106", "0.02"))

    content = json_of(capsys, "audit", "--jobs", jobs)

    assert content["golden"]["curve_rate"] == pytest.approx(2.2757, abs=5e-5)


def test_audit_study_stands_beside_the_guide(study: Path, capsys: Capture) -> None:
    text = output_of(capsys, "audit", "--study", study)
    content = json_of(capsys, "audit", "--study", study)

    assert text.splitlines()[1].startswith("Study: exponent of alpha in width: ")
    assert [each["agrees"] for each in content["study"]][:3] == [False, False, False]


def test_audit_and_compare_take_a_storages_sweep(tmp_path: Path, capsys: Capture) -> None:
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path}/many.db"
    for name in ("one", "two"):
        study = optuna.create_study(storage=url, study_name=f"{name}/cell")
        for number, (alpha, l0) in enumerate(((1.0, 180.0), (2.5, 64.0), (4.0, 28.0))):
            record = {
                "trial": number,
                "state": "complete",
                "latent_dim": 1024,
                "l1_alpha": alpha,
                "alpha_canonical": alpha,
                "l0": l0,
            }
            study.add_trial(optuna.trial.create_trial(value=0.0, user_attrs={"record": record}))

    audited = output_of(
        capsys, "audit", "--study", url, "--study-name", "one", "--target-l0", "64"
    )
    names = ("--study-name", "one", "--study-name", "two")
    content = json_of(capsys, "compare", url, url, *names, "--target-l0", "64")

    assert "Study: alpha at width 1024" in audited
    assert [cell["study"] for cell in content["cells"]] == ["one", "two"]


def test_compare_joins_and_writes_every_format(
    study: Path, tmp_path: Path, data: Path, capsys: Capture
) -> None:
    curves = data / "l0_curves_minilm_layer3.csv"
    outputs = [tmp_path / f"c.{ending}" for ending in ("csv", "parquet", "md", "tex")]
    flags = [text for path in outputs for text in ("--output", str(path))]

    text = output_of(capsys, "compare", study, curves, "--target-l0", "64", *flags)

    assert text.startswith("2 studies, 6 cells for 64 active latents, 0 in more than one study.")
    assert "Front of (L0, fvu), demo, unknown architecture" in text
    assert all(path.stat().st_size > 0 for path in outputs)


def test_compare_in_a_pipe_has_every_column(
    study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    lines = output_of(capsys, "compare", study, "--target-l0", "64").splitlines()

    assert re.split("  +", lines[1])[-1] == "arch."


def test_compare_in_80_columns_shows_alpha_where_recipes_differ(
    study: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    bare = tmp_path / "bare.csv"
    pd.DataFrame(RUNS, columns=["latent_dim", "l1_alpha", "l0"]).to_csv(bare, index=False)
    for path in study.glob("*/result.json"):
        recipe = {
            "penalty": "l1",
            "d_in": 384,
            "activations": "all-MiniLM-L6-v2/layer_3",
            "learning_rate": 1e-3,
            "batch_size": 512,
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | recipe))

    lines = output_of(capsys, "compare", study, bare, "--target-l0", "64").splitlines()

    assert lines[1].split()[:4] == ["width", "study", "alpha", "95"]


def test_compare_json_has_cells_and_fronts(study: Path, capsys: Capture) -> None:
    content = json_of(capsys, "compare", study, "--target-l0", "200")

    assert [cell["latent_dim"] for cell in content["cells"]] == [1024, 2048]
    assert content["cells"][0]["alpha"] is None
    assert {row["study"] for row in content["fronts"]} == {"demo"}


def test_report_other_formats_are_written(study: Path, tmp_path: Path, capsys: Capture) -> None:
    output_of(capsys, "report", study, "--output", tmp_path, "--figures", "png")

    assert (tmp_path / "figures" / "l0-alpha.png").exists()


def heed_interrupts() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would the tests' children there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_report_watch_writes_until_interrupted(study: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "index.html"
    command = f"{sys.executable} -m analysis report {study} --output {page.parent} --watch 0.1"
    process = subprocess.Popen(
        command.split(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    watched = page.read_text()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert first.strip() == str(page)
    assert (process.returncode, errors) == (0, "")
    assert '<meta http-equiv="refresh" content="1">' in watched
    assert 'http-equiv="refresh"' not in page.read_text()


def test_refit_of_a_journal_is_that_of_its_trials(study: Path, capsys: Capture) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = study.parent / "study.journal"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    cell = optuna.create_study(storage=storage, study_name="demo/c")
    for path in sorted(study.glob("trial_*/result.json")):
        record = json.loads(path.read_text())
        attributes = {"number": record["trial"], "record": record}
        cell.add_trial(create_trial(value=0.1, user_attrs=attributes))

    found = json_of(capsys, "refit", journal, "--study-name", "demo")

    assert found == json_of(capsys, "refit", study)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing command."),
        (["reft"], "No such command 'reft'"),
        ([], "See sae-analysis --help."),
        (["refit"], "Missing argument 'source'"),
        (["refit", "x.csv", "--target"], "--target"),
        (
            ["refit", "x.csv", "--target-l0", "k"],
            "as a number, but got 'k'. See sae-analysis refit --help.",
        ),
        (["refit", "x.csv", "--targt-l0", "5"], "(Possible options: --target-l0). See"),
        (["trials", "none.csv"], "source must be an existing folder or file, but got 'none.csv'"),
        (["status", "none"], "study must be an existing folder"),
        (["compare"], "Missing argument 'sources'"),
        (["report", "x.csv", "--watch", "-1"], "but got '-1'. See sae-analysis report --help."),
        (["audit", "--jobs", "none.csv"], "none.csv must be a readable table"),
    ],
)
def test_run_bad_input_is_one_line_and_status_2(
    arguments: list[str], words: str, capsys: Capture
) -> None:
    status = run(arguments)

    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert words in captured.err
    assert captured.err.count("\n") == 1


_MESS = """latent_dim,l1_alpha,l0
512,-1,50
512,0,200
512,1,100
512,2,50
512,3,30
512,4,inf
512,5,nan
512,9,0
512,10,600
512,2,50
"""


@pytest.mark.parametrize("command", ["trials", "refit", "report"])
def test_run_table_with_everything_wrong_is_read(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "mess.csv").write_text(_MESS)
    target = [] if command == "trials" else ["--target-l0", "60"]
    assert run([command, str(tmp_path / "mess.csv"), *target]) == 0
    if command == "refit":
        shown = " ".join(capsys.readouterr().out.split())
        assert "Row 0 not used: alpha is negative." in shown
        assert "Row 9 not used: duplicate of row 3 in all that was measured;" in shown
        assert "1 run at alpha 0: only forms that have a ceiling use them" in shown


@pytest.mark.parametrize("command", ["refit", "report"])
def test_run_target_above_every_width_names_no_alpha(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "mess.csv").write_text(_MESS)
    assert run([command, str(tmp_path / "mess.csv"), "--target-l0", "1000"]) == 0
    assert "No alpha for 1000 active latents may be named" in capsys.readouterr().out


def test_run_unwritable_output_is_one_line_and_status_2(
    study: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")

    status = run(["report", str(study), "--output", str(tmp_path / "file" / "deeper")])

    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path}/file/deeper")
    assert error.endswith(
        " must be a place that can be read and written, but got: Not a directory.\n"
    )


def test_run_help_exits_with_status_0(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    assert "audit" in capsys.readouterr().out


def test_run_output_fits_a_terminal_of_80_columns(
    study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    compare = ("compare", study, study.parent / "curves.csv", "--target-l0", "64")
    pd.DataFrame(RUNS, columns=["latent_dim", "l1_alpha", "l0"]).to_csv(compare[2], index=False)

    for words in (("trials", study), ("status", study), ("refit", study), compare):
        lines = output_of(capsys, *words).splitlines()
        assert max(len(line) for line in lines[1:]) <= 80


def test_module_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    table = pd.DataFrame({"latent_dim": 64, "l1_alpha": range(1, 4001), "l0": 5.0})
    table.to_csv(path, index=False)

    process = subprocess.Popen(
        [sys.executable, "-m", "analysis", "trials", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()
