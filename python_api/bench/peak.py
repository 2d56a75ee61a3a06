"""The machine's floating-point peak, measured: the best matrix product of torch and of numpy on all cores."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

SIZE = 1536
REPEATS = 6


@lru_cache
def peak_flops(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a 1536 x 1536 product in the real type of ``dtype``, multiply and add apart.

    A well-kept matrix product runs at nearly every fused multiply-add the cores have; two libraries are asked
    because neither is the faster one everywhere.
    """
    a = torch.randn(SIZE, SIZE, dtype=dtype.to_real())
    array, best = a.numpy(), float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        torch.mm(a, a)
        middle = time.perf_counter()
        array @ array
        best = min(best, middle - start, time.perf_counter() - middle)
    return 2.0 * SIZE**3 / best
