import pandas as pd

from benchmarks.land import landing_of


def trials(in_band: list[bool | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "in_band": pd.array(in_band, dtype="boolean"),
            "l0": [80.0 - 10 * index for index in range(len(in_band))],
            "alpha_canonical": [1.0 + index for index in range(len(in_band))],
        }
    )


def test_landing_of_third_trial_in_band_counts_three() -> None:
    landing = landing_of(3, "32", trials([False, None, True, True]), seconds=1.0)

    assert landing.trials == 3
    assert landing.path == "80.0, 70.0, 60.0, 50.0"


def test_landing_of_none_in_band_has_no_count() -> None:
    assert landing_of(3, "32", trials([False, None]), seconds=1.0).trials is None
