"""The registry under pytest-benchmark, one group per point: ``pytest benchmarks --benchmark-compare`` finds a regression.

The quick sizes; each benchmark's accuracy is checked before its first point.  Published figures come from `run.py`, which
interleaves the providers: pytest-benchmark runs them one after the other.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

from spectral_kernels.api.bench import runner
from spectral_kernels.api.bench.registry import Benchmark, select

POINTS = select(quick=True)
CASES = [(point, provider) for point in POINTS for provider in (runner.OURS, *(o.name for o in point.benchmark.opponents))]


@cache
def accuracy(benchmark: Benchmark, dtype: torch.dtype):
    return runner.check(benchmark, dtype, benchmark.quick_sizes)


@pytest.mark.parametrize(("point", "provider"), CASES, ids=[f"{point.name} {provider}" for point, provider in CASES])
def test_point(benchmark, point, provider):
    ratios = accuracy(point.benchmark, point.dtype)
    inputs = point.benchmark.make_inputs(point.n, point.dtype)
    functions = {runner.OURS: point.benchmark.function} | {o.name: o.function for o in point.benchmark.opponents}
    benchmark.group = point.name
    benchmark.extra_info.update(batch=len(inputs[0]), ratio=ratios.ours)
    benchmark.pedantic(functions[provider], args=inputs, rounds=5, warmup_rounds=1)
