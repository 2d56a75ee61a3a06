"""The sketch of ``alpha I - beta k k^T``: from the factors, without the eigenvalues in memory."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.launch import check, check_real, launch
from spectral_kernels.triton.rank_one import rank_one_values
from spectral_kernels.triton.sketch import check_state, grouped, normalise_sums, sketch_value


@triton.jit
def rank_one_sketch_kernel(
    counts,
    sums,
    extremes,
    rows,
    alpha,
    beta,
    k,
    valid,
    edges,
    directions,
    rings,
    positions,
    n,
    blocks,
    per_block,
    repeat: tl.int64,
    alpha_group,
    alpha_row,
    beta_group,
    beta_row,
    k_group,
    k_row,
    k_stride,
    valid_group,
    valid_row,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """A program takes ``per_block`` positions of one group, `ROWS` at a time; alpha counts n - 1 times."""
    group, first = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0).to(tl.int64) % blocks * per_block
    last = tl.minimum(first + per_block, positions)
    to = tl.load(rows + group)
    for begin in range(first, last, ROWS):
        row = begin + tl.arange(0, ROWS)[:, None]
        there = row < last
        if valid is not None:
            there = there & (tl.load(valid + group * valid_group + row * valid_row, mask=there, other=0) != 0)
        a, b = alpha + group * alpha_group, beta + group * beta_group
        repeated, other = rank_one_values(a, b, k + group * k_group, None, row, there, n, alpha_row, beta_row, k_row, k_stride, 0, 0, COLUMNS)
        one, each, some = tl.reshape(other, (ROWS,)), tl.reshape(repeated, (ROWS,)), tl.reshape(there, (ROWS,))
        for i in range(tl.where(n > 1, 0, 1), 2):
            value, times = tl.where(i == 0, each, one), tl.where(i == 0, repeat * (n - 1), repeat)
            sketch_value(counts, sums, extremes, to, value, value, some, times, some & False, edges, directions, rings, False, False)


def sketch_rank_one(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, alpha: Tensor, beta: Tensor, k: Tensor, valid: Tensor | None, repeat: int, *tables: Any
) -> None:
    """The contract: `ops.sketch.sketch_rank_one`."""
    op = "sketch_rank_one"
    batch = k.shape[:-1]
    check(op, k.dim() >= 2 and alpha.shape == batch and beta.shape == batch, lambda: "alpha and beta of shape (G, ...) and k of shape (G, ..., n)")
    check_real(op, alpha, beta, k)
    check_state(op, counts, sums, extremes, rows, k.shape[0])
    check(op, valid is None or (valid.dtype == torch.bool and valid.shape == batch), lambda: "valid boolean and of the positions' shape")
    if k.numel() == 0 or repeat <= 0:
        return
    a, b, vectors, ok = grouped(alpha, 0), grouped(beta, 0), grouped(k, 1), None if valid is None else grouped(valid, 0)
    (groups, positions, n), tile = vectors.shape, tuning.RANK_ONE_SKETCH[k.dtype]
    per_block = tile.rows * tuning.SKETCH_TILES
    blocks = triton.cdiv(positions, per_block)
    strides = (*a.stride(), *b.stride(), *vectors.stride(), *((0, 0) if ok is None else ok.stride()))
    launch(
        rank_one_sketch_kernel, groups * blocks, k, counts, sums, extremes, rows, a, b, vectors, ok, *tables,
        positions, n, blocks, per_block, repeat, *strides, tile.rows, tile.columns, num_warps=tile.num_warps, enable_fp_fusion=False,
    )  # fmt: skip
    normalise_sums(sums)
