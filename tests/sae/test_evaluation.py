import math

import pytest
import torch

from sae.evaluation import CentredMoments, clustered_standard_error, tokens_at_once


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


def test_centred_moments_in_batches_agree_with_float64_of_all() -> None:
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) + 0.3
    moments = CentredMoments(5, torch.device("cpu"))
    for part in x.split(64):
        moments.add(part)
    expected = (x.double() - x.double().mean(0)).square().sum()
    assert moments.total_variance() == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("latent_dim", "tokens"), [(16, 2048), (4096, 2048), (16384, 512), (65536, 128), (10**7, 64)]
)
def test_tokens_at_once_of_wider_saes_are_fewer(latent_dim: int, tokens: int):
    assert tokens_at_once(latent_dim) == tokens
