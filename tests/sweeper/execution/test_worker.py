import subprocess
import sys


def test_worker_loads_no_library_that_a_trial_does_without() -> None:
    program = (
        "import sweeper.execution.worker, sweeper.job, sys; "
        "print(sorted({'pandas', 'scipy', 'sqlalchemy', 'matplotlib'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
