import pandas as pd

from benchmarks.land import Task, landing_of

TASK = Task(layer=3, architecture="standard", target="32")


def trials(in_band: list[bool | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latent_dim": [1024] * len(in_band),
            "in_band": pd.array(in_band, dtype="boolean"),
            "l0": [80.0 - 10 * index for index in range(len(in_band))],
            "alpha_canonical": [1.0 + index for index in range(len(in_band))],
        }
    )


def test_landing_of_third_trial_in_band_counts_three() -> None:
    landing = landing_of(TASK, trials([False, None, True, True]))

    assert landing.trials == 3
    assert landing.path == "80.0, 70.0, 60.0, 50.0"


def test_landing_of_none_in_band_has_no_count() -> None:
    assert landing_of(TASK, trials([False, None])).trials is None


def test_landing_of_transfer_counts_the_last_width_only() -> None:
    task = Task(layer=3, architecture="standard", target="32", widths=("512", "1024"))
    found = trials([False, True, True])
    found["latent_dim"] = [512, 512, 1024]
    assert landing_of(task, found).trials == 1
