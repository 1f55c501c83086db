from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import random_search
from benchmarks.random_search import FACTOR, drawn, known_alpha


def test_drawn_alphas_are_spread_evenly_in_their_logarithm_within_the_factor() -> None:
    random = np.random.default_rng(0)
    alphas = np.concatenate([drawn(2.0, random) for _ in range(500)])
    logs = np.log(alphas / 2.0) / np.log(FACTOR)
    assert np.abs(logs).max() <= 1
    assert np.histogram(logs, 4, (-1, 1))[0] == pytest.approx([1000] * 4, rel=0.1)


def test_known_alpha_is_that_of_the_nearest_run(tmp_path: Path) -> None:
    table = pd.DataFrame({"latent_dim": 64, "l1_alpha": [1.0, 2.0, 4.0], "l0": [9.0, 6.1, 3.0]})
    table["alpha_canonical"], table["target_l0"] = table["l1_alpha"], 6.0
    table["l0_log_error"] = np.log(table["l0"] / 6)
    table.to_csv(tmp_path / "trials.csv", index=False)
    assert known_alpha(tmp_path) == 2.0


def test_known_alpha_without_a_study_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"benchmarks\.land --into"):
        known_alpha(tmp_path)


def two_and_a_half(_study: Path) -> float:
    return 2.5


def test_main_trains_until_enough_are_in_band_and_then_trains_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_search, "known_alpha", two_and_a_half)
    monkeypatch.setattr(random_search, "ALPHAS", 3)
    quick = [
        *("activations=synthetic", "activations.synthetic.d_in=16", "trainer.batch_size=128"),
        *("activations.synthetic.n_tokens=4000", "activations.synthetic.held_out_tokens=1000"),
        *("sae.latent_dim=64", "trainer.learning_rate=5e-3", "trainer.total_steps=60"),
        "sweep.tolerance=0.9",
    ]
    asked = ["--into", str(tmp_path), "--layers", "3", "--architectures", "standard"]
    asked += ["--target", "6", "--in-band", "1", "--", *quick]
    assert random_search.main(asked) == 0
    tables = [pd.read_csv(path) for path in sorted(tmp_path.glob("*/trials.csv"))]
    assert all(len(table) == 3 for table in tables)
    assert [table["in_band"].any() for table in tables] == [False] * (len(tables) - 1) + [True]
    assert all(table["l1_alpha"].between(2.5 / FACTOR, 2.5 * FACTOR).all() for table in tables)
    monkeypatch.setattr(random_search, "_train", None)
    assert random_search.main(asked) == 0
