import pytest
import torch

from sae.architectures.base import initial_weights
from sae.architectures.config import Architecture, SaeConfig
from sae.errors import SaeError

CPU = torch.device("cpu")


def test_architecture_member_names_are_what_the_user_types() -> None:
    assert all(member.name == member.value for member in Architecture)


@pytest.mark.parametrize("latent_dim", [0, -4])
def test_sae_config_latent_dim_not_positive_is_refused(latent_dim: int) -> None:
    with pytest.raises(
        SaeError, match=rf"^sae\.latent_dim must be positive, but got {latent_dim}"
    ):
        SaeConfig(latent_dim=latent_dim)


def test_sae_config_decoder_init_norm_nan_is_refused() -> None:
    with pytest.raises(SaeError, match=r"^sae\.decoder_init_norm must be positive, but got nan"):
        SaeConfig(decoder_init_norm=float("nan"))


def test_initial_weights_are_tied_and_of_the_set_norm_with_whole_latents_in_memory() -> None:
    config = SaeConfig(latent_dim=24, decoder_init_norm=0.3)
    weights = initial_weights(config, 8, torch.Generator().manual_seed(0), CPU)
    torch.testing.assert_close(weights["W_dec"].norm(dim=1), torch.full((24,), 0.3))
    assert torch.equal(weights["W_enc"], weights["W_dec"].t())
    assert weights["W_enc"].t().is_contiguous()
    assert weights["W_dec"].is_contiguous()
    assert not weights["b_enc"].any()
    assert not weights["b_dec"].any()


def test_initial_weights_untied_have_an_encoder_of_their_own_and_the_same_decoder() -> None:
    tied, free = (
        initial_weights(
            SaeConfig(latent_dim=4000, tied_init=tied), 8, torch.Generator().manual_seed(0), CPU
        )
        for tied in (True, False)
    )
    assert torch.equal(tied["W_dec"], free["W_dec"])
    torch.testing.assert_close(free["W_enc"].norm(dim=0), free["W_dec"].norm(dim=1))
    cosine = (free["W_enc"].t() * free["W_dec"]).sum(1) / free["W_dec"].square().sum(1)
    assert float(cosine.mean().abs()) < 0.05
    assert free["W_enc"].t().is_contiguous()


def test_initial_weights_point_everywhere() -> None:
    config = SaeConfig(latent_dim=4000, decoder_init_norm=1.0)
    weights = initial_weights(config, 4, torch.Generator().manual_seed(0), CPU)
    assert float(weights["W_dec"].mean(0).norm()) < 0.05
