"""The roots of `secular` into a sketch: no eigenvalue leaves the program that finds it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.launch import check, launch, power_of_2
from spectral_kernels.triton.secular import check_rows, solve
from spectral_kernels.triton.sketch import check_state, grouped, normalise_sums, sketch_value


@triton.jit
def sketch_secular_kernel(
    counts,
    sums,
    extremes,
    rows,
    d_ptr,  # (groups, positions, n), like b and c
    b_ptr,
    c_ptr,
    valid,  # (groups, positions) or None
    work,  # (programs, 2, B, n)
    edges,
    directions,
    rings,
    positions,
    n,
    blocks,
    per_block,
    repeat,
    d_group,
    d_position,
    d_column,
    b_group,
    b_position,
    b_column,
    c_group,
    c_position,
    c_column,
    valid_group,
    valid_position,
    B: tl.constexpr,
    N: tl.constexpr,
):
    """A program takes ``per_block`` positions of one group, B at a time."""
    program = tl.program_id(0).to(tl.int64)
    group, start = program // blocks, program % blocks * per_block
    row = tl.load(rows + group)
    slot = tl.arange(0, B)[:, None]
    i = tl.arange(0, N)[None, :] + tl.zeros((B, 1), tl.int32)
    poles = work + (program * 2 * B + slot) * n
    weights = poles + B * n
    d_ptr, b_ptr, c_ptr = d_ptr + group * d_group, b_ptr + group * b_group, c_ptr + group * c_group
    for first in range(0, tl.minimum(positions - start, per_block), B):
        position = start + first + slot
        there = (i < n) & (first + slot < per_block) & (position < positions)
        at = d_ptr + position * d_position
        d = tl.load(at + i * d_column, mask=there, other=0.0)
        b = tl.load(b_ptr + position * b_position + i * b_column, mask=there, other=0.0)
        c = tl.load(c_ptr + position * c_position + i * c_column, mask=there, other=0.0)
        origin, _, _, offset, bad, _ = solve(poles, weights, n, i, d, b * c, there)
        value = tl.load(at + origin * d_column, mask=there, other=0.0) + offset
        value = tl.reshape(tl.where(bad, float("nan"), value), (B * N,))
        if valid is not None:
            there = there & (tl.load(valid + group * valid_group + position * valid_position, mask=there, other=0) != 0)
        there = tl.reshape(there, (B * N,))
        sketch_value(counts, sums, extremes, row, value, value, there, repeat, there & False, edges, directions, rings, False, False)


def sketch_secular(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, d: Tensor, b: Tensor, c: Tensor, valid: Tensor | None, repeat: int, *tables: Tensor
) -> None:
    """The contract: the op's definition, `reference.secular.secular` and `reference.sketch.sketch`."""
    check_rows("sketch_secular", d, b, c)
    check("sketch_secular", d.dim() >= 2, lambda: f"d of shape (G, ..., n), got {tuple(d.shape)}")
    check_state("sketch_secular", counts, sums, extremes, rows, d.shape[0])
    check("sketch_secular", valid is None or (valid.dtype == torch.bool and valid.shape == d.shape[:-1]), lambda: "valid boolean and of the positions' shape")
    n = d.shape[-1]
    if n > tuning.SECULAR_LIMIT:
        return NotImplemented
    if d.numel() == 0 or repeat == 0:
        return
    flat, ok, tile = [grouped(t, 1) for t in (d, b, c)], None if valid is None else grouped(valid, 0), tuning.rows_for(tuning.SECULAR, n)
    groups, positions, _ = flat[0].shape
    per_block = triton.cdiv(positions, max(1, tuning.SKETCH_PROGRAMS // groups))
    per_block = triton.cdiv(per_block, tile.rows) * tile.rows
    blocks = triton.cdiv(positions, per_block)
    work = d.new_empty(groups * blocks, 2, tile.rows, n)
    strides = (*(s for t in flat for s in t.stride()), *((0, 0) if ok is None else ok.stride()))
    launch(
        sketch_secular_kernel, groups * blocks, d, counts, sums, extremes, rows, *flat, ok, work, *tables, positions, n, blocks, per_block, repeat,
        *strides, tile.rows, power_of_2(n), num_warps=tile.num_warps, enable_fp_fusion=False,
    )  # fmt: skip
    normalise_sums(sums)
