import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sae.activations.corpus import Corpus
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import open_folder, verify_folder
from sae.activations.manifest import Split, StorageType, read_manifest
from sae.activations.model import LanguageModel
from sae.activations.rows import Rows
from sae.errors import SaeError


class Usage(NamedTuple):
    """As `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


SMALL = ExtractionConfig(layers=(1, 2), held_out_tokens=60, shard_tokens=100)


def stored(folder: Path) -> dict[str, Tensor]:
    """All shards of a folder, one after the other."""
    shards = [load_file(folder / shard.file) for shard in read_manifest(folder).shards]
    return {key: torch.cat([shard[key] for shard in shards]) for key in shards[0]}


def reference(model: LanguageModel, corpus: Corpus, layer: int) -> dict[tuple[int, int], Tensor]:
    """Hidden states of each document, chunk by chunk and unpadded, by (document, position)."""
    rows: dict[tuple[int, int], Tensor] = {}
    special = 2 if model.tokenizer.cls_token else 0
    for number, document in enumerate(corpus.documents):
        ids = model.tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
        place = 0
        for chunk in torch.tensor(ids).split(32 - special):
            if special:
                ends = model.tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
                chunk = torch.cat([torch.tensor(ends[:1]), chunk, torch.tensor(ends[1:])])
            with torch.no_grad():
                output = model.network(input_ids=chunk[None], output_hidden_states=True)
            states = output.hidden_states[layer][0]
            for row in states[1:-1] if special else states:
                rows[number, place] = row
                place += 1
    return rows


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
@pytest.mark.parametrize("layer", [1, 2])
def test_extract_rows_equal_the_models_own_hidden_states(
    model_name: str, layer: int, corpus: Corpus, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(model_name)
    folders = extract(model, corpus, SMALL, tmp_path)
    expected = reference(model, corpus, layer)
    got = stored(folders[layer - 1])
    assert len(got["activations"]) == len(expected) == 340
    place: dict[int, int] = {}
    for row, document in zip(got["activations"], got["document_ids"].tolist(), strict=True):
        position = place.get(document, 0)
        place[document] = position + 1
        torch.testing.assert_close(row, expected[document, position], atol=1e-4, rtol=1e-4)


def test_extract_last_layer_of_an_encoder_equals_its_last_hidden_state(
    bert: LanguageModel, tmp_path: Path
) -> None:
    documents = Corpus(name="two", documents=("w1 w2 w3", "w4 w5"))
    config = ExtractionConfig(layers=(3,), held_out_tokens=1)
    got = stored(extract(bert, documents, config, tmp_path)[0])
    expected = reference(bert, documents, 3)
    for document in (0, 1):
        rows = got["activations"][got["document_ids"] == document]
        own = torch.stack([row for (number, _), row in expected.items() if number == document])
        torch.testing.assert_close(rows, own, atol=1e-4, rtol=1e-4)


def test_extract_keeps_the_token_of_every_row(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    got = stored(extract(bert, corpus, SMALL, tmp_path)[0])
    for number, document in enumerate(corpus.documents):
        ids = got["token_ids"][got["document_ids"] == number].tolist()
        assert bert.tokenizer.convert_ids_to_tokens(ids) == document.split()


@pytest.mark.parametrize("seed", range(4))
def test_extract_holds_out_other_documents_than_it_trains_on(
    seed: int, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    config = ExtractionConfig(layers=(1,), max_tokens=200, held_out_tokens=60, seed=seed)
    store = open_folder(extract(bert, corpus, config, tmp_path)[0])
    assert isinstance(store.train, Rows)
    train = store.train.document_ids(torch.arange(store.n_train))
    held_out = store.held_out.document_ids(torch.arange(store.n_held_out))
    assert (store.n_train, store.n_held_out) == (140, 60)
    assert not set(train.tolist()) & set(held_out.tolist())


def test_extract_of_many_chunks_keeps_rows_with_their_tokens(
    bert: LanguageModel, tmp_path: Path
) -> None:
    # More than one batch in a window, and more than one window, of seven lengths in turn.
    texts = tuple(" ".join(["w1 w2 w3 w4 w5"] * (1 + 5 * n % 7)) for n in range(7))
    many = Corpus(name="many", documents=texts * 43)
    config = ExtractionConfig(layers=(2,), held_out_tokens=60)
    got = stored(extract(bert, many, config, tmp_path)[0])
    expected = reference(bert, Corpus(name="texts", documents=texts), 2)
    place: dict[int, int] = {}
    own: list[Tensor] = []
    for document in got["document_ids"].tolist():
        place[document] = place.get(document, -1) + 1
        own.append(expected[document % 7, place[document]])
    assert len(own) > 4096
    torch.testing.assert_close(got["activations"], torch.stack(own), atol=1e-4, rtol=1e-4)


def test_extract_statistics_are_those_of_the_training_rows(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    folder = extract(bert, corpus, SMALL, tmp_path)[0]
    store = open_folder(folder)
    assert isinstance(store.train, Rows)
    rows = store.train.gather(torch.arange(store.n_train)).double()
    torch.testing.assert_close(store.mean.double(), rows.mean(dim=0), atol=1e-6, rtol=1e-6)
    centred = (rows - rows.mean(dim=0)).square().sum(dim=1).mean()
    assert store.scale == pytest.approx(float((16 / centred) ** 0.5))
    assert store.raw_mean_norm == pytest.approx(float(rows.norm(dim=1).mean()))
    verify_folder(folder)


@pytest.mark.parametrize("max_tokens", [150, 200])
def test_extract_stops_at_max_tokens_exactly(
    max_tokens: int, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    config = ExtractionConfig(layers=(1,), max_tokens=max_tokens, held_out_tokens=5)
    manifest = read_manifest(extract(bert, corpus, config, tmp_path)[0])
    assert manifest.tokens(Split.train) + manifest.tokens(Split.held_out) == max_tokens


def test_extract_takes_no_more_of_a_document_than_document_tokens(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    config = ExtractionConfig(layers=(1,), held_out_tokens=5, document_tokens=35)
    documents = stored(extract(bert, corpus, config, tmp_path)[0])["document_ids"]
    assert torch.bincount(documents).tolist() == [5, 35, 1, 12, 31, 30, 29, 35, 8, 35, 3, 17]


def test_extract_again_leaves_the_same_recipe_alone(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    (folder,) = extract(bert, corpus, ExtractionConfig(layers=(2,), held_out_tokens=60), tmp_path)
    written = (folder / "manifest.json").stat().st_mtime_ns
    both = ExtractionConfig(layers=(1, 2), held_out_tokens=60)
    assert [path.name for path in extract(bert, corpus, both, tmp_path)] == ["layer_1", "layer_2"]
    assert (folder / "manifest.json").stat().st_mtime_ns == written


def test_extract_twice_gives_the_same_fingerprint(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    folders = [extract(bert, corpus, SMALL, tmp_path / name)[0] for name in ("a", "b")]
    first, second = map(read_manifest, folders)
    assert first.fingerprint == second.fingerprint


def test_extract_over_another_recipe_is_refused(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    extract(bert, corpus, SMALL, tmp_path)
    other = ExtractionConfig(layers=(1,), held_out_tokens=61)
    with pytest.raises(SaeError, match="but has held_out_tokens 60 where 61 is asked"):
        extract(bert, corpus, other, tmp_path)


def test_extract_into_a_folder_of_other_files_is_refused(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "layer_1").mkdir()
    with pytest.raises(SaeError, match=r"layer_1 must be new, but holds other files\."):
        extract(bert, corpus, SMALL, tmp_path)


def test_extract_into_a_folder_of_activations_without_recipe_is_refused(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    (folder,) = extract(bert, corpus, ExtractionConfig(layers=(1,), held_out_tokens=9), tmp_path)
    content = json.loads((folder / "manifest.json").read_text())
    del content["description"]["recipe"]
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(SaeError, match=r"must be new, but holds other activations\."):
        extract(bert, corpus, SMALL, tmp_path)


class StopAt:
    """Breaks an extraction off, as a killed process does, before a run of the model."""

    def __init__(self, model: LanguageModel, run: int | None = None) -> None:
        self.runs = 0
        self._stop = run
        self._model = model

    def __enter__(self) -> "StopAt":
        self._handle = self._model.network.register_forward_pre_hook(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _count(self, *_: object) -> None:
        self.runs += 1
        if self.runs == self._stop:
            raise KeyboardInterrupt


RESUMED = ExtractionConfig(
    layers=(1,), modules=("encoder.layer.1.attention",), held_out_tokens=60, shard_tokens=40
)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sae.activations.extraction.WINDOW_CHUNKS", 2)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("run", [2, 5, 9, 11])
@pytest.mark.parametrize("outlier_norm", [None, 1.05])
def test_extract_killed_goes_on_and_ends_with_the_same_bytes(
    run: int, outlier_norm: float | None, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    config = replace(RESUMED, outlier_norm=outlier_norm)
    with StopAt(bert) as whole:
        extract(bert, corpus, config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt), StopAt(bert, run):
        extract(bert, corpus, config, tmp_path / "killed")
    with StopAt(bert) as rest:
        extract(bert, corpus, config, tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert rest.runs < whole.runs or run == 2


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("harm", ["shard", "progress", "recipe"])
def test_extract_over_unusable_remains_begins_anew(
    harm: str, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    extract(bert, corpus, RESUMED, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt), StopAt(bert, 9):
        extract(bert, corpus, RESUMED, tmp_path / "killed")
    left = tmp_path / "killed" / ".extraction.partial"
    if harm == "shard":
        shard = left / "layer_1" / "train_00000.safetensors"
        shard.write_bytes(shard.read_bytes()[:-4] + b"\1\2\3\4")
    elif harm == "progress":
        (left / "progress.json").write_text("{")
    else:
        progress = (left / "progress.json").read_text()
        (left / "progress.json").write_text(progress.replace('"seed": 0', '"seed": 1'))
    extract(bert, corpus, RESUMED, tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
def test_extract_of_a_module_equals_what_it_puts_out(
    model_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(model_name)
    module = {"bert": "encoder.layer.1.intermediate", "gpt2": "h.1.mlp.c_fc"}[model_name]
    documents = Corpus(name="two", documents=("w1 w2 w3", "w4 w5"))
    config = ExtractionConfig(layers=(), modules=(module,), held_out_tokens=1)
    (folder,) = extract(model, documents, config, tmp_path)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(output[0].detach())

    handle = model.network.get_submodule(module).register_forward_hook(keep)
    model.network(**model.tokenizer("w4 w5", return_tensors="pt"))
    handle.remove()
    rows = stored(folder)
    special = model_name == "bert"
    expected = seen[0][1:-1] if special else seen[0]
    torch.testing.assert_close(rows["activations"][rows["document_ids"] == 1], expected)
    assert (folder.name, read_manifest(folder).name) == (module, f"{model.name} {module}")
    assert read_manifest(folder).description["hook_name"] == module


def test_extract_of_outliers_drops_and_counts_them(
    gpt2: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    everything = stored(extract(gpt2, corpus, SMALL, tmp_path / "all")[1])["activations"]
    config = ExtractionConfig(layers=(2,), held_out_tokens=60, outlier_norm=1.05)
    (folder,) = extract(gpt2, corpus, config, tmp_path / "some")
    description = read_manifest(folder).description
    kept = stored(folder)["activations"]
    assert description["outlier_tokens_dropped"] == len(everything) - len(kept) > 0
    assert float(kept.norm(dim=1).max()) <= description["outlier_norm_limit"]
    dropped = everything.norm(dim=1) > description["outlier_norm_limit"]
    assert torch.equal(everything[~dropped], kept)


@pytest.mark.parametrize("storage", [StorageType.float16, StorageType.bfloat16])
def test_extract_in_half_precision_stores_rounded_rows(
    storage: StorageType, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    exact = stored(extract(bert, corpus, SMALL, tmp_path / "exact")[0])["activations"]
    config = ExtractionConfig(layers=(1,), held_out_tokens=60, storage=storage)
    (folder,) = extract(bert, corpus, config, tmp_path / "half")
    assert torch.equal(stored(folder)["activations"], exact.to(storage.torch_dtype))
    verify_folder(folder)


def test_extract_of_values_beyond_float16_names_shard_and_row(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    weight = bert.network.encoder.layer[0].output.LayerNorm.weight
    original = weight.detach().clone()
    config = ExtractionConfig(layers=(1,), held_out_tokens=60, storage=StorageType.float16)
    try:
        weight.data.mul_(1e6)
        with pytest.raises(
            SaeError,
            match=r"must be finite in float16, but row 0 of shard train_00000\.safetensors \(doc",
        ):
            extract(bert, corpus, config, tmp_path)
    finally:
        weight.data.copy_(original)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"max_tokens": 341},
            r"max_tokens must be at most the \d+ that words yields, but got 341\.",
        ),
        (
            {"held_out_tokens": 340},
            r"held_out_tokens must leave documents to train on \(of 340 tokens in 12 .* 340\.",
        ),
        ({"layers": (4,)}, "layer must be from 1 to 3 for tiny-bert, but got 4"),
    ],
)
def test_extract_of_more_than_there_is_is_refused(
    fields: dict[str, Any], message: str, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    everything: dict[str, Any] = {"layers": (1,), "held_out_tokens": 5, **fields}
    config = ExtractionConfig(**everything)
    with pytest.raises(SaeError, match=message):
        extract(bert, corpus, config, tmp_path)


def test_extract_onto_a_full_disk_names_needed_and_free(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_folder: Path) -> Usage:
        return Usage(total=10**6, used=10**6 - 20_000, free=20_000)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    # 340 tokens of two layers, 16 float32 and two ids each, are 54,400 bytes.
    with pytest.raises(SaeError, match=r"must have 0\.1 MB free for 340 tokens .* got 0\.0 MB"):
        extract(bert, corpus, SMALL, tmp_path)


@pytest.mark.parametrize("output", ["file/below", "/proc/sae-activations"])
def test_extract_into_an_unwritable_folder_is_refused(
    output: str, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaeError, match=r"output folder .* must be writable, but got"):
        extract(bert, corpus, SMALL, tmp_path / output)


def test_extract_announces_tokens_and_disk_before_it_writes(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="sae.activations"):
        extract(bert, corpus, SMALL, tmp_path)
    assert "Extracting tiny-bert, layer 1, layer 2: " in caplog.text
    assert "Writes 0.1 MB" in caplog.text
