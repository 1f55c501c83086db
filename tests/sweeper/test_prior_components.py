import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.gate import Status
from analysis.law import Law
from analysis.law_parts import WidthShape
from analysis.records import Units
from sae.activations import open_activations
from sweeper.errors import SweepError
from sweeper.prior_components import describe_law, law_component, own_rule
from sweeper.record import recipe
from sweeper.settings import Settings

App = Callable[..., int]
Compose = Callable[..., Settings]

LN_ALPHA, SD = math.log(3.0), 0.1


@pytest.fixture
def settings(quick_settings: Compose, tmp_path: Path) -> Settings:
    return quick_settings("prior=file", f"prior.path={tmp_path / 'law.json'}")


def save_law(folder: Path, settings: Settings, **changes: object) -> Path:
    """A law of the settings' own recipe, unless changes say otherwise."""
    store = open_activations(settings.activations)
    own: dict[str, Any] = {
        "architecture": "standard",
        "penalty": "l1",
        "d_in": store.d_in,
        "activations": store.name,
        "learning_rate": settings.trainer.learning_rate,
        "batch_size": settings.trainer.batch_size,
        "total_steps": settings.trainer.total_steps,
        "searched": {"recipe": recipe(settings)},
        "unknown": [],
    }
    shape = WidthShape(
        latent_dim=64,
        log_alpha=LN_ALPHA,
        slope=-1.2,
        slope_sd=0.1,
        curvature=0.0,
        l0_low=4.0,
        l0_high=9.0,
    )
    law = Law(
        target_l0=6.0,
        units=Units.canonical,
        status=Status.provisional,
        missing=(),
        recipe=own | changes,
        reference_width=64.0,
        intercept=LN_ALPHA,
        beta=0.0,
        covariance=((SD**2, 0.0), (0.0, 0.01)),
        between_width_scatter=0.0,
        noise=0.02,
        shapes=(shape,),
        budget=None,
        intervals={},
        data_hash="0" * 64,
    )
    path = folder / "law.json"
    law.save(path)
    return path


def test_law_component_of_its_own_recipe_is_not_widened(
    tmp_path: Path, settings: Settings
) -> None:
    store = open_activations(settings.activations)
    path = save_law(tmp_path, settings)
    component = law_component(settings, store, path)
    assert (component.mean, component.sd) == (pytest.approx(LN_ALPHA), pytest.approx(SD))
    assert describe_law(settings, store) == f"prior from {path}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"activations": "other"}, "activations"),
        ({"searched": {"recipe": "0123abcd trainer.decay_fraction=0.5"}}, "recipe"),
    ],
)
def test_law_component_of_other_data_or_recipe_is_widened_and_said_so(
    tmp_path: Path, settings: Settings, changes: dict[str, object], named: str
) -> None:
    store = open_activations(settings.activations)
    path = save_law(tmp_path, settings, **changes)
    widened = math.hypot(SD, own_rule(settings, store).sd)
    assert law_component(settings, store, path).sd == pytest.approx(widened)
    line = f"prior from {path}; widened, since these differ: {named}"
    assert describe_law(settings, store) == line


def test_law_component_of_another_value_of_a_key_that_had_its_own_column_is_widened(
    tmp_path: Path, settings: Settings
) -> None:
    store = open_activations(settings.activations)
    key, own = "trainer.alpha_warmup", settings.trainer.alpha_warmup
    rest = recipe(settings, apart=[key])
    save_law(tmp_path, settings, searched={"recipe": rest, key: own})
    assert "differ" not in (describe_law(settings, store) or "")
    save_law(tmp_path, settings, searched={"recipe": rest, key: own + 0.1})
    assert "these differ: recipe" in (describe_law(settings, store) or "")


def test_law_component_of_another_d_in_is_refused_in_one_line(
    tmp_path: Path, settings: Settings
) -> None:
    path = save_law(tmp_path, settings, d_in=384)
    with pytest.raises(SweepError) as caught:
        law_component(settings, open_activations(settings.activations), path)
    assert str(caught.value) == (
        f"prior.path must hold a law of d_in=16, but that of {str(path)!r} is of d_in=384."
    )


def test_describe_law_is_silent_where_there_is_no_file(quick_settings: Compose) -> None:
    theory = quick_settings("prior=theory")
    assert describe_law(theory, open_activations(theory.activations)) is None


@pytest.mark.parametrize("flags", [(), ("--multirun", "sweep.n_trials=1")])
def test_app_with_a_law_of_other_activations_says_that_it_is_widened(
    app: App,
    tmp_path: Path,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
) -> None:
    path = save_law(tmp_path, settings, activations="other")
    asked = "prior=file", f"prior.path={path}", "trainer.total_steps=20"
    assert app(*flags, *asked) in (0, 1)
    line = f"prior from {path}; widened, since these differ: activations"
    assert line in capsys.readouterr().out
