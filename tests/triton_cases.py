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


def attention(dtype: torch.dtype, depth: int = 64, softcap: float = 0.0, biases: bool = False) -> Call:
    B, H, Hk, T = 2, 4, 2, 200
    q, k = torch.zeros(B, T, H, depth, dtype=dtype).transpose(1, 2), torch.zeros(B, T, Hk, depth, dtype=dtype).transpose(1, 2)
    start = torch.zeros(B, T, dtype=torch.int64)
    bias, key_bias = (torch.zeros(B, 1, T, T, dtype=dtype), torch.zeros(1, H, T, dtype=F64)) if biases else (None, None)
    return "attention_lse", q, k, start, start + T, bias, key_bias, 0.3, softcap


def rank_one(dtype: torch.dtype, n: int, general: bool = False) -> Call:
    k = torch.zeros(1000, n, dtype=dtype)
    return "rank_one_eigvals", k[:, 0], k[:, 0], k, k if general else None, False


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


def rank_one_sketch(dtype: torch.dtype) -> Call:
    k = torch.zeros(2, 100, 64, dtype=dtype)
    return "sketch_rank_one", *empty(2), torch.arange(2), k[..., 0], k[..., 0], k, torch.ones(2, 100, dtype=torch.bool), 1, *tables(dtype, False)


def hold(dtype: torch.dtype, channels: int = 256) -> Call:
    delta, rate = torch.zeros(2, 100, channels, dtype=dtype), torch.zeros(channels, 16, dtype=dtype)
    return "sketch_zero_order_hold", *empty(2), torch.arange(2), delta, rate, torch.ones(2, 100, dtype=torch.bool), 1, *tables(dtype, True)


CASES: dict[str, Callable[[], Call]] = {
    "attention float32": lambda: attention(F32),
    "attention float32, depth 128": lambda: attention(F32, 128),
    "attention float32, cap and biases": lambda: attention(F32, 64, 2.0, True),
    "attention float64": lambda: attention(F64),
    "attention float64, cap and biases": lambda: attention(F64, 64, 2.0, True),
    "diagonal float32": lambda: diagonal(F32, False),
    "diagonal float32 log": lambda: diagonal(F32, True),
    "diagonal float64 log": lambda: diagonal(F64, True),
    "expand exp float32": lambda: ("expand_exp", torch.zeros(1000, 64), torch.zeros(64, 16)),
    "expand exp float64": lambda: ("expand_exp", torch.zeros(1000, 64, dtype=F64), torch.zeros(64, 16, dtype=F64)),
    "rank one float32": lambda: rank_one(F32, 64),
    "rank one float32, p, n = 128": lambda: rank_one(F32, 128, True),
    "rank one float64, p": lambda: rank_one(F64, 64, True),
    "sketch float32": lambda: sketch(F32, False),
    "sketch float64 log": lambda: sketch(F64, True),
    "sketch complex64": lambda: sketch(C64, False),
    "sketch complex64 log": lambda: sketch(C64, True),
    "sketch of a zero-order hold float32": lambda: hold(F32),
    "sketch of a zero-order hold float32, D N = 64": lambda: hold(F32, 4),
    "sketch of a zero-order hold float64": lambda: hold(F64),
    "sketch of rank one float32": lambda: rank_one_sketch(F32),
    "sketch of rank one float64": lambda: rank_one_sketch(F64),
    "sketch complex128, flags": lambda: sketch(C128, False, True),
    "secular float32 n = 8": lambda: ("secular", *factors(F32, 8)),
    "secular float64 n = 64": lambda: ("secular", *factors(F64, 64)),
    "secular_eig float32 n = 64": lambda: ("secular_eig", *factors(F32, 64, 3), True, True),
    "secular_eig float64 n = 8": lambda: ("secular_eig", *factors(F64, 8, 3), True, True),
    "secular_eig float64 n = 200": lambda: ("secular_eig", *factors(F64, 200, 3), True, True),
    "sketch_secular float64 n = 64": lambda: sketch_secular(F64, 64),
    "householder float32 m = 2": lambda: householder(F32, 2),
    "householder float32 m = 4": lambda: householder(F32, 4),
    "householder float64 m = 3": lambda: householder(F64, 3),
    "householder float64 m = 4": lambda: householder(F64, 4),
    "sketch_householder float64 m = 3": lambda: sketch_householder(F64, 3),
}
