"""What was executed how: every GPU kernel, the tests that run it without a GPU, what its compiled PTX did on a CPU, and whether a GPU ever ran it.

    python tests/execution.py --readme README.md         writes the table there

The kernels and their tests are read from the sources: a test runs a kernel if it loads a program of ``tests/cuda`` that includes the kernel's header,
or (Triton) gives the kernel's op to the interpreter.  What was done by hand stands in `ptx_runs.csv` and `gpu_runs.csv`.
"""

from __future__ import annotations

import argparse
import ast
import csv
import re
from pathlib import Path
from typing import NamedTuple

from spectral_kernels import triton
from spectral_kernels.api.markdown import replace_block, rows

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
MARKS = ("<!-- execution -->", "<!-- end of execution -->")


class Kernel(NamedTuple):
    name: str
    file: str  # below the repository


def cuda_kernels() -> list[Kernel]:
    """Every ``__global__`` function of csrc/cuda."""
    found = []
    for path in sorted((ROOT / "csrc" / "cuda").glob("*.cu*")):
        text = re.sub(r"__launch_bounds__\([^)]*\)|//[^\n]*", "", path.read_text())
        found += [Kernel(name, str(path.relative_to(ROOT))) for name in re.findall(r"__global__\s+void\s+(\w+)\s*\(", text)]
    return found


def triton_kernels() -> list[Kernel]:
    """Every function of spectral_kernels/triton that is compiled by itself: decorated with ``triton.jit``, its name ending in ``_kernel``."""
    found = []
    for path in sorted((ROOT / "spectral_kernels" / "triton").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.endswith("_kernel") and any("jit" in ast.unparse(d) for d in node.decorator_list):
                found.append(Kernel(node.name, str(path.relative_to(ROOT))))
    return found


def included(path: Path, seen: set[Path] | None = None) -> set[Path]:
    """The files of csrc that a source includes, and those that they include."""
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "([^"]+)"', path.read_text()):
        for folder in (path.parent, ROOT / "csrc"):
            file = (folder / name).resolve()
            if file.is_file() and file not in seen and file.is_relative_to(ROOT / "csrc"):
                seen.add(file)
                included(file, seen)
    return seen


def users(word: str) -> list[str]:
    """The test modules that contain a word, or import a helper of theirs that does."""
    found = {path.stem for path in TESTS.glob("*.py") if re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", path.read_text()) and path.stem != "execution"}
    helpers = found - {name for name in found if name.startswith("test_")}
    for path in TESTS.glob("test_*.py"):
        if any(re.search(rf"\b{helper}\b", path.read_text()) for helper in helpers):
            found.add(path.stem)
    return sorted(name for name in found if name.startswith("test_") and name != "test_execution")


def emulated_by(kernel: Kernel) -> list[str]:
    header = ROOT / kernel.file
    programs = [path for path in (TESTS / "cuda").glob("*.cpp") if header in included(path)]
    return sorted({test for program in programs for test in users(program.name)})


def interpreted_by(kernel: Kernel) -> list[str]:
    """The test modules that call an op of the kernel's module under the interpreter: ``interpreted("op", ...)``."""
    ops = "|".join(op for op, module in triton.LAUNCHERS.items() if module == Path(kernel.file).stem)
    return sorted(path.stem for path in TESTS.glob("test_triton*.py") if ops and re.search(rf'interpreted\(\s*"({ops})"', path.read_text()))


def records(name: str) -> dict[str, list[dict[str, str]]]:
    """Rows of a CSV of what was done by hand, by kernel."""
    found: dict[str, list[dict[str, str]]] = {}
    with (TESTS / name).open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["kernel"], []).append(row)
    return found


def ptx_cell(runs: list[dict[str, str]]) -> str:
    """Instances, the share of basic blocks that ran, whether the bits are those of the source emulation."""
    parts = [f"`{run['instance']}` {100 * int(run['blocks_run']) / int(run['blocks']):.0f} % of blocks{', same bits' if run['same_bits'] == 'yes' else ''}" for run in runs]
    return "; ".join(parts) or "no"


def table() -> str:
    ptx, gpu = records("ptx_runs.csv"), records("gpu_runs.csv")
    lines = []
    for kernel in [*cuda_kernels(), *triton_kernels()]:
        is_cuda = kernel.file.startswith("csrc")
        tests = ", ".join(f"`{name}`" for name in (emulated_by if is_cuda else interpreted_by)(kernel)) or "no"
        on_gpu = ", ".join(f"{run['gpu']} {run['date']}" for run in gpu.get(kernel.name, [])) or "never"
        lines.append([f"`{kernel.name}`", tests if is_cuda else "", "" if is_cuda else tests, ptx_cell(ptx.get(kernel.name, [])), on_gpu])
    return rows(["kernel", "source emulation", "Triton's interpreter", "compiled PTX, emulated by hand", "a GPU"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    if chosen.readme:
        chosen.readme.write_text(replace_block(chosen.readme.read_text(), table(), MARKS))
    else:
        print(table())


if __name__ == "__main__":
    main()
