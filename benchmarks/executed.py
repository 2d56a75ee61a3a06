"""The floating-point operations that the warps of a CUDA kernel execute, counted while the kernel runs on the CPU.

The emulation of ``tests/cuda/simt`` is compiled with a hook in every basic block; a block's operations are those of its scalar machine code, and a
warp executes it as often as the lane that executes it most often.  Contraction is off, so that an operation here is an operation on the GPU.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import simt_library

MOST_THREADS = 1024
OPERATIONS = {
    "simple": r"v?(add|sub|mul|max|min)s[sd]|vfn?m(add|sub)\d+s[sd]|v?u?comis[sd]|v?cmp\w*s[sd]|v?cvt\w+",
    "division": r"v?divs[sd]",
    "root": r"v?sqrts[sd]",
}
PATTERNS = {name: re.compile(pattern) for name, pattern in OPERATIONS.items()}
HOOK = re.compile(r"\bcall\b.*<__sanitizer_cov_trace_pc")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t([a-z][a-z0-9]*)?")


def operations_of_blocks(disassembly: str) -> dict[int, Counter[str]]:
    """``objdump -d`` -> return address of a block's hook -> its operations."""
    found: dict[int, Counter[str]] = {}
    current: Counter[str] = Counter()
    starts = False
    for line in disassembly.split("\n"):
        match = INSTRUCTION.match(line)
        if not match:
            continue
        if starts:
            current = found.setdefault(int(match[1], 16), Counter())
        starts = HOOK.search(line) is not None
        for name, pattern in PATTERNS.items():
            if match[2] and pattern.fullmatch(match[2]):
                current[name] += 1
    return found


@cache
def operations(library: Path) -> dict[int, Counter[str]]:
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(library)], check=True, capture_output=True, text=True).stdout
    return operations_of_blocks(text)


def per_warp(counts: np.ndarray, operations: list[Counter[str]]) -> dict[str, float]:
    """``counts (blocks, threads)``, threads a multiple of 32 -> operations that all warps execute, a warp's lanes in step."""
    warps = counts.reshape(len(counts), -1, 32).max(axis=-1).sum(axis=-1)
    return {name: float(sum(int(times) * block[name] for times, block in zip(warps, operations, strict=True))) for name in OPERATIONS}


def measure(kernels: simt_library.Library, run: Callable[[], object]) -> dict[str, float]:
    """Operations of all warps of one block of threads, which ``run`` launches; the library's variant is ``counted``."""
    kernels.raw("simt_count_blocks")
    run()
    addresses, counts = ctypes.POINTER(ctypes.c_int64)(), ctypes.POINTER(ctypes.c_uint32)()
    blocks = kernels.raw("simt_blocks_executed", ctypes.byref(addresses), ctypes.byref(counts))
    if blocks == 0:
        return dict.fromkeys(OPERATIONS, 0.0)
    of_block = operations(kernels.path)
    return per_warp(np.ctypeslib.as_array(counts, (blocks, MOST_THREADS)), [of_block.get(addresses[b], Counter()) for b in range(blocks)])
