"""The machine code that is kept is that of the sources as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

from sae.kernels import caching

NEEDED = ("caching", "compiling", "table")
INNER = "from sae.kernels.compiling import compiled\n@compiled\ndef inner(): return {value}\n"
OUTER = """from sae.kernels.compiling import compiled
from sae.kernels.inner import inner
@compiled
def outer(): return 2 * inner()
"""


def package(folder: Path) -> Path:
    kernels = folder / "sae" / "kernels"
    kernels.mkdir(parents=True)
    for name in NEEDED:
        shutil.copy(caching.KERNELS / f"{name}.py", kernels)
    for place in (kernels, kernels.parent):
        (place / "__init__.py").touch()
    (kernels / "outer.py").write_text(OUTER)
    return kernels


def doubled(kernels: Path, value: int) -> str:
    (kernels / "inner.py").write_text(INNER.format(value=value))
    command = [sys.executable, "-c", "from sae.kernels.outer import outer; print(outer())"]
    folder = kernels.parent.parent
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def kept(kernels: Path) -> set[str]:
    return {path.name for path in (kernels / "__pycache__").glob("outer.outer*.nbc")}


def test_compiled_function_whose_callee_s_module_changed_is_compiled_anew(tmp_path: Path) -> None:
    kernels = package(tmp_path)
    assert doubled(kernels, 1) == "2"
    assert doubled(kernels, 20) == "40"


def test_compiled_function_keeps_its_code_for_the_next_process_and_no_other_s(
    tmp_path: Path,
) -> None:
    kernels = package(tmp_path)
    doubled(kernels, 1)
    first = kept(kernels)
    times = [path.stat().st_mtime_ns for path in sorted((kernels / "__pycache__").glob("*.nbc"))]
    doubled(kernels, 1)
    again = [path.stat().st_mtime_ns for path in sorted((kernels / "__pycache__").glob("*.nbc"))]
    doubled(kernels, 2)
    assert (len(first), times) == (1, again)
    assert len(kept(kernels)) == 1
    assert kept(kernels) != first
