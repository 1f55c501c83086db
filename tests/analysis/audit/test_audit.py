import json
import math
from pathlib import Path

import pandas as pd
import pytest

from analysis.audit import PACKAGED_JOBS, Audit, Outcome, audit
from analysis.errors import AnalysisError

FIXTURE = Path(__file__).parents[2] / "data" / "guide_jobs.csv"


@pytest.fixture(name="of_guide", scope="module")
def fixture_of_guide() -> Audit:
    return audit()


def changed_jobs(tmp_path: Path, old: str, new: str) -> Path:
    text = FIXTURE.read_text()
    assert old in text
    path = tmp_path / "jobs.csv"
    path.write_text(text.replace(old, new))
    return path


def test_packaged_jobs_equal_the_fixture() -> None:
    assert PACKAGED_JOBS.read_bytes() == FIXTURE.read_bytes()


def test_audit_numbers_its_29_claims_in_order(of_guide: Audit) -> None:
    assert [claim.number for claim in of_guide.claims] == list(range(1, 30))


# The verdicts of the notes' table 1.2, by hand; the code computes its own.
OUTCOMES = {
    "holds": [13, 29],
    "unidentified": [1, 7, 10],
    "refuted": [2, 3, 4, 5, 9, 21],
    "inconsistent": [6, 8, 11, 12, 16, 17, 18, 19, 23, 25],
    "unsupported": [14, 15, 20, 22, 24, 26, 27, 28],
}


@pytest.mark.parametrize(("outcome", "numbers"), OUTCOMES.items())
def test_audit_outcome_of_each_claim(of_guide: Audit, outcome: str, numbers: list[int]) -> None:
    assert [claim.number for claim in of_guide.claims if claim.outcome == outcome] == numbers


@pytest.mark.parametrize(
    ("key", "value", "tolerance"),
    [
        ("curve_rate", 3.862877, 5e-7),
        ("curve_amplitude", 0.0731339, 5e-8),
        ("curve_degrees_of_freedom", 0, 0),
        ("alpha_at_5_percent_printed_constants", 0.098395, 5e-7),
        ("alpha_at_5_percent", 0.0984, 5e-5),
        ("alpha_at_4.5_percent", 0.1257, 5e-5),
        ("alpha_at_5.5_percent", 0.0737, 1e-4),
        ("exponent", 6.643856, 5e-7),
        ("exponent_degrees_of_freedom", 0, 0),
        ("law_16384", 1.0054e-5, 5e-10),
        ("law_32768", 0.0010027, 5e-8),
        ("law_131072", 9.9733, 5e-5),
        ("dead_fraction_of_7556_alive", 0.88470, 5e-6),
        ("curve_amplitude_jobs_1_3_4", 0.2038, 5e-5),
        ("curve_rate_jobs_1_3_4", 6.225, 5e-4),
        ("curve_r_squared_jobs_1_3_4", 0.838, 5e-4),
        ("curve_amplitude_jobs_1_2_3_4", 0.316, 5e-4),
        ("curve_rate_jobs_1_2_3_4", 7.09, 5e-3),
        ("power_slope_jobs_1_3", -0.960, 5e-4),
        ("power_slope_jobs_1_4", -0.442, 5e-4),
        ("power_slope_jobs_1_3_4", -0.547, 5e-4),
        ("hill_ceiling_jobs_1_3_4", 0.405, 5e-4),
        ("hill_half_point_jobs_1_3_4", 0.0147, 5e-5),
        ("hill_slope_jobs_1_3_4", 1.025, 5e-4),
    ],
)
def test_audit_golden_number_is_reproduced(
    of_guide: Audit, key: str, value: float, tolerance: float
) -> None:
    assert of_guide.golden[key] == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "k = 3.862877, A = 0.0731339; 2 points, 2 parameters, 0 degrees of freedom"),
        (1, "k in 3.849 to 3.877 and A in 0.0730 to 0.0733"),
        (2, "off 5.2 times (log residual +1.65)"),
        (3, "off 8.2 times (log residual +2.10)"),
        (4, "needs alpha = -0.081, which is impossible"),
        (6, "alpha 0.081 at 63488, of which job 2's 0.05 is 62 %"),
        (7, "6.643856 with 0 degrees of freedom"),
        (7, "missed its target by 7.6 times"),
        (10, "exponential -2.42, power +3.57, flatter power +0.76"),
        (11, "16384 prints 6.0 times the law"),
        (11, "implies exponent 5.35, its step to the next 4.06"),
        (12, "5 % is 819/1638/3277/6554"),
        (13, "11.53 % alive, 88.470 % dead"),
        (13, "14 % to 25 % to 43 %"),
        (14, "3277 active latents for 2048 dimensions, 1.6 times"),
        (17, "69.5 % at 16384, 84.7 % at 32768, 92.4 % at 65536"),
        (19, "-3.8 % or +3.9 % (elasticity -0.38)"),
        (20, "7.4 to 10.9 %"),
        (20, "halving L0 needs 2.8 times alpha"),
        (22, "of job 2's 3 checkpoints it fires at 1"),
        (24, "0.72 % per 10k steps, up to 1.44 %"),
        (24, "ends at L0 4.04 %"),
        (27, "4096: 1e-09"),
        (28, "98 a latent (73 at 131072)"),
    ],
)
def test_audit_text_of_claim_holds_its_computed_numbers(
    of_guide: Audit, number: int, words: str
) -> None:
    assert words in of_guide.claims[number - 1].recomputed


def test_audit_fits_without_degrees_of_freedom_are_flagged(of_guide: Audit) -> None:
    flagged = {claim.number for claim in of_guide.claims if claim.degrees_of_freedom == 0}

    assert flagged == {1, 7, 10, 24}


def test_audit_changed_job_changes_the_constants_and_the_verdict(tmp_path: Path) -> None:
    changed = audit(changed_jobs(tmp_path, "0.0106", "0.02"))

    assert changed.golden["curve_rate"] == pytest.approx(2.2757, abs=5e-5)
    assert "k = 2.275682" in changed.claims[0].recomputed
    assert changed.claims[0].outcome is Outcome.refuted


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        ("0.001,0.381", "0.001,0.0728", 2),
        ("0.05,0.493", "0.05,0.0603", 3),
        ("63488", "65536", 6),
        ("0.001,0.381", "0.001,0.05", 9),
    ],
)
def test_audit_job_that_agrees_makes_the_claim_hold(
    tmp_path: Path, old: str, new: str, number: int
) -> None:
    changed = audit(changed_jobs(tmp_path, old, new))

    assert changed.claims[number - 1].outcome is Outcome.holds


def test_audit_monotone_jobs_hold_claim_5(tmp_path: Path) -> None:
    changed = audit(changed_jobs(tmp_path, "0.05,0.493", "0.05,0.2"))

    assert changed.claims[4].outcome is Outcome.holds
    assert changed.claims[4].recomputed == "L0 falls with alpha over all four jobs"


def test_audit_dead_and_alive_that_disagree_are_inconsistent(tmp_path: Path) -> None:
    changed = audit(changed_jobs(tmp_path, "0.027,0.885", "0.027,0.6"))

    assert changed.claims[12].outcome is Outcome.inconsistent


def test_audit_no_three_point_hill_gives_nan_and_null(tmp_path: Path) -> None:
    changed = audit(changed_jobs(tmp_path, "0.001,0.381", "0.001,0.04"))

    assert math.isnan(changed.golden["hill_ceiling_jobs_1_3_4"])
    assert changed.to_json()["golden"]["hill_ceiling_jobs_1_3_4"] is None


def test_audit_to_json_is_strict_json_with_every_claim(of_guide: Audit) -> None:
    text = json.dumps(of_guide.to_json(), allow_nan=False)

    loaded = json.loads(text)
    assert len(loaded["claims"]) == 29
    assert loaded["claims"][0]["numbers"]["k"] == of_guide.golden["curve_rate"]


def test_audit_table_has_a_row_per_claim(of_guide: Audit) -> None:
    table = of_guide.table()

    assert list(table["number"]) == list(range(1, 30))
    assert table["degrees_of_freedom"].isna().sum() == 25


def test_audit_answer_counts_and_flags_the_exponent(of_guide: Audit) -> None:
    assert of_guide.answer().startswith("Of 29 claims of the guide 2 hold (3 unidentified, ")
    assert of_guide.answer().endswith("exponent 6.64 comes from 0 degrees of freedom.")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("l0_fraction,", "l_0,", "jobs must have the column 'l0_fraction'"),
        ("4,train", "5,train", "no job 4"),
        ("0.50,0.0106", "0.10,0.0106", "jobs 1 and 3 must differ in l1_alpha"),
        ("0.0106", "-1", "l0_fraction of job 3 must be a positive number, but got -1.0"),
        ("0.0106", "x", "l0_fraction of job 3 must be a positive number, but got 'x'"),
        ("0.027,0.885", ",0.885", "jobs 1 and 2 must state loss"),
        ("0.027,0.885", "0.027,", "job 1 dead_fraction"),
    ],
)
def test_audit_bad_jobs_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        audit(changed_jobs(tmp_path, old, new))


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.csv.gz", "jobs.parquet"])
def test_audit_jobs_are_read_as_trials_are(tmp_path: Path, of_guide: Audit, name: str) -> None:
    table = pd.read_csv(PACKAGED_JOBS, comment="#")
    if name.endswith("parquet"):
        table.to_parquet(tmp_path / name)
    else:
        table.to_csv(tmp_path / name, index=False, sep=";")

    assert audit(tmp_path / name).to_json() == of_guide.to_json()


def test_audit_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        AnalysisError, match=r"none\.csv must be a readable table, but: "
    ) as caught:
        audit(tmp_path / "none.csv")

    assert "\n" not in str(caught.value)


def test_audit_exponents_by_form_follow_from_the_closed_forms(of_guide: Audit) -> None:
    numbers = of_guide.claims[9].numbers
    rate, here = of_guide.golden["curve_rate"], of_guide.golden["alpha_at_5_percent"]
    slope = -of_guide.golden["power_slope_jobs_1_3"]
    ceiling = 0.381 * math.exp(rate * 0.001)  # the same decay through job 4, at width 32768

    exponential = math.log2(here / (math.log(ceiling / 0.05) / rate))
    power = math.log2(here / (0.001 * (0.381 / 0.05) ** (1 / slope)))
    assert numbers["exponent_exponential"] == pytest.approx(exponential, rel=1e-9)
    assert numbers["exponent_power"] == pytest.approx(power, rel=1e-9)
