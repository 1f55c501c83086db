import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
import torch
from torch import nn

from sae.activations.model import LanguageModel
from sae.activations.module_outputs import module_outputs, output_widths
from sae.errors import SaeError


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
def test_module_outputs_stop_after_the_deepest_module(
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
        names = [model.hook_name(1), model.hook_name(2)]
        outputs = module_outputs(model, names, ids, torch.ones_like(ids))
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [1, 2]
    assert [outputs[name].shape for name in names] == [(1, 3, 16), (1, 3, 16)]


@pytest.mark.parametrize("model_name", ["bert", "gpt2"])
def test_module_outputs_of_padded_chunks_equal_those_alone(
    model_name: str, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(model_name)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    name = model.hook_name(3)
    together = module_outputs(model, [name], ids, mask)[name]
    alone = module_outputs(model, [name], ids[1:, :2], mask[1:, :2])[name]
    torch.testing.assert_close(together[1, :2], alone[0], atol=1e-4, rtol=1e-4)


def test_module_outputs_of_two_threads_are_each_ones_own(bert: LanguageModel) -> None:
    name, first_is_inside = bert.hook_name(1), Event()

    def run(ids: torch.Tensor) -> torch.Tensor:
        return module_outputs(bert, [name], ids, torch.ones_like(ids))[name]

    def let_the_second_begin(_module: nn.Module, _inputs: object) -> None:
        if not first_is_inside.is_set():
            first_is_inside.set()
            time.sleep(0.1)

    batches = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9], [10, 11]])
    expected = [run(ids) for ids in batches]
    handle = bert.blocks[0].register_forward_pre_hook(let_the_second_begin)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(run, batches[0])
        first_is_inside.wait()
        second = run(batches[1])
    handle.remove()
    assert torch.equal(first.result(), expected[0])
    assert torch.equal(second, expected[1])


def test_module_outputs_leave_no_hooks_behind(bert: LanguageModel) -> None:
    ids = torch.tensor([[5, 6, 7]])
    module_outputs(bert, [bert.hook_name(2)], ids, torch.ones_like(ids))
    output = bert.network(input_ids=ids)
    assert output.last_hidden_state.shape == (1, 3, 16)


@pytest.mark.parametrize(
    ("model_name", "module", "width"),
    [
        ("bert", "encoder.layer.1.intermediate", 32),
        ("bert", "embeddings", 16),
        ("gpt2", "h.1.mlp.c_fc", 64),
        ("gpt2", "h.1.attn", 16),
        ("gpt2", "ln_f", 16),
    ],
)
def test_output_widths_of_any_module_are_its_own(
    model_name: str, module: str, width: int, request: pytest.FixtureRequest
) -> None:
    assert output_widths(request.getfixturevalue(model_name), [module]) == {module: width}


def test_module_outputs_of_a_module_that_does_not_run_are_refused(bert: LanguageModel) -> None:
    with pytest.raises(SaeError, match=r"module encoder\.layer must run when tiny-bert does"):
        output_widths(bert, ["encoder.layer"])


def test_module_outputs_of_something_else_than_activations_are_refused(
    bert: LanguageModel,
) -> None:
    with pytest.raises(SaeError, match=r"module pooler of tiny-bert must put out \[batch, pos"):
        output_widths(bert, ["pooler"])
