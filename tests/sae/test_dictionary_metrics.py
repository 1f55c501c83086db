import pytest
import torch

from sae.dictionary_metrics import density_histogram, mean_nearest_cosine, recovery


def test_density_histogram_puts_a_frequency_on_an_edge_above_it() -> None:
    firings = torch.tensor([0.0, 1.0, 100.0, 9_999.0, 10_000.0, 100_000.0])
    assert density_histogram(firings, 100_000) == {
        "never": 1,
        "below 1e-05": 0,
        "from 1e-05": 1,
        "from 0.0001": 0,
        "from 0.001": 1,
        "from 0.01": 1,
        "from 0.1": 2,
    }


def test_density_histogram_counts_every_latent_once() -> None:
    firings = torch.randint(0, 50, (300,)).float()
    assert sum(density_histogram(firings, 1000).values()) == 300


def test_mean_nearest_cosine_ignores_a_row_with_itself_and_its_length() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    assert mean_nearest_cosine(rows) == pytest.approx(0.5**0.5)


def test_mean_nearest_cosine_above_the_limit_compares_some_rows_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = torch.randn(41, 4, generator=torch.Generator().manual_seed(0))
    unit = rows / rows.norm(dim=1, keepdim=True)
    nearest = (unit @ unit.t()).fill_diagonal_(-1).amax(1)
    monkeypatch.setattr("sae.dictionary_metrics.COMPARED", 5)
    assert mean_nearest_cosine(rows) == pytest.approx(float(nearest[::10].mean()), rel=1e-5)


def test_mean_nearest_cosine_of_one_latent_is_unknown() -> None:
    assert mean_nearest_cosine(torch.ones(1, 3)) is None


def test_recovery_of_half_the_features_finds_that_half() -> None:
    features = torch.eye(4)
    decoder = torch.cat([5 * features[:2], torch.tensor([[0.0, 0.0, 1.0, 1.0]])])
    cosine, recall = recovery(decoder, features)
    assert recall == 0.5
    assert cosine == pytest.approx((2 + 2 * 0.5**0.5) / 4)
