import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.records import (
    COLUMN,
    COLUMNS,
    State,
    empty_record,
    is_missing,
    validate_record,
)

DESIGN = """
trial, cell, state, attempt, retry_of, verdict, verdict_reasons, guide_verdict, architecture,
penalty, latent_dim, d_in, l1_alpha, alpha_canonical, alpha_mode, target_l0, predicted_l0,
predicted_l0_sd, prior_weights, l0, l0_se, projected_l0, projected_l0_sd, l0_bound, l0_fraction,
l0_alive_fraction, l0_log_error, in_band,
converged, fvu, mse, l1, loss, dead_fraction, dead_fraction_window, alive, resampled,
held_out_tokens,
density, decoder_cosine, dictionary_cosine, dictionary_recall, loss_change, loss_oscillation,
threshold_travel, learning_rate, batch_size, micro_batch, total_steps, steps_done, tokens, seed,
activations, outlier_share, objective, recipe, setting_columns, device, wall_s, started, finished,
config_hash, git_sha, dir
"""


def complete_record(**changes: Any) -> dict[str, Any]:
    known = {
        "trial": 0,
        "state": "complete",
        "latent_dim": 1024,
        "l1_alpha": 2.5,
        "alpha_canonical": 2.5,
        "l0": 51.2,
        "converged": True,
        "verdict_reasons": ["l0 is in band"],
        "prior_weights": {"theory": 1.0},
    }
    return {**empty_record(), **known, **changes}


@pytest.mark.parametrize("value", [None, math.nan, np.float64("nan"), pd.NA, pd.NaT])
def test_is_missing_every_sign_of_a_missing_value_is(value: object):
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "", np.int64(3), np.float32(1), True, math.inf])
def test_is_missing_a_value_is_not(value: object):
    assert not is_missing(value)


def test_columns_are_those_of_the_trial_record_in_order():
    wanted = [name.strip() for name in DESIGN.replace("\n", " ").split(",")]
    assert [column.name for column in COLUMNS] == wanted


def test_columns_each_have_a_meaning():
    assert all(column.meaning for column in COLUMNS)


def test_validate_record_complete_passes():
    validate_record(complete_record())


def test_validate_record_searched_key_passes():
    validate_record(complete_record(**{"trainer.warmup": 100}))


def test_validate_record_running_without_l0_passes():
    validate_record({"state": "running", "latent_dim": 1024})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("state", None, "state must be in every trial record"),
        ("state", "done", "state must be one of complete, pruned"),
        ("l0", None, "l0 must be known for a complete trial"),
        ("l0", math.nan, "l0 must be finite, but got nan"),
        ("l0", 2000.0, r"l0 must be at most latent_dim \(1024\), but got 2000.0"),
        ("l0", "many", "l0 must be a number, but got 'many'"),
        ("l1_alpha", -1.0, "l1_alpha must be at least 0, but got -1.0"),
        ("latent_dim", 0, "latent_dim must be at least 1, but got 0"),
        ("latent_dim", 10.5, "latent_dim must be a whole number, but got 10.5"),
        ("latent_dim", True, "latent_dim must be a whole number, but got True"),
        ("seed", 2**63, "seed must be below 2\\^63, but got 9223372036854775808"),
        pytest.param("l0", 10**400, "l0 must be finite, but got 10", id="l0-beyond-floats"),
        ("dead_fraction", 1.5, "dead_fraction must be at most 1, but got 1.5"),
        ("converged", 1, "converged must be true or false, but got 1"),
        ("activations", 3, "activations must be text, but got 3"),
        ("verdict", "good", "verdict must be one of success, warning, failure"),
    ],
)
def test_validate_record_bad_value_names_key_rule_and_value(key: str, value: Any, message: str):
    with pytest.raises(AnalysisError, match=message):
        validate_record(complete_record(**{key: value}))


def test_state_interrupted_is_not_finished():
    assert not State.interrupted.is_finished()
    assert State.pruned.is_finished()


def test_column_lookup_holds_every_column():
    assert len(COLUMN) == len(COLUMNS)
