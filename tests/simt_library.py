"""CUDA kernels in a test: a C++ source compiled by g++ against the emulation in ``tests/cuda/simt``, its ``extern "C"`` functions called with numpy arrays.

    kernels = simt_library.load("simt/example.cpp")          # a path below tests/cuda
    for kernels.order in simt_library.ORDERS:                # threads forward, in reverse, at random by kernels.seed
        kernels.call("row_sum_f64", x, y, rows, columns)     # numpy arrays are device memory, int is 64-bit or int, float is double

An error that the emulation finds is raised as `SimtError`.  ``sanitized`` runs a Python script on kernels compiled with a sanitizer.
Libraries stand in ``build/simt`` and are compiled again when a file that they include, or a flag, has changed.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "cuda"
CACHE = ROOT / "build" / "simt"
COMPILER = os.environ.get("CXX", "g++")
ORDERS = ("forward", "reverse", "random")
# No contraction, as nvcc -fmad=false: what the source calls fused is fused, nothing else.
COMMON = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-DSK_SIMT_EMULATION", f"-I{ROOT / 'csrc'}", f"-I{FOLDER / 'simt'}", f"-I{FOLDER}", "-Wall", "-Wextra",
          "-Wno-unknown-pragmas", "-Wno-unused-parameter", "-fno-gnu-unique")
VARIANTS = {
    "plain": ("-O2",),
    "asan": ("-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "tsan": ("-g", "-fno-omit-frame-pointer", "-fsanitize=thread"),
    # every basic block counts how often each thread runs it (executed.h); scalar code, so that an operation is an operation
    "counted": ("-O2", "-fsanitize-coverage=trace-pc", "-include", "executed.h", "-fno-tree-vectorize", "-fno-tree-slp-vectorize"),
}
# Whatever a program asks for: a sanitizer sees more in code that is not optimised, which compiles in a quarter of the time.
UNOPTIMISED = {"asan": ("-O0",), "tsan": ("-O0",)}
RUNTIMES = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}


class SimtError(RuntimeError):
    """What the emulation found wrong with a kernel or its launch, with the source position."""


@functools.cache
def machine_flags() -> tuple[str, ...]:
    """Fused multiply-add in hardware where this machine has it, as on every GPU."""
    cpu = Path("/proc/cpuinfo")
    has_fma = platform.machine() == "x86_64" and cpu.is_file() and " fma " in cpu.read_text()
    return ("-mfma",) if has_fma else ("-fno-tree-vectorize",)


@functools.cache
def compiler_version() -> str:
    return subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True).stdout


def digest(files: Iterable[str | Path]) -> str:
    total = hashlib.sha256(compiler_version().encode())
    for file in sorted(str(f) for f in files):
        path = Path(file)
        total.update(path.read_bytes() if path.is_file() else b"gone")
    return total.hexdigest()


def dependencies(listing: Path) -> list[str]:
    """The files of this repository that a compilation has read, from the compiler's -MMD."""
    return [name for name in listing.read_text().replace("\\\n", " ").partition(": ")[2].split() if (ROOT / name).resolve().is_relative_to(ROOT)]


def compiled(source: str, variant: str = "plain", flags: Iterable[str] = ()) -> Path:
    """The shared library of ``tests/cuda/<source>``."""
    path = FOLDER / source
    command = [COMPILER, *COMMON, *machine_flags(), *VARIANTS[variant], *flags, *UNOPTIMISED.get(variant, ()), "-shared", "-fPIC"]
    key = hashlib.sha256(" ".join([*command, source]).encode()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    library = CACHE / f"{path.stem}-{variant}-{key}.so"
    listing, stamp = library.with_suffix(".d"), library.with_suffix(".stamp")
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one test run share the folder
        if not (stamp.is_file() and library.is_file() and stamp.read_text() == digest(dependencies(listing))):
            done = subprocess.run([*command, "-MMD", "-MF", str(listing), "-o", str(library), str(path), "-ldl"], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{source} does not compile:\n{done.stderr}")
            stamp.write_text(digest(dependencies(listing)))
    return library


def argument(value: object) -> object:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, (bool, int, np.integer)):
        return ctypes.c_int64(int(value))
    if isinstance(value, float):
        return ctypes.c_double(value)
    if value is None:
        return ctypes.c_void_p(None)
    raise TypeError(f"expected a numpy array, an int, a float or None as argument of a kernel library, got {type(value).__name__}")


class Launch(NamedTuple):
    """A kernel with its template arguments, and what its last launch asked for: blocks, threads of a block, bytes of its shared memory."""

    kernel: str
    blocks: int
    threads: int
    shared: int


class Library:
    """One compiled library: ``order`` and ``seed`` of its threads, ``call`` of its functions."""

    def __init__(self, path: Path):
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._library.simt_take_error.restype = ctypes.c_char_p
        self._library.simt_launched.restype = ctypes.c_char_p
        self.order = "forward"
        self.seed = 0

    def call(self, function: str, *arguments: object) -> int:
        """Calls ``extern "C" function``; its int, where it returns one."""
        self._library.simt_configure(ORDERS.index(self.order), ctypes.c_uint(self.seed))
        result = getattr(self._library, function)(*(argument(a) for a in arguments))
        if error := self._library.simt_take_error().decode():
            raise SimtError(error)
        return result

    def raw(self, function: str, *arguments: object) -> int:
        """Calls a function of the emulation itself, with ctypes' own arguments."""
        return getattr(self._library, function)(*arguments)

    def launches(self) -> list[Launch]:
        """The kernels that have run so far, by name."""
        rows = (line.split("\t") for line in self._library.simt_launched().decode().split("\n")[:-1])
        return [Launch(name, *map(int, numbers)) for name, *numbers in rows]


def load(source: str, variant: str | None = None, flags: Iterable[str] = ()) -> Library:
    """Compiles (once) and loads; the variant is that of the script which `sanitized` runs, else plain."""
    return Library(compiled(source, variant or os.environ.get("SIMT_VARIANT", "plain"), tuple(flags)))


def runtime(name: str) -> str:
    return subprocess.run([COMPILER, f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()


def sanitized(script: str | Path, variant: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script (numpy only: no torch) whose `load` gives kernels compiled with ``asan`` (and UBSan) or ``tsan``.  A finding makes the exit status non-zero."""
    options = {
        "SIMT_VARIANT": variant,
        "LD_PRELOAD": " ".join(runtime(name) for name in RUNTIMES[variant]),
        "PYTHONPATH": str(ROOT / "tests"),
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=0 exitcode=66 suppress_equal_addresses=0",
    }
    fixed_layout = [shutil.which("setarch") or "env", "-R"] if variant == "tsan" and shutil.which("setarch") else []
    return subprocess.run([*fixed_layout, sys.executable, str(script), *arguments], env={**os.environ, **options}, capture_output=True, text=True, check=False)
