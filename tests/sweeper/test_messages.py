import subprocess
import sys


def test_end_interrupted_where_nobody_reads_the_line_has_the_status_of_an_interruption() -> None:
    program = "from sweeper.messages import end_interrupted; end_interrupted(KeyboardInterrupt())"
    process = subprocess.Popen(
        [sys.executable, "-c", f"input(); {program}"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()  # as `2>&1 | head -1` does, before the line is written
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(60) == 130
