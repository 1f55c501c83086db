from itertools import islice

import torch

from sae.activations import ActivationStore
from sae.batch_stream import BatchStream
from sae.device_batches import batches_on


def test_batches_on_a_device_are_those_of_the_store(
    store: ActivationStore, device: torch.device
) -> None:
    expected = list(islice(store.train_batches(64, 0), 20))
    stream = BatchStream(store=store, batch_size=64, seed=0, device=device)
    moved = list(islice(stream.batches(0), 20))
    assert all(batch.device.type == device.type for batch in moved)
    assert torch.equal(torch.stack(moved).cpu(), torch.stack(expected))


def test_batches_on_the_cpu_are_asked_for_one_at_a_time() -> None:
    asked: list[int] = []

    def batches():
        for number in range(5):
            asked.append(number)
            yield torch.zeros(1)

    next(batches_on(torch.device("cpu"), batches()))
    assert asked == [0]
