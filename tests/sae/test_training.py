import csv
import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch

from sae.activations import (
    ActivationsConfig,
    ActivationSource,
    ActivationStore,
    SyntheticConfig,
    open_activations,
)
from sae.activations.rows import Rows
from sae.architectures.config import Architecture, SaeConfig
from sae.dead_latents import DeadLatentsConfig, Resampling
from sae.errors import SaeError
from sae.history import HistoryRow
from sae.sae_file import load
from sae.stop_signal import StopSignal
from sae.trainer_config import Controller, Precision, TrainerConfig
from sae.training import TrainingRequest, TrainingState, train


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "sae" / "sae_weights.safetensors").read_bytes()).hexdigest()


def with_trainer(request: TrainingRequest, **changes: float) -> TrainingRequest:
    trainer = dataclasses.replace(request.trainer, **changes)
    return dataclasses.replace(request, trainer=trainer)


class KilledError(Exception):
    pass


def train_killed_at(
    step: int, request: TrainingRequest, store: ActivationStore, folder: Path
) -> None:
    def kill(row: HistoryRow) -> None:
        if row.step == step:
            raise KilledError

    with pytest.raises(KilledError):
        train(request, store, folder, on_log=kill)


def test_train_on_synthetic_data_learns(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    result = train(with_trainer(short_run, total_steps=400), store, run_folder)
    assert result.state is TrainingState.complete
    assert result.fvu is not None
    assert result.l0 is not None
    assert result.fvu < 0.5
    assert 0 < result.l0 < 32


def test_train_batchtopk_briefly_saves_an_sae_with_k_latents_on(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    sae = dataclasses.replace(short_run.sae, architecture=Architecture.batchtopk)
    request = dataclasses.replace(short_run, sae=sae, alpha_canonical=0.0, target_l0_count=5.0)
    result = train(with_trainer(request, total_steps=30), store, run_folder)
    assert result.l0 == pytest.approx(5, rel=0.1)


def test_train_on_synthetic_data_reports_density_and_recovery(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    result = train(short_run, store, run_folder)
    assert result.density is not None
    assert sum(result.density.values()) == 32
    assert result.density["never"] == 32 - (result.alive or 0)
    assert result.dictionary_cosine is not None
    assert 0.4 < result.dictionary_cosine < 1
    assert result.dictionary_recall is not None


def test_train_on_each_device_completes(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path, device: torch.device
) -> None:
    result = train(dataclasses.replace(short_run, device=device.type), store, run_folder)
    assert result.state is TrainingState.complete
    assert result.device.startswith(device.type)


@pytest.mark.parametrize("architecture", Architecture)
def test_train_same_seed_gives_the_same_bytes(
    short_run: TrainingRequest,
    architecture: Architecture,
    store: ActivationStore,
    tmp_path: Path,
    device: torch.device,
) -> None:
    request = dataclasses.replace(
        with_trainer(short_run, stop_early=False),
        sae=SaeConfig(latent_dim=32, architecture=architecture),
        alpha_canonical=0.0 if architecture.sets_l0 else 0.5,
        target_l0_count=4.0,
        device=device.type,
    )
    for name in ("a", "b"):
        train(request, store, tmp_path / name)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    configs = [(tmp_path / name / "sae" / "cfg.json").read_bytes() for name in ("a", "b")]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("architecture", Architecture)
@pytest.mark.parametrize(("d_in", "latent_dim"), [(1, 16), (16, 1), (1, 1)])
def test_train_with_one_latent_or_one_dimension_completes(
    short_run: TrainingRequest,
    architecture: Architecture,
    d_in: int,
    latent_dim: int,
    run_folder: Path,
    device: torch.device,
) -> None:
    request = dataclasses.replace(
        with_trainer(short_run, total_steps=5),
        sae=SaeConfig(latent_dim=latent_dim, architecture=architecture),
        alpha_canonical=0.0 if architecture.sets_l0 else 0.5,
        target_l0_count=1.0 if architecture.sets_l0 else 0.5,
        device=device.type,
    )
    synthetic = SyntheticConfig(d_in=d_in, n_tokens=256, held_out_tokens=128)
    config = ActivationsConfig(source=ActivationSource.synthetic, synthetic=synthetic)
    result = train(request, open_activations(config), run_folder)
    assert result.state is TrainingState.complete


def test_train_other_seed_gives_other_weights(
    short_run: TrainingRequest, store: ActivationStore, tmp_path: Path
) -> None:
    train(short_run, store, tmp_path / "a")
    train(dataclasses.replace(short_run, seed=1), store, tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


@pytest.mark.parametrize("killed_at", [10, 40, 60])
def test_train_killed_and_resumed_ends_with_the_bytes_of_an_undisturbed_run(
    short_run: TrainingRequest,
    store: ActivationStore,
    tmp_path: Path,
    killed_at: int,
    device: torch.device,
) -> None:
    request = with_trainer(short_run, checkpoint_every=7)
    request = dataclasses.replace(request, device=device.type)
    train(request, store, tmp_path / "whole")
    train_killed_at(killed_at, request, store, tmp_path / "killed")
    train(request, store, tmp_path / "killed")
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


EVERYTHING = DeadLatentsConfig(
    auxk_coefficient=1 / 32,
    resampling=Resampling.loss_weighted,
    resample_every=6,
    encoder_l2=1e-4,
    diversity=0.1,
)


@pytest.mark.parametrize("architecture", list(Architecture))
def test_train_with_every_technique_killed_and_resumed_ends_with_the_same_bytes(
    store: ActivationStore, tmp_path: Path, architecture: Architecture
) -> None:
    trainer = TrainerConfig(
        total_steps=60,
        batch_size=64,
        learning_rate=3e-3,
        dead_window=256,
        checkpoint_every=7,
        stop_early=False,  # 60 steps of all that at once need not become a good SAE
        controller=Controller.none if architecture.sets_l0 else Controller.l0,
        dead_latents=EVERYTHING,
    )
    request = TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=96),
        trainer=trainer,
        alpha_canonical=0.0 if architecture.sets_l0 else 1.0,
        target_l0_count=3.0,
        device="cpu",
    )
    train(request, store, tmp_path / "whole")
    train_killed_at(40, request, store, tmp_path / "killed")
    result = train(request, store, tmp_path / "killed")
    assert result.state is TrainingState.complete
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def test_train_with_resampling_counts_what_it_replaced(
    store: ActivationStore, tmp_path: Path
) -> None:
    trainer = TrainerConfig(
        total_steps=60,
        batch_size=64,
        dead_window=256,
        checkpoint_every=7,
        stop_early=False,
        dead_latents=DeadLatentsConfig(resampling=Resampling.copy, resample_every=6),
    )
    request = TrainingRequest(
        sae=SaeConfig(latent_dim=96), trainer=trainer, alpha_canonical=40.0, device="cpu"
    )
    whole = train(request, store, tmp_path / "whole")
    train_killed_at(40, request, store, tmp_path / "killed")
    resumed = train(request, store, tmp_path / "killed")
    assert whole.resampled == resumed.resampled
    assert whole.resampled is not None
    assert whole.resampled > 0
    last = (tmp_path / "whole" / "history.csv").read_text().splitlines()[-1]
    assert last.endswith(f",{whole.resampled}")


@pytest.mark.parametrize("architecture", list(Architecture))
def test_train_resumed_after_its_last_step_saves_the_same_bytes(
    short_run: TrainingRequest,
    store: ActivationStore,
    tmp_path: Path,
    architecture: Architecture,
) -> None:
    request = dataclasses.replace(
        with_trainer(short_run, stop_early=False),
        sae=SaeConfig(latent_dim=32, architecture=architecture),
        alpha_canonical=0.0 if architecture.sets_l0 else 0.5,
        target_l0_count=4.0,
    )
    whole, resumed = tmp_path / "whole" / "sae", tmp_path / "resumed" / "sae"
    train(request, store, whole.parent)
    resumed.parent.mkdir()
    resumed.touch()  # so that nothing can be saved
    with pytest.raises(FileExistsError):
        train(request, store, resumed.parent)
    resumed.unlink()
    train(request, store, resumed.parent)
    for path in whole.iterdir():
        assert (resumed / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("architecture", list(Architecture))
def test_train_saves_what_every_architecture_has_in_memory(
    store: ActivationStore, run_folder: Path, architecture: Architecture
) -> None:
    request = TrainingRequest(
        sae=SaeConfig(architecture=architecture, latent_dim=32),
        trainer=TrainerConfig(
            total_steps=150, batch_size=256, learning_rate=3e-3, precision=Precision.fp32
        ),
        alpha_canonical=0.0 if architecture.sets_l0 else 0.5,
        target_l0_count=3.0,
        device="cpu",
    )
    state: list[float] = []
    result = train(request, store, run_folder, on_log=lambda row: state.append(row.mse))
    assert result.mse == pytest.approx(state[-1], rel=0.15)
    assert result.l0 is not None
    if architecture.sets_l0:
        assert result.l0 == pytest.approx(3.0, rel=0.1)


def test_train_with_the_controller_reports_the_alpha_it_ended_with(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    request = dataclasses.replace(
        short_run,
        trainer=dataclasses.replace(short_run.trainer, total_steps=400, controller=Controller.l0),
        target_l0_count=3.0,
    )
    result = train(request, store, run_folder)
    assert result.alpha_canonical != request.alpha_canonical
    with (run_folder / "history.csv").open(newline="") as stream:
        assert float(list(csv.DictReader(stream))[-1]["alpha"]) == result.alpha_canonical


def test_train_resumed_writes_each_history_row_once(
    short_run: TrainingRequest, store: ActivationStore, tmp_path: Path
) -> None:
    request = with_trainer(short_run, checkpoint_every=7)
    train(request, store, tmp_path / "whole")
    train_killed_at(40, request, store, tmp_path / "killed")
    train(request, store, tmp_path / "killed")
    rows: list[list[dict[str, str]]] = []
    for name in ("whole", "killed"):
        with (tmp_path / name / "history.csv").open(newline="") as stream:
            rows.append([row | {"seconds": ""} for row in csv.DictReader(stream)])
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == ["10", "20", "30", "40", "50", "60"]


def test_train_complete_leaves_no_checkpoint(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    train(short_run, store, run_folder)
    assert sorted(path.name for path in run_folder.iterdir()) == ["history.csv", "sae"]


def test_train_asked_to_stop_checkpoints_and_resumes_from_there(
    short_run: TrainingRequest, store: ActivationStore, tmp_path: Path
) -> None:
    stop = StopSignal()

    def ask_to_stop(row: HistoryRow) -> None:
        if row.step == 20:
            stop.request("SIGTERM")

    stopped = train(short_run, store, tmp_path / "run", on_log=ask_to_stop, stop=stop)
    assert (stopped.state, stopped.steps_done) == (TrainingState.interrupted, 20)
    assert stopped.stop_reason == "stopped by SIGTERM"
    assert stopped.l0 is None
    assert not (tmp_path / "run" / "sae").exists()
    steps: list[int] = []
    finished = train(short_run, store, tmp_path / "run", on_log=lambda row: steps.append(row.step))
    train(short_run, store, tmp_path / "whole")
    assert steps == [30, 40, 50, 60]
    assert finished.state is TrainingState.complete
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


def test_train_diverging_names_step_and_tensor_and_saves_no_weights(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    result = train(with_trainer(short_run, learning_rate=1e30), store, run_folder)
    assert result.state is TrainingState.diverged
    assert result.stop_reason is not None
    assert result.stop_reason.startswith("step 1: the loss is not finite")
    assert result.steps_done == 1
    assert not (run_folder / "sae").exists()


def test_train_collapsing_stops_early_and_saves_no_weights(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    request = dataclasses.replace(with_trainer(short_run, total_steps=400), alpha_canonical=1e4)
    result = train(request, store, run_folder)
    assert result.state is TrainingState.diverged
    assert result.stop_reason is not None
    assert result.stop_reason.startswith("collapsed by step")
    assert result.steps_done < 300
    assert not (run_folder / "sae").exists()


def test_train_collapsing_goes_on_where_told_to(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    request = with_trainer(short_run, total_steps=200, stop_early=False)
    result = train(dataclasses.replace(request, alpha_canonical=1e4), store, run_folder)
    assert (result.state, result.steps_done) == (TrainingState.complete, 200)
    assert result.l0 is not None
    assert result.l0 < 0.1


def test_train_result_is_measured_from_the_saved_weights(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    result = train(short_run, store, run_folder)
    sae = load(run_folder / "sae")
    raw = torch.cat([rows for rows, _ in store.held_out_batches(512)])
    f = sae.encode(raw)
    error = (sae(raw) - raw).double().square().sum()
    variance = (raw - raw.mean(0)).double().square().sum()
    assert result.l0 == pytest.approx(float((f > 0).sum(1).double().mean()), rel=1e-6)
    assert result.fvu == pytest.approx(float(error / variance), rel=1e-5)
    assert result.held_out_tokens == len(raw)
    assert result.mse is not None
    assert result.l1 is not None
    assert result.loss == pytest.approx(result.mse + 0.5 * result.l1)


def test_train_with_another_seed_over_a_checkpoint_is_refused(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    train_killed_at(40, short_run, store, run_folder)
    kept = sorted((run_folder / "checkpoint").iterdir())
    with pytest.raises(SaeError, match="must be of this configuration, data and seed"):
        train(dataclasses.replace(short_run, seed=5), store, run_folder)
    assert sorted((run_folder / "checkpoint").iterdir()) == kept


def test_train_batch_larger_than_the_data_is_refused(
    short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    with pytest.raises(SaeError, match=r"trainer\.batch_size .* but got 5000"):
        train(with_trainer(short_run, batch_size=5000), store, run_folder)


def test_train_with_bfloat16_lands_near_float32(
    short_run: TrainingRequest, store: ActivationStore, tmp_path: Path
) -> None:
    results = [
        train(
            dataclasses.replace(
                short_run,
                trainer=TrainerConfig(
                    total_steps=300, batch_size=64, learning_rate=3e-3, precision=precision
                ),
            ),
            store,
            tmp_path / precision,
        )
        for precision in (Precision.fp32, Precision.bf16)
    ]
    assert results[1].fvu == pytest.approx(results[0].fvu, rel=0.02)
    assert results[1].l0 == pytest.approx(results[0].l0, rel=0.02)


def test_train_with_held_out_rows_all_alike_is_refused_before_it_begins(
    short_run: TrainingRequest, store: ActivationStore, tmp_path: Path
) -> None:
    ((held_out_ND, documents_N),) = store.held_out.blocks()
    alike = Rows([held_out_ND[:1].expand(1024, -1)], [documents_N])
    with pytest.raises(SaeError, match=r"the 1024 held-out tokens of .* must have a variance"):
        train(short_run, dataclasses.replace(store, held_out=alike), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_rows(store: ActivationStore, train_row: int | None = None) -> ActivationStore:
    """The store in two shards, with a NaN in a training row or else in held-out row 5."""
    assert isinstance(store.train, Rows)
    ((train_ND, documents_N),) = store.train.blocks()
    ((held_out_ND, held_out_N),) = store.held_out.blocks()
    train_ND, held_out_ND = train_ND.clone(), held_out_ND.clone()
    if train_row is None:
        held_out_ND[5, 2] = torch.nan
    else:
        train_ND[train_row, 3] = torch.inf
    names = ["shard a", "shard b"]
    train_rows = Rows(train_ND.split(3000), documents_N.split(3000), names)
    held_out = Rows([held_out_ND], [held_out_N], ["shard c"])
    return dataclasses.replace(store, train=train_rows, held_out=held_out)


@pytest.mark.parametrize(("row", "shard", "number"), [(17, "a", 17), (3100, "b", 100)])
def test_train_on_a_row_not_finite_names_shard_and_row(
    row: int,
    shard: str,
    number: int,
    short_run: TrainingRequest,
    store: ActivationStore,
    run_folder: Path,
) -> None:
    request = with_trainer(short_run, total_steps=70)  # more than one pass over the rows
    expected = rf"^shard {shard} must be finite, but row {number} is not\.$"
    with pytest.raises(SaeError, match=expected):
        train(request, with_rows(store, row), run_folder)


@pytest.mark.parametrize("controller", Controller)
def test_train_with_a_held_out_row_not_finite_names_it(
    controller: Controller, short_run: TrainingRequest, store: ActivationStore, run_folder: Path
) -> None:
    trainer = dataclasses.replace(short_run.trainer, controller=controller)
    request = dataclasses.replace(short_run, trainer=trainer, target_l0_count=4.0)
    with pytest.raises(SaeError, match=r"^shard c must be finite, but row 5 is not\.$"):
        train(request, with_rows(store), run_folder)
    assert not (run_folder / "history.csv").exists()  # before it is trained
