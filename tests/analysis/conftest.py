from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.bracketing import LocalCell
from analysis.trials import load_trials, trials_from_records

MakeCell = Callable[..., LocalCell]
MakeTrials = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def minilm(data: Path) -> pd.DataFrame:
    return load_trials(data / "l0_curves_minilm_layer3.csv")


@pytest.fixture(scope="session")
def make_cell() -> MakeCell:
    def make(
        alpha: Sequence[float], l0: Sequence[float], target: float, latent_dim: int = 1024
    ) -> LocalCell:
        return LocalCell(
            latent_dim=latent_dim,
            log_alpha=np.log(np.array(alpha, dtype=np.float64)),
            log_l0=np.log(np.array(l0, dtype=np.float64)),
            target=target,
        )

    return make


@pytest.fixture(scope="session")
def make_trials() -> MakeTrials:
    """Complete, converged trials from (latent_dim, alpha, l0) rows; keywords fill columns."""

    def make(rows: Sequence[tuple[int, float, float]], **columns: object) -> pd.DataFrame:
        shared = {
            "state": "complete",
            "converged": True,
            "architecture": "standard",
            "penalty": "l1",
            "d_in": 384,
            "activations": "demo",
            "learning_rate": 1e-3,
            "batch_size": 512,
            "total_steps": 600,
            "seed": 0,
        }
        return trials_from_records(
            {
                **shared,
                "trial": number,
                "latent_dim": width,
                "l1_alpha": alpha,
                "alpha_canonical": alpha,
                "l0": l0,
                **columns,
            }
            for number, (width, alpha, l0) in enumerate(rows)
        )

    return make
