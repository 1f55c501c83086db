import subprocess
import sys

import pytest

import analysis


@pytest.mark.parametrize("name", analysis.__all__)
def test_package_every_public_name_loads(name: str):
    assert getattr(analysis, name) is not None


def test_package_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fit_everything'"):
        _ = getattr(analysis, "fit_everything")  # noqa: B009


def test_package_import_is_light():
    program = (
        "import analysis, sys; print(sorted({'pandas', 'scipy', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_package_refit_is_the_function_after_all_modules_are_loaded():
    program = (
        "import analysis; analysis.Law; analysis.refit; analysis.load_trials; "
        "assert callable(analysis.refit)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_package_guide_is_there_without_an_import_of_its_own():
    program = "import analysis; print(analysis.guide.calculate_optimal_l1_alpha(65536, 0.05))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(found.stdout) == pytest.approx(0.1, rel=0.01)
