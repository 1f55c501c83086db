import pytest

from sweeper.execution import devices
from sweeper.execution.devices import describe_slots, slot_environments


@pytest.fixture(autouse=True)
def no_threads_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in devices.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)


def test_slot_environments_each_slot_gets_its_gpu_and_shares_where_there_are_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc")
    gpus = [slot["CUDA_VISIBLE_DEVICES"] for slot in slot_environments(3, "auto")]
    assert gpus == ["4", "GPU-abc", "4"]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_slot_environments_leaves_a_stated_device_alone(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert all("CUDA_VISIBLE_DEVICES" not in slot for slot in slot_environments(2, device))


@pytest.mark.parametrize(("slots", "threads"), [(2, "4"), (3, "2"), (20, "1")])
def test_slot_environments_shares_the_cores(slots: int, threads: str) -> None:
    environments = slot_environments(slots, "cpu")
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {threads}
    assert [slot["SAE_SWEEP_SLOT"] for slot in environments] == [str(i) for i in range(slots)]


def test_slot_environments_keeps_threads_that_the_user_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in slot_environments(2, "cpu")[0]
    assert describe_slots(slot_environments(2, "cpu")).endswith("with 3 threads")


def test_describe_slots_names_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert describe_slots(slot_environments(2, "auto")) == ("2 slots, a process each, on GPU 0, 1")
