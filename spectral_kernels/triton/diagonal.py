"""Eigenvalues of real diagonals, of those given by their logs, and of a zero-order hold: each written once, as a complex number."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.exponential import exp
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2, rows
from spectral_kernels.triton.store import store_complex


@triton.jit
def diagonal_kernel(value, out, count, n, row_stride, stride, LOG: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """``value (count, n)`` to ``out (count, n, 2)``; the second pass finds in the cache what the first has read."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    bad = tl.zeros((ROWS, 1), tl.int32)
    for first in range(0, n, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        x = tl.load(value + row * row_stride + column * stride, mask=(row < count) & (column < n), other=0.0)
        number = x < float("inf") if LOG else tl.abs(x) < float("inf")
        bad = bad | tl.max((number == 0).to(tl.int32), 1, keep_dims=True)
    for first in range(0, n, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        inside = (row < count) & (column < n)
        x = tl.load(value + row * row_stride + column * stride, mask=inside, other=0.0)
        y = tl.where(bad != 0, float("nan"), exp(x) if LOG else x)
        store_complex(out, row * n + column, y, inside)


def diagonal_eigvals(value: Tensor, log: bool) -> Tensor:
    """The contract: `reference.diagonal.diagonal_eigvals`."""
    check("diagonal_eigvals", value.dim() >= 1, lambda: "value (..., n)")
    check_real("diagonal_eigvals", value)
    out = value.new_empty(value.shape, dtype=value.dtype.to_complex())
    if out.numel():
        flat, tile = rows(value, 1), tuning.DIAGONAL[value.dtype]
        count, n = flat.shape
        columns = min(power_of_2(n), tile.elements)
        at_once = tile.elements // columns
        programs = triton.cdiv(count, at_once)
        launch(diagonal_kernel, programs, value, flat, torch.view_as_real(out), count, n, *flat.stride(), log, at_once, columns, num_warps=tile.num_warps)
    return out


@triton.jit
def expand_exp_kernel(delta, rate, out, count, length, n, delta_row, delta_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """``exp(delta (count, D) rate (D, n))`` to ``out (count, length, 2)``, ``length = D n``."""
    blocks = tl.cdiv(length, COLUMNS)
    row = tl.program_id(0).to(tl.int64) // blocks * ROWS + tl.arange(0, ROWS)[:, None]
    column = (tl.program_id(0) % blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (row < count) & (column < length)
    step = tl.load(delta + row * delta_row + column // n * delta_stride, mask=inside, other=0.0)
    per_time = tl.load(rate + column, mask=column < length, other=0.0)
    store_complex(out, row * length + column, exp(step * per_time), inside)


def expand_exp(delta: Tensor, rate: Tensor) -> Tensor:
    """The contract: `reference.expand_exp.expand_exp`."""
    check("expand_exp", delta.dim() >= 1 and rate.dim() == 2 and delta.shape[-1] == rate.shape[0], lambda: "delta (..., D) and rate (D, N)")
    check_real("expand_exp", delta, rate)
    length = rate.numel()
    out = delta.new_empty((*delta.shape[:-1], length), dtype=delta.dtype.to_complex())
    if out.numel():
        flat, tile = rows(delta, 1), tuning.EXPAND_EXP[delta.dtype]
        columns = min(power_of_2(length), tile.elements)
        at_once = tile.elements // columns
        programs = triton.cdiv(len(flat), at_once) * triton.cdiv(length, columns)
        args = (flat, rate.contiguous(), torch.view_as_real(out), len(flat), length, rate.shape[1], *flat.stride(), at_once, columns)
        launch(expand_exp_kernel, programs, delta, *args, num_warps=tile.num_warps)
    return out
