from benchmarks.packing import Marks


def test_marks_apart_sum_each_runs_own_time() -> None:
    marks = Marks(steps=10)
    marks.at = {2: [1.0, 11.0], 8: [4.0, 15.0]}
    assert marks.apart() == 7.0


def test_marks_together_are_the_time_between_the_last_runs() -> None:
    marks = Marks(steps=10)
    marks.at = {2: [1.0, 1.5], 8: [7.0, 7.25]}
    assert marks.together() == 5.75
