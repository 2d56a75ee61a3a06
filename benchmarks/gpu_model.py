"""Predicted speed of the CUDA kernels on GPUs that nobody has run them on: a model, and its arithmetic, not a measurement.

    python benchmarks/gpu_model.py            writes benchmarks/predictions/gpu.csv and .md; needs the CUDA extension, cuobjdump and g++

For each point (op, dtype, n) the kernel runs one block under the emulation, which counts the floating-point operations that its warps execute, with
the iteration counts and the divergence of random matrices (`executed`).  The kernel's machine code says how many other instructions come with them,
and how long a warp alone waits for results (`sass`).  Per block and multiprocessor, in cycles:

    busy     = max over the units of  instructions x cycles of the unit per instruction
    waiting  = what a warp alone needs / resident blocks           (registers, shared memory, threads: `occupancy`)
    block    = max(busy, waiting)

and matrices per second = min(multiprocessors x clock x matrices of a block / block, bandwidth / bytes of a matrix).
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sass

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import simt_library

RESULTS, PREDICTIONS = Path(__file__).parent / "results", Path(__file__).parent / "predictions"
PUBLISHED_TORCH = 0.93e-3  # seconds per 3x3 matrix, torch.linalg.eigvals on an RTX 5090: pytorch/pytorch#154312; every size takes at least that
LAPACK_CORES = 64


@dataclass(frozen=True)
class Gpu:
    """One GPU.  ``cycles``: of a quarter of a multiprocessor per warp instruction of a class (CUDA C++ Programming Guide, arithmetic throughput)."""

    name: str
    arch: str
    multiprocessors: int
    clock: float  # Hz
    bandwidth: float  # bytes per second
    shared: int  # bytes of a multiprocessor
    cycles: dict[str, float]


COMMON = {"mufu": 8.0, "shuffle": 4.0, "integer": 2.0, "local": 4.0, "barrier": 2.0, "control": 2.0}
GPUS = (
    Gpu("A100", "sm_80", 108, 1.41e9, 2.04e12, 164 * 1024, {**COMMON, "fp32": 2.0, "fp64": 4.0}),
    Gpu("H100", "sm_90", 132, 1.755e9, 3.35e12, 228 * 1024, {**COMMON, "fp32": 1.0, "fp64": 2.0}),
    Gpu("B200", "sm_100", 148, 1.85e9, 8.0e12, 228 * 1024, {**COMMON, "fp32": 1.0, "fp64": 2.0}),
)
QUARTERS = 4  # schedulers of a multiprocessor
# Instructions of the fast path of a division and a square root, by nvcc 13: (floating-point, mufu).
EXPANSIONS = {"float32": {"division": (8, 1), "root": (6, 1)}, "float64": {"division": (10, 1), "root": (9, 1)}}


class Work(NamedTuple):
    """One block of threads: its matrices, its shape, and the floating-point operations that its warps execute."""

    kernel: str
    matrices: int
    threads: int
    shared: int  # bytes
    operations: dict[str, float]  # simple, division, root


@dataclass(frozen=True)
class Prediction:
    """Cycles are of one multiprocessor per matrix; ``bound`` is what limits, ``per_second`` matrices."""

    op: str
    dtype: str
    n: int
    gpu: str
    kernel: str
    registers: int
    resident_blocks: int
    instructions: float
    busy: float
    waiting: float
    bytes: int
    bound: str
    per_second: float


def occupancy(gpu: Gpu, registers: int, threads: int, shared: int) -> int:
    """Blocks that a multiprocessor holds at a time: 65536 registers in pieces of 256 per warp, 64 warps, 32 blocks, 1 KiB of shared memory per block."""
    warps = ceil(threads / 32)
    of_a_warp = ceil(max(registers, 1) * 32 / 256) * 256
    return min(32, 64 // warps, 65536 // of_a_warp // warps, gpu.shared // (shared + 1024))


def predict(op: str, dtype: str, n: int, gpu: Gpu, work: Work, registers: int, profile: sass.Profile) -> Prediction:
    """The model: see the module's docstring."""
    complex_entries = dtype.startswith("complex")
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    floating = work.operations["simple"] + sum(sum(EXPANSIONS[real][name]) * work.operations[name] for name in ("division", "root"))
    scale = floating / profile.floating
    counts = {name: count * scale for name, count in profile.counts.items()}
    units = {name: count * gpu.cycles[name] / QUARTERS for name, count in counts.items() if name in gpu.cycles}
    units["shared"] = profile.shared_words * scale  # a warp's word takes the memory of a multiprocessor a cycle
    units["issue"] = sum(counts.values()) / QUARTERS
    busiest = max(units, key=lambda name: units[name])
    blocks = occupancy(gpu, registers, work.threads, work.shared)
    if blocks == 0:
        raise ValueError(f"{work.kernel} does not fit on {gpu.name}: {registers} registers, {work.threads} threads, {work.shared} bytes of shared memory")
    waiting = profile.latency * scale / ceil(work.threads / 32) / blocks
    entry = (8 if real == "float64" else 4) * (2 if complex_entries else 1)
    symmetric = op in ("eigvalsh", "eigh")
    value = entry // (2 if complex_entries and symmetric else 1) * (2 if not symmetric and not complex_entries else 1)
    vector = entry * (1 if symmetric or complex_entries else 2)
    size = n * n * entry + n * value + (n * n * vector if op in ("eig", "eigh") else 0) + 4
    cycles = max(units[busiest], waiting)
    by_cycles, by_memory = gpu.multiprocessors * gpu.clock * work.matrices / cycles, gpu.bandwidth / size
    bound = "memory" if by_memory < by_cycles else "latency" if waiting > units[busiest] else busiest
    instructions, busy, waiting = (x / work.matrices for x in (sum(counts.values()), units[busiest], waiting))
    return Prediction(op, dtype, n, gpu.name, work.kernel, registers, blocks, instructions, busy, waiting, size, bound, min(by_cycles, by_memory))


def lapack_seconds(op: str, dtype: str, n: int, rows: Iterable[dict[str, str]]) -> float | None:
    """Seconds per matrix of batch-parallel LAPACK on `LAPACK_CORES` cores, from the committed results of fewer: perfect scaling is granted."""
    for row in rows:
        if (row["benchmark"], row["provider"], row["dtype"], int(row["n"])) == (op, "lapack", dtype, n):
            return float(row["median_s"]) * int(row["threads"]) / LAPACK_CORES
    return None


def write_csv(path: Path, predictions: Iterable[Prediction]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Prediction)], lineterminator="\n")
        writer.writeheader()
        for p in predictions:
            writer.writerow({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in asdict(p).items()})


def report(predictions: Iterable[Prediction], lapack: list[dict[str, str]]) -> str:
    """Markdown: a row per point, million matrices per second on every GPU, and the ratio to the two opponents on the H100."""
    points: dict[tuple[str, str, int], dict[str, Prediction]] = {}
    for p in predictions:
        points.setdefault((p.op, p.dtype, p.n), {})[p.gpu] = p
    names = [gpu.name for gpu in GPUS]
    lines = [
        "# Predicted speed on GPUs",
        "Predictions of `benchmarks/gpu_model.py`, whose docstring has the arithmetic: no kernel was run on a GPU for this table. Million matrices per second; "
        f"what limits is named for the H100. Against torch: its published {PUBLISHED_TORCH * 1e3:g} ms per matrix. Against LAPACK: batch-parallel on {LAPACK_CORES} "
        "cores, from the measured time per core, perfect scaling granted.",
        "| op | dtype | n | " + " | ".join(names) + " | limit | vs torch | vs LAPACK |",
        "| --- | --- | ---: | " + "---: | " * len(names) + "--- | ---: | ---: |",
    ]
    table = lines[2:]
    for (op, dtype, n), found in points.items():
        speeds = [f"{found[name].per_second / 1e6:.3g}" if name in found else "" for name in names]
        h100 = found.get("H100")
        cpu = lapack_seconds(op, dtype, n, lapack)
        published = PUBLISHED_TORCH if op in ("eig", "eigvals") else None  # Hermitian batches have a routine of their own in cuSOLVER
        ratios = ["" if seconds is None or h100 is None else f"{h100.per_second * seconds:.3g}" for seconds in (published, cpu)]
        table.append(f"| {op} | {dtype} | {n} | " + " | ".join([*speeds, h100.bound if h100 else "", *ratios]) + " |")
    return "\n\n".join([*lines[:2], "\n".join(table)]) + "\n"


Solve = Callable[[np.ndarray], object]
Program = Callable[[str], tuple[simt_library.Library, Solve]]  # dtype -> the library and a call of its launcher on matrices (batch, n, n)
LARGEST_BLOCK = 1024  # matrices
SAMPLES = 4  # blocks whose operations are averaged where a block has few matrices


def symmetric(vectors: bool) -> Program:
    import cuda_eigh

    return lambda dtype: (cuda_eigh.kernels(), lambda A: cuda_eigh.eigh(A, vectors=vectors))


def general(vectors: bool) -> Program:
    import cuda_eig

    return lambda dtype: (cuda_eig.library("eig.cpp", np.dtype(dtype), vectors), lambda A: cuda_eig.eig(A, right=vectors, source="eig.cpp"))


def programs() -> dict[str, Program]:
    return {"eigvals": general(False), "eig": general(True), "eigvalsh": symmetric(False), "eigh": symmetric(True)}


def random_matrices(op: str, dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype.startswith("complex") else 0)
    return (A + A.conj().swapaxes(-1, -2) if op in ("eigvalsh", "eigh") else A).astype(dtype)


def work_of_block(op: str, dtype: str, n: int, kernels: simt_library.Library, solve: Solve) -> Work:
    """One block of the kernel that serves this point; its matrices are as many as still take one block."""
    import executed

    def launch(matrices: int, seed: int) -> simt_library.Launch:
        kernels.raw("simt_forget_launches")
        solve(random_matrices(op, dtype, (matrices, n, n), seed) if seed else np.zeros((matrices, n, n), dtype))
        (found,) = kernels.launches()
        return found

    matrices = LARGEST_BLOCK
    while (found := launch(matrices, 0)).blocks > 1:
        matrices //= 2
    total = dict.fromkeys(executed.OPERATIONS, 0.0)
    samples = SAMPLES if matrices < 32 else 1
    for seed in range(1, samples + 1):
        for name, count in executed.measure(kernels, functools.partial(launch, matrices, seed)).items():
            total[name] += count / samples
    return Work(found.kernel, matrices, found.threads, found.shared, total)


DTYPES = ("float32", "float64", "complex64", "complex128")
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


Code = dict[tuple[str, str], tuple[int, sass.Profile]]  # (kernel, architecture) -> registers, profile


def read_code(library: Path) -> Code:
    """The machine code of every kernel of a compiled library for every architecture of `GPUS`."""
    import cuda_resources

    resources = cuda_resources.measure(library)
    found: Code = {}
    for gpu in GPUS:
        mangled = sass.parse(cuda_resources.tool_output("-sass", "-arch", gpu.arch, library))
        names = cuda_resources.demangled([name for name, _ in mangled])
        found |= {(names[name], arch): (resources[names[name], arch].registers, sass.profile(code)) for (name, arch), code in mangled.items()}
    return found


def predictions(code: Code, pattern: str) -> Iterator[Prediction]:
    """Every point ``op dtype n=N`` that matches and that a kernel serves: what a launcher refuses, or was not compiled, is left out."""
    for op, program in programs().items():
        for dtype in DTYPES:
            sizes = [n for n in SIZES if re.search(pattern, f"{op} {dtype} n={n}")]
            if not sizes:
                continue
            kernels, solve = program(dtype)
            for n in sizes:
                try:
                    work = work_of_block(op, dtype, n, kernels, solve)
                except simt_library.SimtError:
                    continue
                for gpu in (g for g in GPUS if (work.kernel, g.arch) in code):
                    registers, profile = code[work.kernel, gpu.arch]
                    yield predict(op, dtype, n, gpu, work, registers, profile)


def main() -> int:
    import cuda_resources

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, nargs="+", default=[cuda_resources.extension()], help="libraries with the kernels; by default the extension")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the points whose name matches, e.g. '^eig float32 n=8$'")
    parser.add_argument("--out", type=Path, default=PREDICTIONS / "gpu.csv", metavar="FILE")
    given = parser.parse_args()
    if None in given.library:
        print("spectral_kernels/_cuda.so is not there: build with SPECTRAL_CUDA=1", file=sys.stderr)
        return 2
    os.environ["SIMT_VARIANT"] = "counted"
    code: Code = {}
    for library in given.library:
        code |= read_code(library)
    found = list(predictions(code, given.filter))
    if not found:
        print("no kernel of these libraries serves such a point", file=sys.stderr)
        return 2
    with next(iter(sorted(RESULTS.glob("*-cores-*.csv")))).open(newline="") as file:
        lapack = list(csv.DictReader(file))
    write_csv(given.out, found)
    given.out.with_suffix(".md").write_text(report(found, lapack))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
