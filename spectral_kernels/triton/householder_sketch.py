"""The eigenvalues of `householder` into a sketch: none leaves the program that finds it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.householder import solve
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2
from spectral_kernels.triton.sketch import check_state, grouped, normalise_sums, sketch_value
from spectral_kernels.triton.small_matrix import append, put


@triton.jit
def _side_by_side(x, M: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """A tuple of M >= 2 tensors ``(BLOCK)`` as one: WIDTH, the next power of 2, behind one another, the first in front; with M = 3 a copy behind."""
    if M == 2:
        tile = tl.join(x[0], x[1])
    elif M == 3:
        tile = tl.join(tl.join(x[0], x[1]), tl.join(x[2], x[1]))
    else:
        tile = tl.join(tl.join(x[0], x[1]), tl.join(x[2], x[3]))
    return tl.reshape(tile, (WIDTH * BLOCK,))


@triton.jit
def sketch_householder_kernel(
    counts,
    sums,
    extremes,
    rows,
    alpha_ptr,  # (groups, positions)
    beta_ptr,  # (groups, positions, M)
    k_ptr,  # (groups, positions, M, n)
    valid,  # (groups, positions) or None
    edges,
    directions,
    rings,
    positions,
    n,
    blocks,
    per_block,
    repeat,
    alpha_group,
    alpha_position,
    beta_group,
    beta_position,
    beta_stride,
    k_group,
    k_position,
    vector_stride,
    stride,
    valid_group,
    valid_position,
    M: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """A program takes ``per_block`` positions of one group, BLOCK at a time: alpha times the core's eigenvalues, and alpha n - M times."""
    program = tl.program_id(0).to(tl.int64)
    group, start = program // blocks, program % blocks * per_block
    row = tl.load(rows + group)
    for first in range(0, tl.minimum(positions - start, per_block), BLOCK):
        position = start + first + tl.arange(0, BLOCK)
        inside = (first + tl.arange(0, BLOCK) < per_block) & (position < positions)
        alpha = tl.load(alpha_ptr + group * alpha_group + position * alpha_position, mask=inside, other=1.0)
        k, beta = k_ptr + group * k_group + (position * k_position)[:, None], beta_ptr + group * beta_group + position * beta_position
        re, im, _ = solve(k, beta, tl.where(inside, position, positions), positions, n, beta_stride, vector_stride, stride, M, BLOCK, CHUNK)
        bad = (tl.abs(alpha) < float("inf")) == 0
        for j in tl.static_range(0, M):
            re, im = put(re, j, alpha * re[j]), put(im, j, alpha * im[j] + 0.0)
            bad = bad | ((tl.abs(re[j]) < float("inf")) == 0) | ((tl.abs(im[j]) < float("inf")) == 0)
        if valid is not None:
            inside = inside & (tl.load(valid + group * valid_group + position * valid_position, mask=inside, other=0) != 0)
        alphas, own = (), ()
        for j in tl.static_range(0, M):
            re = put(re, j, tl.where(bad, float("nan"), re[j]))
            alphas, own = append(alphas, tl.where(bad, float("nan"), alpha)), append(own, inside.to(tl.int32))
        re, im = _side_by_side(re, M, WIDTH, BLOCK), _side_by_side(im, M, WIDTH, BLOCK)
        alphas, inside = _side_by_side(alphas, M, WIDTH, BLOCK), _side_by_side(own, M, WIDTH, BLOCK) != 0
        column = tl.arange(0, WIDTH * BLOCK) % WIDTH
        for part in range(0, 2):  # the eigenvalues of the core, then alpha
            core = tl.full((1,), part, tl.int32) == 0
            x, y, there = tl.where(core, re, alphas), tl.where(core, im, 0.0), inside & (column < tl.where(core, M, 1))
            times = repeat * (1 + part * (n - M - 1))
            sketch_value(counts, sums, extremes, row, x, y, there, times, there & False, edges, directions, rings, True, False)


def sketch_householder(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, alpha: Tensor, beta: Tensor, k: Tensor, valid: Tensor | None, repeat: int, *tables: Tensor
) -> None:
    """The contract: the op's definition, `reference.householder.householder_core`, its eigenvalues, and `reference.sketch.sketch`."""
    op, (m, n) = "sketch_householder", k.shape[-2:]
    check_real(op, alpha, beta, k)
    check(op, alpha.dim() >= 1 and beta.shape == (*alpha.shape, m) and k.shape == (*alpha.shape, m, n), lambda: "alpha (G, ...), beta (G, ..., m), k (G, ..., m, n)")
    check(op, 2 <= m < n, lambda: f"2 <= m < n, got m = {m} and n = {n}")
    check_state(op, counts, sums, extremes, rows, alpha.shape[0])
    check(op, valid is None or (valid.dtype == torch.bool and valid.shape == alpha.shape), lambda: "valid boolean and of the positions' shape")
    if m > tuning.HOUSEHOLDER_LIMIT:
        return NotImplemented
    if alpha.numel() == 0 or repeat == 0:
        return
    alphas, betas, vectors, tile = grouped(alpha, 0), grouped(beta, 1), grouped(k, 2), tuning.HOUSEHOLDER[k.dtype]
    ok = None if valid is None else grouped(valid, 0)
    groups, positions = alphas.shape
    per_block = tuning.SKETCH_TILES * tile.rows
    blocks = triton.cdiv(positions, per_block)
    strides = (*alphas.stride(), *betas.stride(), *vectors.stride(), *((0, 0) if ok is None else ok.stride()))
    launch(
        sketch_householder_kernel, groups * blocks, k, counts, sums, extremes, rows, alphas, betas, vectors, ok, *tables, positions, n, blocks, per_block,
        repeat, *strides, m, power_of_2(m), tile.rows, tile.columns, num_warps=tile.num_warps, enable_fp_fusion=False,
    )  # fmt: skip
    normalise_sums(sums)
