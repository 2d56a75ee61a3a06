"""Measures: the accuracy gate first, then the providers in turn, A B C A B C, so that a slow spell of the machine hits all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectral_kernels.api.bench import gate
from spectral_kernels.api.bench.peak import peak_flops
from spectral_kernels.api.bench.record import Provenance, Row, provenance
from spectral_kernels.api.bench.registry import Benchmark, Point, dtype_name

OURS = "spectral_kernels"
SERIAL_SHARE = 4  # a serial provider gets this part of one thread's matrices: its time per matrix is the same

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """At most ``rounds`` interleaved rounds and about ``seconds`` per point, but never fewer than ``least``.

    Before each counted call come ``settle`` seconds of calls that do not count: the threads of numpy's OpenBLAS spin on for
    25 ms after a call, on the cores of the next provider, and an idle core is slow at first.
    """

    rounds: int
    seconds: float
    least: int
    settle: float = 0.04


FULL = Effort(rounds=15, seconds=2.0, least=3)
QUICK = Effort(rounds=7, seconds=0.6, least=3)


def interleaved(calls: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, list[float]]:
    """Seconds of every call in every round; calls that are not counted come first."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    for done in range(effort.rounds):
        if done >= effort.least and time.perf_counter() - begin > effort.seconds:
            break
        for name, call in calls.items():
            settled = time.perf_counter() + effort.settle
            while time.perf_counter() < settled:
                call()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def check(benchmark: Benchmark, dtype: torch.dtype, sizes: Sequence[int]) -> gate.Ratios:
    """The worst ratios over the sizes.

    Raises:
        RedGate: when they are above the limits, or when the kernels give no result.
    """
    name = f"{benchmark.name} {dtype_name(dtype)}"
    worst = gate.Ratios(0.0, 0.0)
    for n in sizes:
        try:
            worst = worst.worst(benchmark.accuracy(benchmark.function, benchmark.make_inputs(n, dtype)))
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise gate.RedGate(f"{name} n={n}: accuracy gate is red: {error}; nothing is reported") from error
    gate.require_green(name, worst)
    return worst


def _gates(points: Sequence[Point]) -> dict[tuple[str, torch.dtype], tuple[Benchmark, list[int]]]:
    """Per benchmark and dtype the sizes its gate covers: those of the points and the quick ones.

    The worst ratio over a few sizes only varies by more than the limit's factor, in torch as in the kernels.
    """
    sizes: dict[tuple[str, torch.dtype], tuple[Benchmark, list[int]]] = {}
    for benchmark, dtype, n in points:
        covered = sizes.setdefault((benchmark.name, dtype), (benchmark, list(benchmark.quick_sizes)))[1]
        if n not in covered:
            covered.append(n)
    return sizes


def steps(points: Sequence[Point]) -> int:
    """How often `run` reports progress."""
    return len(_gates(points)) + len(points)


def run(points: Sequence[Point], effort: Effort = FULL, progress: Progress = lambda step: None) -> list[Row]:
    """Rows of every point and provider.  Every gate is checked before anything is timed.

    Raises:
        RedGate: when a gate is red; no row is returned.
    """
    ratios = {}
    for (name, dtype), (benchmark, sizes) in _gates(points).items():
        progress(f"accuracy {name} {dtype_name(dtype)}")
        ratios[name, dtype] = check(benchmark, dtype, sizes)
    origin = provenance()
    rows = []
    for point in points:
        progress(point.name)
        rows += _measure(point, effort, ratios[point.benchmark.name, point.dtype], origin)
    return rows


def _measure(point: Point, effort: Effort, ratios: gate.Ratios, origin: Provenance) -> list[Row]:
    benchmark, dtype, n = point
    inputs = benchmark.make_inputs(n, dtype)
    enough = max(1, benchmark.batch(n, 1) // SERIAL_SHARE)
    batches = {OURS: len(inputs[0])} | {o.name: min(enough, len(inputs[0])) if o.serial else len(inputs[0]) for o in benchmark.opponents}
    functions = {OURS: benchmark.function} | {o.name: o.function for o in benchmark.opponents}

    def call(name: str) -> Callable[[], object]:
        part: tuple[Tensor, ...] = tuple(tensor[: batches[name]] for tensor in inputs)
        return lambda: functions[name](*part)

    times = interleaved({name: call(name) for name in functions}, effort)
    flops = benchmark.matrix_flops(n, dtype)
    rows = []
    for name, seconds in times.items():
        p20, median, p80 = (float(q) for q in np.quantile(seconds, (0.2, 0.5, 0.8)) / batches[name])
        rows.append(
            Row(
                benchmark=benchmark.name,
                provider=name,
                dtype=dtype_name(dtype),
                n=n,
                batch=batches[name],
                rounds=len(seconds),
                median_s=median,
                p20_s=p20,
                p80_s=p80,
                peak_fraction=None if flops is None else flops / median / peak_flops(dtype),
                ratio={OURS: ratios.ours, "torch": ratios.torch}.get(name),
                provenance=origin,
            )
        )
    return rows
