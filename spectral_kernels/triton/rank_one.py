"""Eigenvalues of ``alpha I - beta k p^T``: each k read once and each eigenvalue written once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2, rows
from spectral_kernels.triton.store import store_complex


@triton.jit
def rank_one_values(alpha, beta, k, p, row, there, n, alpha_row, beta_row, k_row, k_stride, p_row, p_stride, COLUMNS: tl.constexpr):
    """Of the matrices ``row (R, 1)``: alpha, and ``alpha - beta p^T k``; both NaN where that is not finite, for then the matrix is not."""
    a, b = tl.load(alpha + row * alpha_row, mask=there, other=0.0), tl.load(beta + row * beta_row, mask=there, other=0.0)
    products = tl.zeros((row.shape[0], COLUMNS), k.dtype.element_ty)
    for first in range(0, n, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        inside = there & (column < n)
        x = tl.load(k + row * k_row + column * k_stride, mask=inside, other=0.0)
        y = x
        if p is not None:
            y = tl.load(p + row * p_row + column * p_stride, mask=inside, other=0.0)
        products += x * y
    last = a - b * tl.sum(products, 1, keep_dims=True)
    finite = tl.abs(last) < float("inf")
    return tl.where(finite, a, float("nan")), tl.where(finite, last, float("nan"))


@triton.jit
def rank_one_kernel(
    alpha,
    beta,
    k,
    p,
    out,
    count,
    n,
    written,
    alpha_row,
    beta_row,
    k_row,
    k_stride,
    p_row,
    p_stride,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """``out (count, written, 2)``: alpha, and in the last place the other eigenvalue."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    repeated, last = rank_one_values(alpha, beta, k, p, row, row < count, n, alpha_row, beta_row, k_row, k_stride, p_row, p_stride, COLUMNS)
    for first in range(0, written, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        store_complex(out, row * written + column, tl.where(column == written - 1, last, repeated), (row < count) & (column < written))


def rank_one_eigvals(alpha: Tensor, beta: Tensor, k: Tensor, p: Tensor | None = None, distinct: bool = False) -> Tensor:
    """The contract: `reference.rank_one.rank_one_eigvals`."""
    op = "rank_one_eigvals"
    check(op, k.dim() >= 1 and (p is None or (p.dim() >= 1 and p.shape[-1] == k.shape[-1])), lambda: "alpha and beta (...), k and p (..., n)")
    check_real(op, alpha, beta, k, *(() if p is None else (p,)))
    batch = torch.broadcast_shapes(alpha.shape, beta.shape, k.shape[:-1], *(() if p is None else (p.shape[:-1],)))
    n = k.shape[-1]
    written = min(n, 2) if distinct else n
    out = k.new_empty((*batch, written), dtype=k.dtype.to_complex())
    if out.numel():
        a, b, rows_k, rows_p = rows(alpha, 0, batch), rows(beta, 0, batch), rows(k, 1, batch), None if p is None else rows(p, 1, batch)
        tile = tuning.RANK_ONE[k.dtype]
        columns = min(power_of_2(n), tile.elements)
        at_once = tile.elements // columns
        strides = (*a.stride(), *b.stride(), *rows_k.stride(), *((0, 0) if rows_p is None else rows_p.stride()))
        args = (a, b, rows_k, rows_p, torch.view_as_real(out), len(a), n, written, *strides, at_once, columns)
        launch(rank_one_kernel, triton.cdiv(len(a), at_once), k, *args, num_warps=tile.num_warps)
    return out
