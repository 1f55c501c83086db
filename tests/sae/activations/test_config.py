from typing import Any

import pytest
from omegaconf import OmegaConf

from sae.activations.config import (
    ActivationsConfig,
    ActivationSource,
    StreamConfig,
    SyntheticConfig,
)
from sae.errors import SaeError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layer": 0}, "activations.layer must be positive, but got 0."),
        ({"max_tokens": -3}, "activations.max_tokens must be positive, but got -3."),
        (
            {"max_tokens": 100, "held_out_tokens": 100},
            "activations.held_out_tokens must be below activations.max_tokens (100), but got 100.",
        ),
        ({"outlier_norm": 1.0}, "activations.outlier_norm must be above 1, but got 1.0."),
        (
            {"outlier_norm": float("inf")},
            "activations.outlier_norm must be finite, but got inf.",
        ),
        (
            {"source": ActivationSource.folder, "path": "acts", "outlier_norm": 10.0},
            "activations.outlier_norm must be left out with activations=folder, which does not "
            "read it (activations=demo|npy|dataset does; sae-activations does when it writes a "
            "folder), but got 10.0.",
        ),
        (
            {"source": ActivationSource.folder},
            "activations.path must be given when activations.source is 'folder', but got None.",
        ),
        (
            {"source": ActivationSource.dataset, "path": "set"},
            "activations.column must be given when activations.source is 'dataset', but got None.",
        ),
    ],
)
def test_activations_config_out_of_range_names_key_rule_and_value(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SaeError) as error:
        ActivationsConfig(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"path": "/nonexistent"},
            "activations.path must be left out with activations=demo, which does not read it "
            "(activations=folder|npy|dataset does), but got '/nonexistent'.",
        ),
        (
            {"column": "hidden"},
            "activations.column must be left out with activations=demo, which does not read it "
            "(activations=dataset does), but got 'hidden'.",
        ),
        (
            {"synthetic": SyntheticConfig(d_in=768)},
            "activations.synthetic.d_in must be left out with activations=demo, which does not "
            "read it (activations=synthetic does), but got 768.",
        ),
        (
            {"stream": StreamConfig(model="gpt2")},
            "activations.stream.model must be left out with activations=demo, which does not "
            "read it (activations=stream does), but got 'gpt2'.",
        ),
        (
            {"source": ActivationSource.synthetic, "layer": 5},
            "activations.layer must be left out with activations=synthetic, which does not read "
            "it (activations=demo|folder|stream does), but got 5.",
        ),
    ],
)
def test_activations_config_with_a_key_of_another_source_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SaeError) as error:
        ActivationsConfig(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize("source", [ActivationSource.demo, ActivationSource.stream])
def test_activations_config_with_a_key_of_several_sources_is_taken_by_each(
    source: ActivationSource,
) -> None:
    assert ActivationsConfig(source=source, layer=5).layer == 5


def test_activations_config_of_files_may_hold_out_more_than_the_demo_extracts() -> None:
    config = ActivationsConfig(
        source=ActivationSource.npy, path="rows.npy", held_out_tokens=400_000
    )
    assert config.held_out_tokens > config.max_tokens


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_in": 0}, "activations.synthetic.d_in must be positive, but got 0."),
        ({"d_in": 2**63}, f"activations.synthetic.d_in must be below 2^63, but got {2**63}."),
        (
            {"noise": float("nan")},
            "activations.synthetic.noise must be finite and not negative, but got nan.",
        ),
        (
            {"mean_norm": -1.0},
            "activations.synthetic.mean_norm must be finite and not negative, but got -1.0.",
        ),
        (
            {"n_features": 3, "active_features": 4},
            "activations.synthetic.active_features must be at most n_features (3), but got 4.",
        ),
    ],
)
def test_synthetic_config_out_of_range_names_key_rule_and_value(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SaeError) as error:
        SyntheticConfig(**fields)
    assert str(error.value) == message


def test_activations_config_composes_as_a_structured_config() -> None:
    schema = OmegaConf.structured(ActivationsConfig)
    for node in (schema, schema.synthetic):  # frozen classes become read-only nodes
        OmegaConf.set_readonly(node, None)
    chosen = OmegaConf.create({"source": "synthetic", "synthetic": {"d_in": 12}})
    merged = OmegaConf.merge(schema, chosen)
    config = OmegaConf.to_object(merged)
    assert isinstance(config, ActivationsConfig)
    assert config.source is ActivationSource.synthetic
    assert config.synthetic.d_in == 12
