"""Calls of launchers, by name: every kernel, dtype and flag that is compiled for each architecture and held to `triton_ceilings.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from spectral_kernels import ops
from spectral_kernels.reference import sketch as layout

Call = tuple[Any, ...]  # the op's name, its arguments

F32, F64, C64, C128 = torch.float32, torch.float64, torch.complex64, torch.complex128


def empty(rows: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The state of a sketch that holds nothing."""
    extremes = torch.tensor([torch.inf, -torch.inf], dtype=F64).repeat(rows, 1)
    return torch.zeros(rows, layout.COLUMNS, dtype=torch.int64), torch.zeros(rows, len(layout.SUMS), 3, dtype=torch.int64), extremes


def tables(dtype: torch.dtype, log: bool) -> tuple[torch.Tensor, ...]:
    return ops.sketch_tables(dtype, log, torch.device("cpu"))


def diagonal(dtype: torch.dtype, log: bool) -> Call:
    return "diagonal_eigvals", torch.zeros(1000, 64, dtype=dtype), log


def sketch(dtype: torch.dtype, log: bool, flags: bool = False) -> Call:
    values = torch.zeros(2, 100, 8, dtype=dtype)
    valid, suspect = (torch.ones(2, 100, dtype=torch.bool), torch.ones(values.shape, dtype=torch.bool)) if flags else (None, None)
    return "sketch", *empty(2), torch.arange(2), values, valid, suspect, torch.ones(8, dtype=torch.int64), *tables(dtype, log), log


def factors(dtype: torch.dtype, n: int, count: int = 2) -> list[torch.Tensor]:
    return [torch.zeros(1000, n, dtype=dtype) for _ in range(count)]


def sketch_secular(dtype: torch.dtype, n: int) -> Call:
    d, b, c = (torch.zeros(2, 100, n, dtype=dtype) for _ in range(3))
    return "sketch_secular", *empty(2), torch.arange(2), d, b, c, torch.ones(2, 100, dtype=torch.bool), 1, *tables(dtype, False)


def householder(dtype: torch.dtype, m: int) -> Call:
    return "householder_eigvals", torch.zeros(1000, m, dtype=dtype), torch.zeros(1000, m, 64, dtype=dtype)


def sketch_householder(dtype: torch.dtype, m: int) -> Call:
    alpha, beta, k = (torch.zeros(2, 100, *core, dtype=dtype) for core in ((), (m,), (m, 64)))
    return "sketch_householder", *empty(2), torch.arange(2), alpha, beta, k, None, 1, *tables(dtype.to_complex(), False)


CASES: dict[str, Callable[[], Call]] = {
    "diagonal float32": lambda: diagonal(F32, False),
    "diagonal float32 log": lambda: diagonal(F32, True),
    "diagonal float64 log": lambda: diagonal(F64, True),
    "sketch float32": lambda: sketch(F32, False),
    "sketch float64 log": lambda: sketch(F64, True),
    "sketch complex64": lambda: sketch(C64, False),
    "sketch complex64 log": lambda: sketch(C64, True),
    "sketch complex128, flags": lambda: sketch(C128, False, True),
    **{f"secular {dtype} n = {n}": lambda dtype=dtype, n=n: ("secular", *factors(dtype, n)) for dtype in (F32, F64) for n in (8, 64, 200)},
    **{f"secular_eig {dtype} n = {n}": lambda dtype=dtype, n=n: ("secular_eig", *factors(dtype, n, 3), True, True) for dtype in (F32, F64) for n in (8, 64, 200)},
    **{f"sketch_secular {dtype}": lambda dtype=dtype: sketch_secular(dtype, 64) for dtype in (F32, F64)},
    **{f"householder {dtype} m = {m}": lambda dtype=dtype, m=m: householder(dtype, m) for dtype in (F32, F64) for m in (1, 2, 3, 4)},
    **{f"sketch_householder {dtype} m = {m}": lambda dtype=dtype, m=m: sketch_householder(dtype, m) for dtype in (F32, F64) for m in (2, 4)},
}
