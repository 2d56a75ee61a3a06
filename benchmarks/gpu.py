"""The dense solvers on a GPU against all who solve the same: CSV, table and figure in benchmarks/results.

    python benchmarks/gpu.py                          the whole grid, below ten minutes; exits with 2 where there is no CUDA device
    python benchmarks/gpu.py --dry-run --csv FILE     the same steps on the CPU with a few small matrices: what CI runs
    python benchmarks/gpu.py --filter '^eig float32'  printed only

Providers: torch on the GPU (for Hermitian matrices its batched cuSOLVER routine), CuPy where it is installed, LAPACK on all cores of the
host with the matrices there already and with their way from the GPU and back, and our own CPU kernels with the way.
Accuracy first, as for `run.py`: where the gate is red nothing is timed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plot
import torch
from torch import Tensor

from spectral_kernels.api.bench import gate, opponents, record, table
from spectral_kernels.api.bench.registry import BENCHMARKS, Benchmark, dtype_name
from spectral_kernels.api.bench.runner import OURS, Effort, check, interleaved

RESULTS = Path(__file__).parent / "results"
DENSE = ("eigvals", "eig", "eigvalsh", "eigh")
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
SIZES = (2, 3, 4, 6, 8, 16, 32, 64, 128)
ENTRIES = 1 << 24  # of a batch: enough matrices for every multiprocessor at n = 128
CALL = 0.02  # seconds: a provider gets as many of the batch's matrices as it solves in that time, at least one
EFFORT = Effort(rounds=5, seconds=0.5, least=3, settle=0.0)
DRY = {"sizes": (3, 9), "dtypes": (torch.float32, torch.complex128), "entries": 2000, "call": 1e-4, "effort": Effort(rounds=2, seconds=0.0, least=2, settle=0.0)}

Function = Callable[[Tensor], Any]


class Provider(NamedTuple):
    name: str
    function: Function
    on_host: bool  # takes the matrices in the host's memory


def moved(result: Any, device: torch.device | str) -> Any:
    return result.to(device) if isinstance(result, Tensor) else tuple(x.to(device) for x in result)


def with_transfer(function: Function) -> Function:
    """From the device to the host, solved there, and back."""
    return lambda A: moved(function(A.cpu()), A.device)


def on_device(function: Function, device: torch.device) -> Function:
    """``function`` on the device, for inputs and results in the host's memory: what the accuracy gate calls."""
    return lambda *A: moved(function(*(x.to(device) for x in A)), "cpu")


def cupy_function(name: str, device: torch.device) -> Function | None:
    """CuPy's function of that name, or None where it is not there; tensors are shared, not copied."""
    if device.type != "cuda" or importlib.util.find_spec("cupy") is None:
        return None
    cupy = importlib.import_module("cupy")
    function = getattr(cupy.linalg, name, None)
    return None if function is None else lambda A: function(cupy.from_dlpack(A))


def providers(benchmark: Benchmark, device: torch.device) -> list[Provider]:
    theirs = next(o.function for o in benchmark.opponents if o.name == "torch")
    parallel = opponents.batch_parallel(theirs)
    found = [
        Provider(OURS, benchmark.function, False),
        Provider("torch", theirs, False),
        Provider("lapack", parallel, True),
        Provider("lapack and transfer", with_transfer(parallel), False),
        Provider("cpu kernels and transfer", with_transfer(benchmark.function), False),
    ]
    cupy = cupy_function(benchmark.name, device)
    return [*found, Provider("cupy", cupy, False)] if cupy else found


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def share(function: Function, A: Tensor, device: torch.device, seconds: float) -> Tensor:
    """The first matrices of ``A``, as many as one call solves in about ``seconds``."""
    count = 1
    while True:
        times = []
        for _ in range(3):  # the first is no measure of those that follow
            start = time.perf_counter()
            function(A[:count])
            synchronize(device)
            times.append(time.perf_counter() - start)
        if min(times) >= seconds or count >= len(A):
            return A[:count]
        count = min(4 * count, len(A))


def measure(benchmark: Benchmark, n: int, dtype: torch.dtype, device: torch.device, ratios: gate.Ratios, origin: record.Provenance, chosen: dict[str, Any]) -> Iterator[record.Row]:
    batch = max(2, chosen["entries"] // n**2)
    host = benchmark.inputs(n, batch, dtype, torch.Generator().manual_seed(n))[0]
    there = host.to(device)
    parts, calls = {}, {}
    for provider in providers(benchmark, device):
        parts[provider.name] = part = share(provider.function, host if provider.on_host else there, device, chosen["call"])

        def call(function: Function = provider.function, part: Tensor = part) -> None:
            function(part)
            synchronize(device)

        calls[provider.name] = call
    for name, seconds in interleaved(calls, chosen["effort"]).items():
        p20, median, p80 = (float(q) for q in np.quantile(seconds, (0.2, 0.5, 0.8)) / len(parts[name]))
        ratio = {OURS: ratios.ours, "torch": ratios.torch}.get(name)
        yield record.Row(benchmark.name, name, dtype_name(dtype), n, len(parts[name]), len(seconds), median, p20, p80, None, ratio, origin)


def provenance(device: torch.device) -> record.Provenance:
    """The host's, with the GPU as machine and its compute capability as instruction set."""
    origin = record.provenance()
    if device.type != "cuda":
        return origin
    major, minor = torch.cuda.get_device_capability(device)
    return replace(origin, machine=torch.cuda.get_device_name(device), isa=f"sm_{major}{minor}")


def run(device: torch.device, pattern: str, chosen: dict[str, Any]) -> list[record.Row]:
    """Rows of every point whose name matches.

    Raises:
        RedGate: when an accuracy gate is red.
    """
    origin = provenance(device)
    rows: list[record.Row] = []
    for benchmark in (b for b in BENCHMARKS if b.name in DENSE):
        for dtype in chosen["dtypes"]:
            sizes = [n for n in chosen["sizes"] if re.search(pattern, f"{benchmark.name} {dtype_name(dtype)} n={n}")]
            if not sizes:
                continue
            ratios = check(replace(benchmark, function=on_device(benchmark.function, device), batch=lambda n, threads: 50), dtype, sizes)
            for n in sizes:
                new = list(measure(benchmark, n, dtype, device, ratios, origin, chosen))
                print(f"{benchmark.name} {dtype_name(dtype)} n={n}: " + ", ".join(f"{row.provider} {row.median_s * 1e6:.3g}" for row in new))
                rows += new
    return rows


def results_file(device: torch.device) -> Path:
    origin = provenance(device)
    return RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', origin.machine.lower()).strip('-')}.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="a few small matrices on the CPU")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the points whose name matches, e.g. '^eig float32 n=8$'")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the rows go; table and figure lie beside it")
    given = parser.parse_args()
    if not given.dry_run and not torch.cuda.is_available():
        print(f"no CUDA device: torch {torch.__version__} sees none, so there is nothing to measure", file=sys.stderr)
        return 2
    device = torch.device("cpu" if given.dry_run else "cuda")
    chosen = DRY if given.dry_run else {"sizes": SIZES, "dtypes": DTYPES, "entries": ENTRIES, "call": CALL, "effort": EFFORT}
    print(f"{provenance(device).machine}, torch {torch.__version__}: median microseconds per matrix")
    try:
        rows = run(device, given.filter, chosen)
    except gate.RedGate as error:
        print(error, file=sys.stderr)
        return 1
    csv = given.csv or (None if given.filter or given.dry_run else results_file(device))
    if csv is not None and rows:
        record.write_csv(csv, rows)
        plot.write(csv)
        print(table.machine_line(rows[0].provenance))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
