import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

from sae.activations.__main__ import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Runs the command line in this process and returns its exit status."""
    monkeypatch.setattr("sys.argv", ["sae-activations", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    return int(exit_info.value.code or 0)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    lines = [json.dumps({"body": f"w{number} w2 w3 " * number}) for number in range(1, 20)]
    (tmp_path / "text.jsonl").write_text("\n".join(lines))
    return tmp_path / "text.jsonl"


def extract_tiny(monkeypatch: pytest.MonkeyPatch, model: Path, text: Path, output: Path) -> int:
    arguments = ["--model", model, "--text", text, "--text-key", "body", "--layer", 1]
    arguments += ["--layer", 3, "--output", output, "--held-out-tokens", 50, "--device", "cpu"]
    return run(monkeypatch, "extract", *arguments)


@pytest.fixture
def extracted(
    bert_folder: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Layers 1 and 3 of the tiny model, by the command line."""
    assert extract_tiny(monkeypatch, bert_folder, text, tmp_path / "out") == 0
    return tmp_path / "out"


def test_extract_command_writes_a_folder_for_every_layer_and_prints_it(
    bert_folder: Path,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert extract_tiny(monkeypatch, bert_folder, text, out) == 0
    assert {path.name for path in out.glob("layer_*")} == {"layer_1", "layer_3"}
    assert capsys.readouterr().out.split() == [str(out / f"layer_{n}") for n in (1, 3)]


def test_info_command_prints_the_facts(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(monkeypatch, "info", extracted / "layer_3") == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["name"] == "tiny-bert layer 3"
    assert lines["hook_name"] == "encoder.layer.2"
    assert float(lines["gamma"]) > 0


def test_info_command_as_json_prints_the_manifests_numbers(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(monkeypatch, "info", extracted / "layer_1", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    manifest = json.loads((extracted / "layer_1" / "manifest.json").read_text())
    assert facts["train_tokens"] + facts["held_out_tokens"] == 3 * sum(range(1, 20))
    assert facts["scale"] == manifest["scale"]


def test_verify_command_accepts_what_extract_wrote(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(monkeypatch, "verify", extracted / "layer_1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True


def test_verify_command_of_a_changed_shard_exits_2_with_one_line(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = extracted / "layer_1" / "held_out_00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4] + b"\1\2\3\4")
    capsys.readouterr()
    assert run(monkeypatch, "verify", extracted / "layer_1") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: shard ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/absent", "--output", "out"], "model must be a folder or a name on the hub"),
        (["--model", "/absent"], "--output must name a folder"),
        (["--max-tokens", "0"], "max_tokens must be positive, but got 0."),
        (["--outlier-norm", "1"], "outlier_norm must be above 1, but got 1.0."),
        (
            ["--module", "encoder.layr", "--max-tokens", "300", "--held-out-tokens", "100"],
            "module must be one of all-MiniLM-L6-v2, but got 'encoder.layr', did you mean "
            "'encoder.layer'?",
        ),
        (
            ["--layer", "3", "--layer", "3"],
            "layers or modules must be given, each once, but got [3, 3].",
        ),
    ],
)
def test_extract_command_with_bad_options_exits_2_with_one_line(
    arguments: list[str],
    message: str,
    text: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--output" in arguments:
        arguments = [*arguments, "--text", str(text), "--text-key", "body"]
    assert run(monkeypatch, "extract", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: " + message)
    assert len(captured.err.splitlines()) == 1


def test_import_command_writes_a_folder_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(600, 4)))
    out = tmp_path / "out"
    arguments = (tmp_path / "rows.npy", "--output", out, "--held-out-tokens", 100)
    assert run(monkeypatch, "import", *arguments) == 0
    assert capsys.readouterr().out.split() == [str(out)]
    assert run(monkeypatch, "verify", out) == 0


def test_import_command_of_a_pickle_exits_2_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.pt").write_bytes(b"")
    assert run(monkeypatch, "import", tmp_path / "rows.pt", "--output", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert "pickles, as in .pt and .pkl, are never read" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_import_command_with_an_unknown_column_exits_2_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets.Dataset.from_dict({"hidden": [[1.0, 2.0]]}).save_to_disk(str(tmp_path / "set"))
    arguments = (tmp_path / "set", "--column", "hiden", "--output", tmp_path / "out")
    assert run(monkeypatch, "import", *arguments) == 2
    assert capsys.readouterr().err.endswith("but got 'hiden', did you mean 'hidden'?\n")


def test_downstream_command_of_no_sae_exits_2_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "downstream", tmp_path / "absent", "--text", __file__) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.slow
def test_activations_imported_leave_heavy_modules_alone() -> None:
    code = (
        "import sys, sae.activations; "
        "heavy = ('transformers', 'datasets', 'typer', 'omegaconf'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def sinks(tmp_path: Path) -> Path:
    """600 rows, the first of each 100 of a norm far above the others'."""
    rows = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    rows[::100] *= 1000
    np.save(tmp_path / "sinks.npy", rows)
    return tmp_path / "sinks.npy"


@pytest.mark.parametrize("command", ["import", "info"])
def test_import_and_info_command_of_rows_that_outweigh_all_others_warn_in_one_line(
    command: str,
    sinks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (sinks, "--output", tmp_path / "out", "--held-out-tokens", 100)
    assert run(monkeypatch, "import", *arguments) == 0
    if command == "info":
        capsys.readouterr()
        assert run(monkeypatch, "info", tmp_path / "out") == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: sinks.npy: rows above 10 times the median norm hold 100 %")


def test_import_command_with_an_outlier_norm_leaves_rows_out_and_info_says_how_many(
    sinks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (sinks, "--output", tmp_path / "out", "--held-out-tokens", 100)
    assert run(monkeypatch, "import", *arguments, "--outlier-norm", 10) == 0
    assert run(monkeypatch, "info", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    [dropped] = [line for line in captured.out.splitlines() if "outlier_tokens_dropped" in line]
    assert 4 <= int(dropped.split()[1]) <= 6


def test_info_command_of_ordinary_rows_warns_of_nothing(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(monkeypatch, "info", extracted / "layer_3") == 0
    assert capsys.readouterr().err == ""
