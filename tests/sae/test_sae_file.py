import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.errors import SaeError
from sae.sae_file import CONFIG_NAME, WEIGHTS_NAME, load

D, F = 6, 10


def standard_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(folder: Path, tensors: dict[str, Tensor], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    content: dict[str, Any] = {"architecture": "standard", "d_in": D, "d_sae": F}
    (folder / CONFIG_NAME).write_text(json.dumps(content | config))
    save_file(tensors, folder / WEIGHTS_NAME)
    return folder


def test_load_standard_encodes_and_decodes_as_written(tmp_path: Path) -> None:
    tensors = standard_tensors()
    sae = load(write(tmp_path / "sae", tensors))
    x = torch.randn(3, 5, D)
    f = torch.relu((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"])
    torch.testing.assert_close(sae.encode(x), f)
    torch.testing.assert_close(sae.decode(f), f @ tensors["W_dec"] + tensors["b_dec"])
    torch.testing.assert_close(sae(x), sae.decode(sae.encode(x)))


def test_load_without_decoder_bias_on_the_input_does_not_subtract_it(tmp_path: Path) -> None:
    tensors = standard_tensors()
    sae = load(write(tmp_path / "sae", tensors, apply_b_dec_to_input=False))
    x = torch.randn(4, D)
    torch.testing.assert_close(sae.encode(x), torch.relu(x @ tensors["W_enc"] + tensors["b_enc"]))


def test_encode_half_precision_input_is_computed_in_float32(tmp_path: Path) -> None:
    sae = load(write(tmp_path / "sae", standard_tensors()))
    assert sae.encode(torch.randn(2, D).half()).dtype == torch.float32


def test_encode_another_width_is_refused(tmp_path: Path) -> None:
    sae = load(write(tmp_path / "sae", standard_tensors()))
    with pytest.raises(SaeError, match="must have d_in 6, but got 7"):
        sae.encode(torch.zeros(2, 7))


def test_encode_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    sae = load(write(tmp_path / "sae", standard_tensors()))
    with pytest.raises(SaeError, match=r"^Activations must be a torch\.Tensor, but got a list\.$"):
        sae.encode([[0.0] * D])  # pyright: ignore[reportArgumentType]


def test_encode_a_single_number_is_refused(tmp_path: Path) -> None:
    sae = load(write(tmp_path / "sae", standard_tensors()))
    with pytest.raises(SaeError, match="must have d_in 6, but got a single number"):
        sae.encode(torch.tensor(1.0))


@pytest.mark.parametrize("key", ["d_in", "d_sae"])
def test_load_size_that_is_no_whole_number_is_refused(tmp_path: Path, key: str) -> None:
    folder = write(tmp_path / "sae", standard_tensors(), **{key: "6"})
    with pytest.raises(SaeError, match=f"{key} must be a whole number, but got '6'"):
        load(folder)


def test_metadata_of_a_foreign_file_without_any_is_empty(tmp_path: Path) -> None:
    assert load(write(tmp_path / "sae", standard_tensors(), metadata=None)).metadata == {}


def test_load_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"cfg\.json must be readable"):
        load(tmp_path / "absent")


def test_load_missing_weights_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "sae", standard_tensors())
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(SaeError, match="must exist, but there is no such file"):
        load(folder)


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def replace_by_pickle(_: bytes) -> bytes:
    return pickle.dumps({"W_enc": [1.0]})


@pytest.mark.parametrize("damage", [truncate, replace_by_pickle])
def test_load_damaged_weights_are_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    folder = write(tmp_path / "sae", standard_tensors())
    path = folder / WEIGHTS_NAME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SaeError, match="must be a whole safetensors file"):
        load(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"d_in": 6}'])
def test_load_foreign_configuration_is_refused(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "sae", standard_tensors())
    (folder / CONFIG_NAME).write_text(text)
    with pytest.raises(SaeError, match=r"cfg\.json must be"):
        load(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "transcoder"}, "architecture must be one of .* but got 'transcoder'"),
        ({"architecture": ["standard"]}, "architecture must be one of"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations must be 'none'"),
        ({"d_in": 7}, r"W_dec must have shape \(10, 7\), but got \(10, 6\)"),
    ],
)
def test_load_configuration_that_does_not_match_is_refused(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    folder = write(tmp_path / "sae", standard_tensors(), **config)
    with pytest.raises(SaeError, match=message):
        load(folder)


def test_load_extra_tensor_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "sae", standard_tensors() | {"threshold": torch.zeros(F)})
    with pytest.raises(SaeError, match="must hold the tensors W_dec, W_enc, b_dec, b_enc"):
        load(folder)


def gated_tensors() -> dict[str, Tensor]:
    tensors = standard_tensors()
    del tensors["b_enc"]
    generator = torch.Generator().manual_seed(1)
    return tensors | {
        name: torch.randn(F, generator=generator) for name in ("b_gate", "b_mag", "r_mag")
    }


def test_load_gated_encodes_by_its_equation(tmp_path: Path) -> None:
    tensors = gated_tensors()
    sae = load(write(tmp_path / "sae", tensors, architecture="gated"))
    x = torch.randn(7, D)
    centred = x - tensors["b_dec"]
    gate = centred @ tensors["W_enc"] + tensors["b_gate"] > 0
    gained = centred @ (tensors["W_enc"] * tensors["r_mag"].exp()) + tensors["b_mag"]
    torch.testing.assert_close(sae.encode(x), gate * torch.relu(gained))


def test_load_jumprelu_encodes_by_its_equation(tmp_path: Path) -> None:
    tensors = standard_tensors() | {"threshold": torch.linspace(0, 2, F)}
    sae = load(write(tmp_path / "sae", tensors, architecture="jumprelu"))
    x = torch.randn(7, D)
    h = (x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    expected = torch.where(h > tensors["threshold"], h, 0.0)
    torch.testing.assert_close(sae.encode(x), expected)


@pytest.mark.parametrize("rescale", [False, True])
def test_load_topk_keeps_the_strongest(tmp_path: Path, rescale: bool) -> None:
    tensors = standard_tensors()
    folder = write(
        tmp_path / "sae", tensors, architecture="topk", k=3, rescale_acts_by_decoder_norm=rescale
    )
    x = torch.randn(7, D)
    norms = tensors["W_dec"].norm(dim=1) if rescale else torch.ones(F)
    h = ((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]) * norms
    f = torch.where(h >= h.topk(3).values[:, -1:], torch.relu(h), 0.0)
    sae = load(folder)
    torch.testing.assert_close(sae.encode(x), f)
    expected = (f / norms) @ tensors["W_dec"] + tensors["b_dec"]
    torch.testing.assert_close(sae(x), expected)


def test_load_topk_with_a_decoder_row_of_zeros_gives_it_no_part(tmp_path: Path) -> None:
    tensors = standard_tensors()
    tensors["W_dec"][4] = 0
    folder = write(
        tmp_path / "sae", tensors, architecture="topk", k=F, rescale_acts_by_decoder_norm=True
    )
    x = torch.randn(7, D)
    f = torch.relu((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"])
    torch.testing.assert_close(load(folder)(x), f @ tensors["W_dec"] + tensors["b_dec"])


@pytest.mark.parametrize("k", [None, 0, 11, "3", True])
def test_load_topk_with_a_k_that_cannot_be_is_refused(tmp_path: Path, k: object) -> None:
    folder = write(tmp_path / "sae", standard_tensors(), architecture="topk", k=k)
    with pytest.raises(SaeError, match=r"k must be from 1 to d_sae \(10\), but got"):
        load(folder)


def test_to_another_device_reconstructs_alike(tmp_path: Path) -> None:
    sae = load(write(tmp_path / "sae", standard_tensors()))
    x = torch.randn(2, D)
    assert torch.equal(sae.to("cpu")(x), sae(x))
