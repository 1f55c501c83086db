from benchmarks.overhead import greedy_seconds


def test_greedy_seconds_next_trial_goes_to_the_first_free_slot() -> None:
    assert greedy_seconds([2.0, 0.5, 2.0, 0.5], slots=2) == 2.5
    assert greedy_seconds([1.0, 1.0, 1.0], slots=1) == 3.0
