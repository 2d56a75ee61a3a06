"""Registers and stack of every CUDA kernel on every architecture, read from the compiled extension, and the committed ceilings on them.

    python tests/cuda_resources.py            writes tests/cuda/resources.csv from spectral_kernels/_cuda.so

The build that made the extension has compiled every kernel for every architecture already: reading it takes a second where compiling
again would take minutes.  A spill is a piece of the stack, so a kernel without a stack has none.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "cuda" / "resources.csv"
COLUMNS = ("kernel", "arch", "registers", "stack", "shared")


class Resources(NamedTuple):
    """Registers per thread, stack per thread and static shared memory per block in bytes; ``local`` memory counts as stack."""

    registers: int
    stack: int
    shared: int


Table = dict[tuple[str, str], Resources]  # (kernel with its template arguments, "sm_90") -> resources


def extension() -> Path | None:
    return next(iter(sorted((ROOT / "spectral_kernels").glob("_cuda*.so"))), None)


def binary_tool(name: str) -> str | None:
    """cuobjdump or nvdisasm: on PATH, of the CUDA toolkit, or of Triton, whose wheel has them."""
    homes = [Path(os.environ[variable]) / "bin" for variable in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(variable)]
    triton = importlib.util.find_spec("triton")
    if triton and triton.submodule_search_locations:
        homes.append(Path(triton.submodule_search_locations[0]) / "backends" / "nvidia" / "bin")
    return shutil.which(name) or next((found for home in homes if (found := shutil.which(name, path=str(home)))), None)


def tool_output(*arguments: str | Path) -> str:
    tool = binary_tool("cuobjdump")
    if tool is None:
        raise FileNotFoundError("cuobjdump is neither on PATH nor in CUDA_HOME nor in the triton package")
    return subprocess.run([tool, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def demangled(names: list[str]) -> dict[str, str]:
    """C++ names as they are written, without the types of the kernel's parameters."""
    plain = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout.split("\n")
    return {name: without_parameters(long) for name, long in zip(names, plain, strict=False)}


def without_parameters(name: str) -> str:
    """``void sk::k<float, (sk::Side)1>(float*, int)`` -> ``sk::k<float, (sk::Side)1>``."""
    name = name.removeprefix("void ")
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return name[:i]
    return name


def parse(text: str) -> Table:
    """The output of ``cuobjdump -res-usage``."""
    found: dict[tuple[str, str], Resources] = {}
    arch = function = ""
    for line in text.split("\n"):
        if match := re.match(r"arch = (\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function (\S+):", line):
            function = match[1]
        elif match := re.match(r"\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", line):
            registers, stack, shared, local = map(int, match.groups())
            found[function, arch] = Resources(registers, stack + local, shared)
    names = demangled(sorted({name for name, _ in found}))
    return {(names[name], arch): resources for (name, arch), resources in found.items()}


def measure(library: Path) -> Table:
    return parse(tool_output("-res-usage", library))


def read() -> Table:
    with TABLE.open(newline="") as file:
        return {(row["kernel"], row["arch"]): Resources(int(row["registers"]), int(row["stack"]), int(row["shared"])) for row in csv.DictReader(file)}


def write(table: Table) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((kernel, arch, *resources) for (kernel, arch), resources in sorted(table.items()))


def in_registers(kernel: str) -> bool:
    """Whether a thread or the lanes of a warp have this kernel's matrices: then nothing may stand on a stack.  CUDA's own sine of huge angles, in sketches, has one."""
    return "BlockTeam" not in kernel and "sketch" not in kernel


def complaints(measured: Table, ceilings: Table) -> list[str]:
    """What exceeds its row or has none, one sentence each."""
    found = []
    for (kernel, arch), now in sorted(measured.items()):
        if now.stack and in_registers(kernel):
            found.append(f"{kernel} on {arch}: a stack of {now.stack} bytes, expected none")
        if (kernel, arch) not in ceilings:
            found.append(f"{kernel} on {arch}: no row in {TABLE.name}")
            continue
        row = ceilings[kernel, arch]
        found += [f"{kernel} on {arch}: {value} {field}, at most {limit} by {TABLE.name}" for field, value, limit in zip(now._fields, now, row, strict=True) if value > limit]
    return found


def main() -> int:
    library = extension()
    if library is None:
        print("spectral_kernels/_cuda.so is not there: build with SPECTRAL_CUDA=1")
        return 1
    table = measure(library)
    write(table)
    print(f"{TABLE}: {len({kernel for kernel, _ in table})} kernels, {len({arch for _, arch in table})} architectures")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
