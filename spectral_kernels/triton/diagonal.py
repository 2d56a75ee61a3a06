"""Eigenvalues of real diagonals, and of those given by their logs: each read once and written once, as a complex number."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.exponential import exp
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2, rows


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


@triton.jit
def store_complex(out, at, re, inside):
    """Real numbers to the elements ``at (R, C)`` of a complex tensor, whose real and imaginary parts lie side by side."""
    part = tl.arange(0, 2)[None, None, :]
    both = tl.where(part == 0, re[:, :, None], 0.0)
    tl.store(out + 2 * at[:, :, None] + part, both, mask=inside[:, :, None] & (part < 2))


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
