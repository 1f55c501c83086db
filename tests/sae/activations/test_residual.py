from functools import partial

import pytest
import torch
from torch import nn

from sae.activations.model import LanguageModel
from sae.activations.residual import residual_streams


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
def test_residual_streams_stop_after_the_deepest_layer(
    model_name: str, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(model_name)
    ran: list[int] = []

    def note(number: int, _module: nn.Module, _inputs: object) -> None:
        ran.append(number)

    handles = [
        block.register_forward_pre_hook(partial(note, number))
        for number, block in enumerate(model.blocks, start=1)
    ]
    ids = torch.tensor([[5, 6, 7]])
    try:
        streams = residual_streams(model, [1, 2], ids, torch.ones_like(ids))
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [1, 2]
    assert {layer: stream.shape for layer, stream in streams.items()} == {
        1: (1, 3, 16),
        2: (1, 3, 16),
    }


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
def test_residual_streams_of_padded_chunks_equal_those_alone(
    model_name: str, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(model_name)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    together = residual_streams(model, [3], ids, mask)[3]
    alone = residual_streams(model, [3], ids[1:, :2], mask[1:, :2])[3]
    torch.testing.assert_close(together[1, :2], alone[0], atol=1e-4, rtol=1e-4)


def test_residual_streams_leave_no_hooks_behind(bert: LanguageModel) -> None:
    ids = torch.tensor([[5, 6, 7]])
    residual_streams(bert, [2], ids, torch.ones_like(ids))
    output = bert.network(input_ids=ids)
    assert output.last_hidden_state.shape == (1, 3, 16)
