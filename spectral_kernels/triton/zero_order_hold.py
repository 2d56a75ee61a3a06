"""The sketch of ``exp(delta_d rate_dn)``: the eigenvalues are neither written nor, for their bins, computed.

The bin of an eigenvalue is read off the bits of ``h = -delta rate``; only the sums need the exponential.  What is not in the axis' octaves on the
decaying side (growing, zero, too slow, too fast) is rare, and goes through `sketch_value`.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.exponential import exp
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2
from spectral_kernels.triton.sketch import (
    BINS,
    COLUMNS,
    FINE,
    ONE,
    PLANE_AT,
    SECTORS,
    TALLY_AT,
    add_fixed_point,
    check_state,
    grouped,
    normalise_sums,
    sketch_value,
)

DECAYING = tl.constexpr(2048)  # a power of 2 that holds the bins on the decaying side


@triton.jit
def part_of(h):
    """The part of the octaves that a number lies in; negative, or `FINE` and more, outside of them."""
    if h.dtype == tl.float64:
        bits, first = (h.to(tl.int64, bitcast=True) >> 47).to(tl.int32), (1023 - 32) << 5
    else:
        bits, first = h.to(tl.int32, bitcast=True) >> 18, (127 - 32) << 5
    return bits - first


@triton.jit
def zero_order_hold_kernel(
    counts,
    sums,
    extremes,
    rows,
    delta,
    rate,
    rate_is_bad,
    valid,
    edges,
    directions,
    rings,
    positions,
    channels,
    length,
    n,
    blocks,
    per_block,
    repeat: tl.int64,
    delta_group,
    delta_position,
    delta_channel,
    valid_group,
    valid_position,
    POSITIONS: tl.constexpr,
    LENGTH: tl.constexpr,
):
    """A program takes ``per_block`` positions of one group, `POSITIONS` at a time, in tiles of `LENGTH` of their ``length = D n`` eigenvalues."""
    group, first = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0).to(tl.int64) % blocks * per_block
    last = tl.minimum(first + per_block, positions)
    row = tl.load(rows + group)
    bad_rate = tl.load(rate_is_bad).to(tl.int32)
    dtype: tl.constexpr = delta.dtype.element_ty
    histogram = tl.zeros((DECAYING,), tl.int32)
    least, most = tl.full((), float("inf"), dtype), tl.full((), 0.0, dtype)
    for begin in range(first, last, POSITIONS):
        position = begin + tl.arange(0, POSITIONS)[:, None]
        there = position < last
        if valid is not None:
            there = there & (tl.load(valid + group * valid_group + position * valid_position, mask=there, other=0) != 0)
        steps = delta + group * delta_group + position * delta_position
        bad = tl.zeros((POSITIONS, 1), tl.int32) | bad_rate
        for d in range(0, channels, LENGTH):
            channel = d + tl.arange(0, LENGTH)[None, :]
            step = tl.load(steps + channel * delta_channel, mask=there & (channel < channels), other=0.0)
            bad = bad | tl.max((tl.abs(step) == float("inf")).to(tl.int32) | (step != step).to(tl.int32), 1, keep_dims=True)
        ok = there & (bad == 0)
        wrong = tl.sum((there & (ok == 0)).to(tl.int64))
        tl.atomic_add(counts + row * COLUMNS + TALLY_AT + 3, repeat * length * wrong, sem="relaxed")
        log, log2 = tl.zeros((POSITIONS,), tl.float64), tl.zeros((POSITIONS,), tl.float64)
        modulus, modulus2 = tl.zeros((POSITIONS,), tl.float64), tl.zeros((POSITIONS,), tl.float64)
        for e in range(0, length, LENGTH):
            column = e + tl.arange(0, LENGTH)[None, :]
            inside = ok & (column < length)
            step = tl.load(steps + column // n * delta_channel, mask=inside, other=0.0)
            h = -step * tl.load(rate + column, mask=column < length, other=0.0)
            part = part_of(h)
            regular = inside & (part >= 0) & (part < FINE)
            part += 1 + (h > 0.10536051565782630123).to(tl.int32) + (h > 0.69314718055994530942).to(tl.int32) + (h > 2.3025850929940456840).to(tl.int32)
            histogram += tl.histogram(tl.reshape(tl.where(regular, part, 0), (POSITIONS * LENGTH,)), DECAYING, mask=tl.reshape(regular, (POSITIONS * LENGTH,)))
            least = tl.minimum(least, tl.min(tl.where(regular, h, float("inf"))))
            most = tl.maximum(most, tl.max(tl.where(regular, h, 0.0)))
            v = tl.where(regular, -h, 0.0).to(tl.float64)
            size = tl.where(regular, exp(-h), 0.0).to(tl.float64)
            log += tl.sum(v, 1)
            log2 += tl.sum(v * v, 1)
            modulus += tl.sum(size, 1)
            modulus2 += tl.sum(size * size, 1)
            others = tl.reshape(inside & (regular == 0), (POSITIONS * LENGTH,))
            if tl.max(others.to(tl.int32)) != 0:
                values = tl.reshape(-h, (POSITIONS * LENGTH,))
                sketch_value(counts, sums, extremes, row, values, values, others, repeat, others & False, edges, directions, rings, False, True)
        add_fixed_point(sums + row * 12, log, repeat)
        add_fixed_point(sums + row * 12 + 3, log2, repeat)
        add_fixed_point(sums + row * 12 + 6, modulus, repeat)
        add_fixed_point(sums + row * 12 + 9, modulus2, repeat)
    counts += row * COLUMNS
    part = tl.arange(0, DECAYING)
    some, times = histogram > 0, repeat * histogram.to(tl.int64)
    bin = tl.where(some, ONE - 1 - part, 0)
    tl.atomic_add(counts + bin, times, mask=some, sem="relaxed")
    tl.atomic_add(counts + PLANE_AT + tl.load(rings + bin).to(tl.int32) * SECTORS, times, mask=some, sem="relaxed")
    held = tl.sum(times)
    tl.atomic_add(counts + BINS, held, sem="relaxed")
    tl.atomic_add(counts + TALLY_AT, held, sem="relaxed")
    if held > 0:
        ends = (extremes + row * 2).to(tl.pointer_type(tl.int64), bitcast=True)  # numbers >= 0, and -inf, are in the order of their bits
        tl.atomic_min(ends, tl.exp(-most.to(tl.float64)).to(tl.int64, bitcast=True), sem="relaxed")
        tl.atomic_max(ends + 1, tl.exp(-least.to(tl.float64)).to(tl.int64, bitcast=True), sem="relaxed")


def sketch_zero_order_hold(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, delta: Tensor, rate: Tensor, valid: Tensor | None, repeat: int, *tables: Any
) -> None:
    """The contract: `reference.sketch.zero_order_hold`.  A position's terms are summed before they are rounded to fixed point."""
    op = "sketch_zero_order_hold"
    check(
        op,
        delta.dim() >= 2 and rate.dim() == 2 and delta.shape[-1] in (1, rate.shape[0]),
        lambda: f"delta of shape (G, ..., D) and rate of shape (D, N), got {tuple(delta.shape)} and {tuple(rate.shape)}",
    )
    check_real(op, delta, rate)
    check_state(op, counts, sums, extremes, rows, delta.shape[0])
    check(op, valid is None or (valid.dtype == torch.bool and valid.shape == delta.shape[:-1]), lambda: "valid boolean and of the positions' shape")
    if delta.numel() == 0 or rate.numel() == 0 or repeat <= 0:
        return
    flat, ok = grouped(delta, 1), None if valid is None else grouped(valid, 0)
    (groups, positions, channels), length, tile = flat.shape, rate.numel(), tuning.ZERO_ORDER_HOLD[delta.dtype]
    at_once = min(power_of_2(length), tile.elements)
    side_by_side = tile.elements // at_once
    per_block = side_by_side * max(1, tuning.SKETCH_TILES // triton.cdiv(length, at_once))
    blocks = triton.cdiv(positions, per_block)
    strides = (*flat.stride()[:2], flat.stride(2) if channels > 1 else 0, *((0, 0) if ok is None else ok.stride()))
    launch(
        zero_order_hold_kernel, groups * blocks, delta, counts, sums, extremes, rows, flat, rate.contiguous(), (~rate.isfinite()).any(), ok, *tables,
        positions, channels, length, rate.shape[1], blocks, per_block, repeat, *strides, side_by_side, at_once,
        num_warps=tile.num_warps, enable_fp_fusion=False,
    )  # fmt: skip
    normalise_sums(sums)
