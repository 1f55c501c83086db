import pytest
import torch

from sae.activations.config import SyntheticConfig
from sae.activations.rows import Rows
from sae.activations.synthetic import synthetic_activations
from sae.errors import MemoryTooSmallError

SMALL = SyntheticConfig(d_in=16, n_features=40, n_tokens=2000, held_out_tokens=200, noise=0.0)


def test_synthetic_without_noise_is_an_exact_sum_of_few_true_features() -> None:
    config = SyntheticConfig(
        d_in=64, n_features=80, active_features=3, n_tokens=50, held_out_tokens=10,
        mean_norm=0.0, noise=0.0,
    )  # fmt: skip
    store = synthetic_activations(config)
    assert store.dictionary is not None
    tokens, _ = next(store.held_out_batches(10))
    for token in tokens.double():
        # Orthogonal matching pursuit: three features leave nothing of a token of three features.
        chosen: list[int] = []
        rest = token
        for _ in range(6):
            chosen.append(int((store.dictionary.double() @ rest).abs().argmax()))
            basis = store.dictionary[chosen].double().T
            rest = token - basis @ torch.linalg.lstsq(basis, token[:, None]).solution[:, 0]
            if rest.norm() < 1e-5 * token.norm():
                break
        assert rest.norm() < 1e-5 * token.norm()


def test_synthetic_dictionary_has_more_unit_rows_than_dimensions() -> None:
    dictionary = synthetic_activations(SMALL).dictionary
    assert dictionary is not None
    assert dictionary.shape == (40, 16)
    torch.testing.assert_close(dictionary.norm(dim=1), torch.ones(40))


def test_synthetic_mean_norm_is_that_of_the_config_without_features() -> None:
    config = SyntheticConfig(d_in=16, active_features=1, mean_norm=50.0, n_tokens=2000)
    assert float(synthetic_activations(config).mean.norm()) == pytest.approx(50, rel=0.02)


def test_synthetic_drawn_twice_is_the_same() -> None:
    first, second = synthetic_activations(SMALL), synthetic_activations(SMALL)
    assert first.fingerprint == second.fingerprint
    assert torch.equal(next(first.train_batches(64, 0)), next(second.train_batches(64, 0)))


def test_synthetic_of_another_seed_differs() -> None:
    other = SyntheticConfig(
        d_in=16, n_features=40, n_tokens=2000, held_out_tokens=200, noise=0.0, seed=1
    )
    first, second = synthetic_activations(SMALL), synthetic_activations(other)
    assert first.fingerprint != second.fingerprint
    assert not torch.equal(first.mean, second.mean)


def test_synthetic_documents_are_in_one_split_only() -> None:
    store = synthetic_activations(SMALL)
    assert isinstance(store.train, Rows)
    train = set(store.train.document_ids(torch.arange(store.n_train)).tolist())
    held_out = set(store.held_out.document_ids(torch.arange(store.n_held_out)).tolist())
    assert not train & held_out
    assert (store.n_train, store.n_held_out) == (2000, 200)


@pytest.mark.parametrize("sizes", [{"n_tokens": 10**15}, {"d_in": 10**14}, {"n_tokens": 2**62}])
def test_synthetic_larger_than_the_memory_is_one_line_with_its_keys(sizes: dict[str, int]) -> None:
    with pytest.raises(
        MemoryTooSmallError,
        match=r"^activations\.synthetic\.d_in, .* must fit into the memory of cpu, but got \d+, ",
    ) as caught:
        synthetic_activations(SyntheticConfig(**sizes))
    assert str(*sizes.values()) in str(caught.value)
