from dataclasses import replace

import pytest
import torch

from sae.activations import ActivationStore
from sae.deferred_gradient import Written
from sae.run_state import MOST_FACTORED_TOKENS, RunState
from sae.trainer_config import Precision
from sae.training import TrainingRequest


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(
    ("batch_size", "dead", "expected"),
    [
        (MOST_FACTORED_TOKENS, 0, Written.nothing),
        (MOST_FACTORED_TOKENS // 2, 5, Written.nothing),
        (MOST_FACTORED_TOKENS, 5, Written.products),
    ],
)
def test_step_writes_no_gradient_of_few_tokens_those_of_dead_latents_counted(
    batch_size: int,
    dead: int,
    expected: Written,
    short_run: TrainingRequest,
    store: ActivationStore,
) -> None:
    device = torch.device("cuda")
    trainer = replace(
        short_run.trainer, batch_size=batch_size, precision=Precision.bf16, dead_window=1e8
    )
    state = RunState(replace(short_run, trainer=trainer), store, device)
    state.trace.tokens_since_fired_F[:dead] = 1e9
    state.model.parameters["b_enc"][:dead] = -100.0
    for batch_BD in store.train_batches(batch_size, 0):
        state.take_step(batch_BD.to(device), check=False)
        if state.step == 25:
            break
    assert state.model.writes is expected
