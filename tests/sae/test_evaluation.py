import math

import pytest
import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.activations.rows import Rows
from sae.activations.statistics import StatisticsAccumulator
from sae.architectures.config import SaeConfig
from sae.errors import SaeError
from sae.evaluation import (
    HeldOutMetrics,
    clustered_standard_error,
    evaluate,
    tokens_at_once,
)
from sae.sae_file import Sae


def test_clustered_standard_error_of_single_member_clusters_is_the_plain_one() -> None:
    values = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = float(values.std() / math.sqrt(500))
    assert clustered_standard_error(values, torch.arange(500)) == pytest.approx(plain)


def test_clustered_standard_error_of_equal_values_in_clusters_counts_clusters() -> None:
    clusters = torch.arange(50).repeat_interleave(10)
    means = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = float(means.std() / math.sqrt(50))
    assert clustered_standard_error(means[clusters], clusters) == pytest.approx(plain)


def test_clustered_standard_error_of_one_cluster_is_unknown() -> None:
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert math.isnan(clustered_standard_error(values, torch.zeros(2, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("latent_dim", "tokens"), [(16, 2048), (4096, 2048), (16384, 512), (65536, 128), (10**7, 64)]
)
def test_tokens_at_once_of_wider_saes_are_fewer(latent_dim: int, tokens: int):
    assert tokens_at_once(latent_dim) == tokens


def store_of(train: Tensor, held_out: Tensor) -> ActivationStore:
    accumulator = StatisticsAccumulator(train.shape[1])
    accumulator.update(train)
    return ActivationStore(
        name="rows",
        description={},
        fingerprint="",
        statistics=accumulator.result(),
        train=Rows([train], [torch.arange(len(train))]),
        held_out=Rows([held_out], [torch.arange(len(held_out))]),
    )


def measured_mean(train: Tensor, held_out: Tensor) -> HeldOutMetrics:
    """Of an SAE whose latents are all one, and that answers with the mean of the held-out rows."""
    d_in, deviation = train.shape[1], train.double().std().float()
    rows = torch.randn(3, d_in, generator=torch.Generator().manual_seed(1)) * deviation
    tensors = {
        "W_enc": torch.zeros(d_in, 3),
        "W_dec": rows,
        "b_enc": torch.ones(3),
        "b_dec": held_out.mean(0) - rows.sum(0),
    }
    sae = Sae(architecture="standard", d_in=d_in, latent_dim=3, tensors=tensors, config={})
    store, device = store_of(train, held_out), torch.device("cpu")
    return evaluate(sae, SaeConfig(latent_dim=3), store, len(held_out), device)


@pytest.mark.parametrize("unit", [1e-30, 1e-25, 1e20, 1e30])
def test_evaluate_in_any_unit_measures_the_same(unit: float) -> None:
    rows = torch.randn(600, 5, generator=torch.Generator().manual_seed(0)).double()
    metrics = measured_mean((rows[:300] * unit).float(), (rows[300:] * unit).float())
    plain = measured_mean(rows[:300].float(), rows[300:].float())
    assert metrics.fvu == pytest.approx(1.0, rel=1e-5)
    assert metrics.mse == pytest.approx(plain.mse, rel=1e-5)
    assert metrics.l1 == pytest.approx(plain.l1, rel=1e-5)
    assert metrics.decoder_cosine == pytest.approx(plain.decoder_cosine, rel=1e-5)


def test_evaluate_tokens_that_are_all_alike_are_refused() -> None:
    rows = torch.randn(600, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        SaeError, match="the 300 held-out tokens of rows must have a variance, but got 0"
    ):
        measured_mean(rows[:300], rows[300].expand(300, 5))
