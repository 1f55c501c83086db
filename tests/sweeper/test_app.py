import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

App = Callable[..., int]

BAD_INPUT = [
    (("trainer.batchsize=3",), "trainer.batchsize", "did you mean 'trainer.batch_size'"),
    (("+trainer.batchsize=3",), "trainer.batchsize", "did you mean 'trainer.batch_size'"),
    (("sweep.train=mine:train", "trainer.controller=l0"), "trainer.controller", "got l0"),
    (("objctive=guide",), "objctive", "did you mean 'objective'"),
    (("sae=standrd",), "sae", "standrd"),
    (("+guide=17k",), "guide", "17k"),
    (("trainer.batch_size=many",), "trainer.batch_size", "many"),
    (("trainer.batch_size=0",), "trainer.batch_size must be positive", "0"),
    (("trainer.total_steps=-3",), "trainer.total_steps must be positive", "-3"),
    (("sae.latent_dim=-64",), "latent_dim", "-64"),
    (("sae.latent_dim=0",), "latent_dim", "0"),
    (("target_l0=0",), "target_l0", "0"),
    (("target_l0=65",), "target_l0", "65"),
    (("l1_alpha=-1",), "l1_alpha must be finite and not negative", "-1"),
    (("seed=-1",), "seed must not be negative", "-1"),
    (("seed=9223372036854775808",), "seed must be below 2^63", "9223372036854775808"),
    (("device=cuda",), "device must be available on this machine", "cuda"),
    (("device=abacus",), "device must be one of", "abacus"),
    (("prior=file",), "prior.path", "null"),
    (
        ("prior=file", "prior.path=law.json"),
        "prior.path: law.json must be a readable law file",
        "",
    ),
    (
        ("activations=folder", "activations.path=nowhere"),
        "manifest.json",
        "nowhere",
    ),
    (("activations.path=nowhere",), "activations.path must be left out", "nowhere"),
    (("sweep.study_name=a/b",), "sweep.study_name", "a/b"),
    (("--multirun", "sae.latent_dimm=64,128"), "sae.latent_dimm", "sae.latent_dim"),
    (("--multirun", "sae.latent_dim=64,0"), "latent_dim", "0"),
    (("--multirun", "l1_alpha=interval(3,1)"), "l1_alpha", "interval(3,1)"),
    (("--multirun", "sae.latent_dim=choice(1,2)"), "sae.latent_dim", "choice"),
    (("--multirun", "sweep.storage=nosuch://me:secret@host/db"), "sweep.storage", "***"),
    (("--multirun", "sweep.storage=postgresql://me:secret@h:port/db"), "sweep.storage", "URL"),
    (("--multirun", "sweep.storage=pg://me:sec,secret@h/db"), "sweep.storage", "in quotes"),
    (("--multirun", "sweep.storage=pg://me:secret@h/db?a=b"), "sweep.storage", "in quotes"),
    (("--multirun", "sweep.storage=[pg://me:secret@h/db]"), "sweep.storage", "not shown"),
    (("--multirun", "sweep={storage: 'pg://me:secret@h/db'}"), "sweep.storage", "table of sweep"),
    (("--multirun", "hydra.sweeper.storage=pg://me:secret@h/db"), "sweep.storage", "a value"),
    (("sweep.storage=pg://me:sec,secret@h/db",), "sweep.storage", "in quotes"),
    (("trainer.batch_size=3=4",), "trainer.batch_size must be a value of", "3=4"),
    (("l1_alpha=inf",), "l1_alpha must be finite", "inf"),
    (("--multirun", "hydra/launcher=nosuch"), "hydra/launcher must be one of", "nosuch"),
    (("--multirun", "sweep.slots=0"), "sweep.slots", "0"),
    (("--multirun", "target_l0=64"), "target_l0 must be fewer than sae.latent_dim", "64"),
    (("+sae.latent_dim=32",), "sae.latent_dim must be given without a +", "+sae.latent_dim"),
    (("+sae=topk",), "sae must be given without a +", "+sae"),
    (("sweep=null",), "sweep must be one of default, fvu, law", "null"),
    (("--multirun", "sae=standard,5"), "sae must be one of batchtopk, ", "standard,5"),
    (("hydra/launcher=null",), "hydra/launcher must be the name of an option", "null"),
    (("sweep.sampler_options={foo:1}",), "(+sweep.sampler_options={foo:1})", "but got sweep.s"),
    (("sweep.sampler_options.foo=1",), "(+sweep.sampler_options.foo=1)", "but got sweep.s"),
    (("hydra.sweeper.params={x:1}",), "(+hydra.sweeper.params={x:1})", "but got hydra.s"),
    (
        ("trainer={batch_sise:3}",),
        "trainer.batch_sise must be a known key",
        "'trainer.batch_size'",
    ),
    (
        ("~trainer.alpha_warmup",),
        "trainer.alpha_warmup must have a value",
        "~trainer.alpha_warmup",
    ),
    (("~target_l0",), "target_l0 must have a value", "~target_l0"),
    (("--multirun", "~sae"), "sae must have a value", "~sae"),
    (("~sae=standard",), "sae must have a value", "~sae=standard"),
    (("sweep.study_name=1e5",), "sweep.study_name must be in quotes", "=\"'1e5'\")"),
    (("--multirun", "sweep.study_name=1_0"), "sweep.study_name must be in quotes", "got 1_0"),
    (("--multirun", "sweep.study_name=true"), "sweep.study_name must be in quotes", "got true"),
    (("trainer.learning_rate=inf",), "trainer.learning_rate must be finite", "inf"),
    (("--multirun", "seed=4294967296"), "seed must be less than 4294967296", "4294967296"),
    (("hydra.job.chdir=true",), "hydra.job.chdir must be false", "but got true"),
    (("--multirun", "hydra.job.chdir=true"), "hydra.job.chdir must be false", "but got true"),
    (("--multirun", "hydra.sweeper.grammar=hos"), "grammar must be law in sae-sweep", "got hos"),
    (
        ("trainer.total_steps=9223372036854775808",),
        "trainer.total_steps must be below 2^63",
        "9223",
    ),
    (("sae.latent_dim=9223372036854775808",), "sae.latent_dim must be below 2^63", "9223"),
    (
        ("l1_alpha=1", "trainer.total_steps=9223372036854775807"),
        "trainer.total_steps must fit",
        "9223",
    ),
    (
        ("activations.synthetic.n_tokens=1000000000000",),
        "activations.synthetic.n_tokens",
        "must fit",
    ),
    (("trainer.checkpoint_share=0",), "trainer.checkpoint_share must be above 0", "0"),
]


@pytest.mark.parametrize(("arguments", "named", "value"), BAD_INPUT)
def test_app_bad_input_is_one_line_and_status_2(
    app: App,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    named: str,
    value: str,
) -> None:
    status = app(*arguments)
    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(lines) == 1, lines
    assert named in lines[0]
    assert value in lines[0]
    assert "secret" not in lines[0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"learning_rate: [1\n", "in line 2: expected ',' or ']'"),
        (b"log_every: 1\nlog_every: 2\n", "in line 2: found duplicate key log_every"),
        (b"log_every: 1\n\n# \xff\n", "in line 3: invalid start byte of UTF-8"),
        (b"log_every: 1\nx: \0\n", "in line 2: unacceptable character #x0000"),
    ],
)
@pytest.mark.parametrize("choice", [("trainer=mine",), ("--multirun", "trainer=default,mine")])
def test_app_configuration_file_that_cannot_be_read_is_named_with_its_line(
    app: App,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes,
    named: str,
    choice: tuple[str, ...],
) -> None:
    file = tmp_path / "trainer" / "mine.yaml"
    file.parent.mkdir()
    file.write_bytes(content)
    assert app(f"--config-dir={tmp_path}", *choice) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{file} must be YAML in UTF-8, but got an error {named}" in line


def test_app_configuration_file_with_a_half_interpolation_is_one_line_with_its_key(
    app: App, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("log_every: ${oops\n")
    assert app(f"--config-dir={tmp_path}", "trainer=mine") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "'${oops'" in line
    assert "log_every" in line


@pytest.mark.skipif("sys.platform == 'win32'", reason="needs POSIX file modes")
def test_app_folder_that_cannot_be_written_is_one_line(
    app: App, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "multirun").touch()
    assert app("--multirun") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "multirun" in line
    assert "must be a folder that can be written" in line


@pytest.mark.skipif("not os.path.exists('/dev/full')", reason="needs /dev/full")
@pytest.mark.parametrize("buffering", [0, 8192])
def test_app_output_that_cannot_be_written_is_one_line(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], buffering: int
) -> None:
    stream = Path("/dev/full").open("wb", buffering)  # noqa: SIM115  (the wrapper closes it)
    with io.TextIOWrapper(stream, write_through=True) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert app("l1_alpha=3", "trainer.total_steps=3") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "standard output must take what is written, but got: No space left" in line


def test_app_law_of_other_units_is_refused_by_name(
    app: App, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "law.json").write_text('{"version": 1, "form": "local_line", "units": "saelens"}')
    assert app("prior=file", "prior.path=law.json") == 2
    assert "law.json" in capsys.readouterr().err


def test_app_guide_on_other_data_warns_about_hidden_dim(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    status = app(
        "+guide=16k", "sae.latent_dim=64", "trainer.total_steps=3", "l1_alpha=1", "target_l0=6"
    )
    assert status == 0
    assert "hidden_dim 512 is not the d_in" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "folder"), [("'1e5'", "1e5"), ("007", "007")])
def test_app_study_name_of_digits_is_the_text_as_typed(
    app: App, tmp_path: Path, given: str, folder: str
) -> None:
    short = "l1_alpha=3", "trainer.total_steps=3", "sweep.n_trials=1"
    assert app("--multirun", f"sweep.study_name={given}", *short) in (0, 1)
    assert (tmp_path / "multirun" / folder).is_dir()


def test_app_refused_target_leaves_no_study_behind(app: App, tmp_path: Path) -> None:
    study = "--multirun", "sweep.study_name=s", "sweep.n_trials=1"
    assert app(*study, "target_l0=64") == 2
    assert not (tmp_path / "multirun" / "s").exists()
    assert app(*study, "target_l0=6") in (0, 1)


@pytest.mark.parametrize("argument", ["trainer.batch_size=0", "sweep.dry_run=true"])
def test_app_single_run_that_trains_nothing_leaves_no_folder_of_its_own(
    app: App, tmp_path: Path, argument: str
) -> None:
    app(argument)
    assert not list(tmp_path.glob("outputs/*/*"))
    app(argument, "hydra.run.dir=mine")
    assert (tmp_path / "mine" / ".hydra").exists()
