"""Roots of the secular equation ``1 + sum_i p_i / (d_i - lambda) = 0``, p of one sign: csrc/core/secular.h, an entry of d per lane.

A program takes B matrices.  Its lanes ``(B, N)`` are the entries of d in the order given: one that is a pole (the heaviest of
those equal to it, with their joint weight) finds the root to the right of it, every other one is an eigenvalue as it is.  So
nothing is sorted but the results, and the poles are read back from memory one at a time by all lanes: the results' own
rows hold them, and no other memory is needed.  Every lane decides for itself, so no bit depends on who shares its program.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.arithmetic import any_of, divide, exponent_of, machine, power_of_two, sqrt
from spectral_kernels.triton.launch import check, check_real, launch, power_of_2

FAR = tl.constexpr(8.0)  # beyond every pole and root, which are below 4 once scaled


@triton.jit
def _value(poles, weights, n, origin, offset, paired, PAIRED: tl.constexpr):
    """f, its derivative, and 1 + sum |p_i / (d_i - lambda)|, at origin + offset ``(B, N)``.

    poles, weights: pointers ``(B, 1)`` to rows of n.  Divisions bound the speed: one serves two poles where their product is normal.
    """
    f = tl.full(offset.shape, 1.0, offset.dtype)
    slope = tl.zeros(offset.shape, offset.dtype)
    size = tl.full(offset.shape, 1.0, offset.dtype)
    for j in range(0, n, 2):
        second = tl.full((1, 1), 1, tl.int32) + j < n
        a = (tl.load(poles + j) - origin) - offset
        b = (tl.load(poles + j + 1, mask=second, other=FAR) - origin) - offset
        inverse = divide(1.0, a * b)
        over_a, over_b = inverse * b, inverse * a
        if not PAIRED:
            over_a, over_b = tl.where(paired, over_a, divide(1.0, a)), tl.where(paired, over_b, divide(1.0, b))
        ta = tl.load(weights + j) * over_a
        tb = tl.load(weights + j + 1, mask=second, other=0.0) * over_b
        f += ta + tb
        size += tl.abs(ta) + tl.abs(tb)
        slope = tl.fma(ta, over_a, tl.fma(tb, over_b, slope))
    return f, slope, size


@triton.jit
def _value_of_any(poles, weights, n, origin, offset, half_gap, active):
    safmin: tl.constexpr = machine("safmin", offset.dtype)
    paired = (half_gap * half_gap > safmin) & (tl.abs(offset) * half_gap > safmin)
    if any_of(active & ~paired):
        f, slope, size = _value(poles, weights, n, origin, offset, paired, False)
    else:
        f, slope, size = _value(poles, weights, n, origin, offset, paired, True)
    return f, slope, size


@triton.jit
def _two_pole_root(A, B, C, outer):
    """The root of C x^2 - A x + B between the poles of the interpolant, or right of both (outer)."""
    A, B, C = tl.where(outer, -A, A), tl.where(outer, -B, B), tl.where(outer, -C, C)
    root = sqrt(tl.abs(tl.fma(A, A, -4.0 * (B * C))))
    left = A <= 0
    return divide(tl.where(left, A - root, 2.0 * B), tl.where(left, 2.0 * C, A + root))


@triton.jit
def _away_from_pole(offset, side):
    return side * tl.maximum(tl.abs(offset), tl.full((1, 1), machine("safmin", offset.dtype), offset.dtype))


@triton.jit
def _inside(offset, low, high, side):
    return _away_from_pole(tl.where((offset >= low) & (offset <= high), offset, (low + high) * 0.5), side)


@triton.jit
def _halved(low, high, side, from_left):
    """The middle of the interval, of its logarithm where the ends differ by orders of magnitude."""
    near = tl.abs(_away_from_pole(tl.where(from_left, low, high), side))
    far = tl.where(from_left, high, -low)
    return side * tl.where(far > 16.0 * near, sqrt(near) * sqrt(far), 0.5 * (near + far))


@triton.jit
def _poles(poles, weights, n, i, x, p, there):
    """Whether each entry is a pole, and its weight ``(B, N)``; all entries are in the rows ``poles`` and ``weights``, where the poles go."""
    group, lighter = tl.zeros(x.shape, x.dtype), i < 0
    for j in range(0, n):
        equal = tl.load(poles + j) == x
        other = tl.load(weights + j)
        group += tl.where(equal, other, 0.0)
        lighter = lighter | (equal & ((other > p) | ((other == p) & (j < i))))
    pole = there & ~lighter & (group > machine("negligible_weight", x.dtype))
    group = tl.where(pole, group, 0.0)
    tl.debug_barrier()
    tl.store(poles + i, tl.where(pole, x, FAR), mask=there)
    tl.store(weights + i, group, mask=there)
    tl.debug_barrier()
    return pole, group


@triton.jit
def _neighbours(poles, weights, n, x):
    """The next pole to the right, FAR where there is none, its weight and index; the next to the left and its weight; the sum of weights."""
    right, left = tl.full(x.shape, FAR, x.dtype), tl.full(x.shape, -FAR, x.dtype)
    right_weight, left_weight, total = tl.zeros(x.shape, x.dtype), tl.zeros(x.shape, x.dtype), tl.zeros(x.shape, x.dtype)
    index = tl.zeros(x.shape, tl.int32)
    for j in range(0, n):
        pole, weight = tl.load(poles + j), tl.load(weights + j)
        total += weight
        after, before = (pole > x) & (pole < right), (pole < x) & (pole > left)
        right, right_weight, index = tl.where(after, pole, right), tl.where(after, weight, right_weight), tl.where(after, j, index)
        left, left_weight = tl.where(before, pole, left), tl.where(before, weight, left_weight)
    return right, right_weight, index, left, left_weight, total


@triton.jit
def _roots(poles, weights, n, i, x, weight, pole):
    """The offset of each pole's root from the nearer pole, and the index of that pole.  x, weight, pole: ``(B, N)`` of the lanes themselves."""
    ulp: tl.constexpr = machine("ulp", x.dtype)
    steepest: tl.constexpr = machine("largest", x.dtype) * 2.0**-20
    last_step: tl.constexpr = machine("last_step", x.dtype)
    right, right_weight, index, before, before_weight, total = _neighbours(poles, weights, n, x)
    outer = right == FAR
    single = outer & (before == -FAR)
    half_gap = 0.5 * tl.min(tl.where(pole, right - x, FAR), 1, keep_dims=True)
    right, right_weight = tl.where(outer, before, right), tl.where(outer, before_weight, right_weight)
    active = pole & ~single

    # The middle of the interval tells the nearer pole, and the rest of f without the two poles there gives the first offset.
    distance = right - x
    end = tl.where(outer, total * (1.0 + 2.0 * ulp * tl.full((1, 1), n, x.dtype)), distance)
    middle = end * 0.5
    f, slope, size = _value_of_any(poles, weights, n, x, middle, half_gap, active)
    below = f >= 0
    from_left = below | outer
    rest = (f + divide(weight, middle)) - divide(right_weight, distance - middle)
    origin = tl.where(from_left, x, right)
    near_weight, other_weight = tl.where(from_left, weight, right_weight), tl.where(from_left, right_weight, weight)
    side = tl.where(from_left, 1.0, -1.0).to(x.dtype)
    to_other = distance * side
    low = tl.where(from_left, tl.where(below, 0.0, middle), -middle)
    high = tl.where(from_left, tl.where(below, middle, end), 0.0)
    offset = _inside(_two_pole_root(tl.fma(rest, to_other, near_weight + other_weight), near_weight * to_other, rest, outer), low, high, side)

    was_halved = i < 0
    size_before = tl.full(x.shape, machine("largest", x.dtype), x.dtype)
    iteration = 0
    while any_of(active) & (iteration < 120):
        f, slope, size = _value_of_any(poles, weights, n, origin, offset, half_gap, active)
        right_of_root = f > 0
        low, high = tl.where(right_of_root, low, offset), tl.where(right_of_root, offset, high)
        active = active & ~(tl.abs(f) <= 2.0 * ulp * size) & ~(high - low <= ulp * tl.abs(offset))
        if any_of(active):
            # The interpolant keeps the weight of the nearer pole; the other pole's and the constant match f and f'.
            near, other = -offset, to_other - offset
            product = near * other
            A = tl.fma(f, near + other, -(product * slope))
            C = (f - other * slope) + divide(near_weight, near) * divide(other - near, near)
            was_halved = (~was_halved & (tl.abs(f) > 0.25 * size_before)) | ~(slope <= steepest)
            size_before = tl.abs(f)
            step_to = _inside(offset + _two_pole_root(A, f * product, C, outer), low, high, side)
            if any_of(active & was_halved):
                step_to = tl.where(was_halved, _halved(low, high, side, from_left), step_to)
            step = tl.abs(step_to - offset)
            offset = tl.where(active, step_to, offset)
            active = active & (was_halved | ~(step <= last_step * tl.abs(step_to)))
        iteration += 1
    offset = tl.where(single, total, offset)
    return tl.where(pole, offset, 0.0), tl.where(pole & ~from_left, index, i)


@triton.jit
def screen(d, p):
    """Of matrices in rows ``(B, N)``: those to solve, the others with zeros in d and p; ``(B, 1)`` which are bad, which have p < 0 and, of the
    largest entry, the exponent.
    """
    largest: tl.constexpr = machine("largest", d.dtype)
    wrong = (tl.abs(d) <= largest) & (tl.abs(p) <= largest) == 0
    up = tl.max((wrong | (p > 0)).to(tl.int32), 1, keep_dims=True) > 0
    down = tl.max((wrong | (p < 0)).to(tl.int32), 1, keep_dims=True) > 0
    bad = up & down  # both signs, or what is no number
    d, p = tl.where(bad, 0.0, d), tl.where(bad, 0.0, p)
    top = tl.max(tl.maximum(tl.abs(d), tl.abs(p)), 1, keep_dims=True)
    return d, p, bad, down & ~bad, tl.where(top > 0, exponent_of(top), 0)


@triton.jit
def solve(poles, weights, n, i, d, p, there):
    """The eigenvalues of the matrices in rows ``(B, N)``, an entry each, of those that are ``there``.

    poles, weights: pointers ``(B, 1)`` to rows of n numbers to work in.  Gives origin and scaled offset of each eigenvalue, which entries are poles, the
    offset itself, which rows are bad ``(B, 1)``, and the power of two that they were multiplied by, negative where p is.
    """
    d, p, bad, down, exponent = screen(d, p)
    turn = tl.where(down, -1.0, 1.0).to(d.dtype)
    scale, unit = turn * power_of_two(-exponent, d.dtype), turn * power_of_two(exponent, d.dtype)
    x, p = d * scale, p * scale
    tl.store(poles + i, x, mask=there)
    tl.store(weights + i, p, mask=there)
    tl.debug_barrier()
    pole, weight = _poles(poles, weights, n, i, x, p, there)
    offset, origin = _roots(poles, weights, n, i, x, weight, pole)
    tl.debug_barrier()
    return origin, offset, pole, offset * unit, bad, scale


@triton.jit
def rank_of(values, n, i, value):
    """The place of each of the numbers ``(B, N)`` among those of its row, which the rows of n at ``values (B, 1)`` hold as well."""
    rank = tl.zeros(i.shape, tl.int32)
    for j in range(0, n):
        other = tl.load(values + j)
        rank += ((other < value) | ((other == value) & (j < i))).to(tl.int32)
    return rank


@triton.jit
def secular_kernel(
    d_ptr,  # (count, n)
    b_ptr,  # (count, n): p, or with PRODUCT b
    c_ptr,  # (count, n): c where p = b c
    eigenvalues_ptr,  # (count, n) ascending
    origin_ptr,  # (count, n) index of the nearer pole; with PRODUCT -1 - index where the eigenvalue is an entry of d
    offset_ptr,  # (count, n); with PRODUCT scaled
    scale_ptr,  # (count): with PRODUCT the power of two that the matrix was multiplied by, negative where p is
    info_ptr,  # (count): with PRODUCT
    count,
    n,
    PRODUCT: tl.constexpr,
    B: tl.constexpr,
    N: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)[:, None]
    i = tl.arange(0, N)[None, :] + tl.zeros((B, 1), tl.int32)
    at = tl.minimum(row, count - 1) * n  # rows behind the end repeat the last, and store nothing
    inside = i < n
    there = inside & (row < count)
    d = tl.load(d_ptr + at + i, mask=inside, other=0.0)
    p = tl.load(b_ptr + at + i, mask=inside, other=0.0)
    if PRODUCT:
        c = tl.load(c_ptr + at + i, mask=inside, other=0.0)
        p *= c  # no number where b or c is none
    poles, weights = eigenvalues_ptr + at, offset_ptr + at
    origin, scaled, pole, offset, bad, scale = solve(poles, weights, n, i, d, p, there)
    value = tl.load(d_ptr + at + origin, mask=inside, other=0.0) + offset
    tl.store(poles + i, value, mask=there)
    tl.debug_barrier()
    rank = tl.where(bad, i, rank_of(poles, n, i, value))
    if PRODUCT:
        origin, offset = tl.where(pole, origin, -1 - i), scaled
        tl.store(scale_ptr + row, scale, mask=row < count)
        tl.store(info_ptr + row, tl.where(bad, n + 1, 0), mask=row < count)
    tl.debug_barrier()
    tl.store(poles + rank, tl.where(bad, float("nan"), value), mask=there)
    tl.store(weights + rank, tl.where(bad, float("nan"), offset), mask=there)
    tl.store(origin_ptr + at + rank, origin, mask=there)


def check_rows(op: str, *tensors: Tensor) -> None:
    """As `ops.secular` has it: tensors (..., n) of one shape and dtype."""
    shape = tensors[0].shape
    got = [(tuple(t.shape), t.dtype) for t in tensors]
    check(op, len(shape) >= 1 and all(t.shape == shape and t.dtype == tensors[0].dtype for t in tensors), lambda: f"tensors of the same shape (..., n) and dtype, got {got}")
    check_real(op, *tensors)


def secular(d: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The contract: `reference.secular.secular`."""
    check_rows("secular", d, p)
    if d.shape[-1] > tuning.SECULAR_LIMIT:
        return NotImplemented
    eigenvalues, origin, offset = (torch.empty(d.shape, dtype=t, device=d.device) for t in (d.dtype, torch.int64, d.dtype))
    if d.numel():
        d, p, n = d.contiguous(), p.contiguous(), d.shape[-1]
        count, tile = d.numel() // n, tuning.rows_for(tuning.SECULAR, n)
        launch(
            secular_kernel, triton.cdiv(count, tile.rows), d, d, p, p, eigenvalues, origin, offset, None, None, count, n,
            False, tile.rows, power_of_2(n), num_warps=tile.num_warps, enable_fp_fusion=False,
        )  # fmt: skip
    return eigenvalues, origin, offset
