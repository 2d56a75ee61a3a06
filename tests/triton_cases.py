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


CASES: dict[str, Callable[[], Call]] = {
    "diagonal float32": lambda: diagonal(F32, False),
    "diagonal float32 log": lambda: diagonal(F32, True),
    "diagonal float64 log": lambda: diagonal(F64, True),
    "sketch float32": lambda: sketch(F32, False),
    "sketch float64 log": lambda: sketch(F64, True),
    "sketch complex64": lambda: sketch(C64, False),
    "sketch complex64 log": lambda: sketch(C64, True),
    "sketch complex128, flags": lambda: sketch(C128, False, True),
}
