"""The sketch of a set of eigenvalues: one function that every kernel with a sink calls, and the op that sketches eigenvalues in memory.

The definition of what is counted and summed, and the tables, stand in `reference.sketch`.  All is integers and extremes, added by atomics: the
order of the programs does not show.  Kernels that call `sketch_value` are compiled with ``enable_fp_fusion=False``, for ``re^2 + im^2`` is
compared with edges, and `normalise_sums` follows their launch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.launch import check, launch, power_of_2

# The layout of the state and of the axis of |lambda| (`reference.sketch`, csrc/core/sketch.h)
FINE = tl.constexpr(1280)  # parts of the octaves
FIRST_PART = tl.constexpr((1023 - 32) << 5)
ONE = tl.constexpr(1286)  # the bin of |lambda| = 1
BINS = tl.constexpr(2571)
PHASES = tl.constexpr(5)
SECTORS = tl.constexpr(72)
DIRECTIONS = tl.constexpr(40)
PLANE_AT = tl.constexpr(2576)
TALLY_AT = tl.constexpr(5168)
COLUMNS = tl.constexpr(5172)
HISTOGRAM = tl.constexpr(4096)  # a power of 2 that holds the bins, and the plane


@triton.jit
def bin_of_log(log):
    """The bin of ``|lambda|`` from its logarithm in float64, one off where rounding has it."""
    h = tl.abs(log)
    part = (h.to(tl.int64, bitcast=True) >> 47) - (FIRST_PART - 1)
    part = tl.minimum(tl.maximum(part, 0), FINE + 1).to(tl.int32)
    radii_below = (h > 0.10536051565782630123).to(tl.int32) + (h > 0.69314718055994530942).to(tl.int32) + (h > 2.3025850929940456840).to(tl.int32)
    radii_above = (h >= 2.3025850929940456840).to(tl.int32) + (h >= 4.6051701859880913680).to(tl.int32)
    apart = tl.where(log < 0, ONE - 1 - part - radii_below, ONE + 1 + part + radii_above)
    return tl.where(log == 0, ONE, apart)


@triton.jit
def polar(re, im, COMPLEX: tl.constexpr, LOG: tl.constexpr):
    """Of eigenvalues, or of logarithms and phases: what the edges are compared with, then in float64 |lambda|, its square, ln|lambda| and a
    number re + i im of the same phase; the sign of real numbers (complex ones: 0), and whether they are finite.
    """
    infinity = float("inf")
    if LOG:
        magnitude, log = re, re.to(tl.float64)
        modulus = tl.exp(log)
        square = modulus * modulus
        finite = log < infinity
        x, y, sign = tl.full(re.shape, 1.0, tl.float64), tl.zeros(re.shape, tl.float64), tl.full(re.shape, 1, tl.int32)
        if COMPLEX:
            finite = finite & (tl.abs(im) < infinity)
            angle = tl.where(finite, im, 0.0)
            pi = tl.full(im.shape, 3.14159265358979323846, im.dtype)
            sign = tl.where((angle == 0) | (log == -infinity), 1, tl.where(tl.abs(angle) == pi, -1, 0))
            x = tl.where(sign == 0, tl.cos(angle.to(tl.float64)), sign.to(tl.float64))
            y = tl.where(sign == 0, tl.sin(angle.to(tl.float64)), 0.0)
    elif COMPLEX:
        x, y = re.to(tl.float64), im.to(tl.float64)
        finite = (tl.abs(x) < infinity) & (tl.abs(y) < infinity)
        square = x * x + y * y
        magnitude, modulus = square, tl.sqrt(square)
        log = tl.where((x == 0) & (y == 0), -infinity, tl.minimum(tl.maximum(0.5 * tl.log(square), -400.0), 400.0))
        sign = tl.where(y != 0, 0, tl.where(x < 0, -1, 1))
    else:
        magnitude = tl.abs(re)
        x, y, modulus = re.to(tl.float64), tl.zeros(re.shape, tl.float64), magnitude.to(tl.float64)
        square, log = modulus * modulus, tl.log(modulus)
        finite = modulus < infinity
        sign = tl.where(x < 0, -1, 1)
    return magnitude, modulus, square, log, x, y, sign, finite


@triton.jit
def add_fixed_point(limbs, terms, times):
    """Adds ``times`` times the sum of ``terms``, each rounded to a multiple of 2^-48, to three limbs of 32 bits, the highest first."""
    t = tl.abs(terms) * 281474976710656.0
    t = tl.where(t < 4503599627370496.0, (t + 4503599627370496.0) - 4503599627370496.0, t)  # from 2^52 on there are integers alone
    high = tl.floor(t * 5.421010862427522e-20)  # 2^-64
    t = t - high * 18446744073709551616.0
    middle = tl.floor(t * 2.3283064365386963e-10)  # 2^-32
    low = t - middle * 4294967296.0
    sign = tl.where(terms < 0, -1, 1).to(tl.int64)
    tl.atomic_add(limbs, times * tl.sum(sign * high.to(tl.int64)), sem="relaxed")
    tl.atomic_add(limbs + 1, times * tl.sum(sign * middle.to(tl.int64)), sem="relaxed")
    tl.atomic_add(limbs + 2, times * tl.sum(sign * low.to(tl.int64)), sem="relaxed")


@triton.jit
def add_histogram(columns, index, there, times):
    """Counts ``index`` in [0, `HISTOGRAM`), where it is ``there``."""
    found = tl.histogram(index, HISTOGRAM, mask=there)
    tl.atomic_add(columns + tl.arange(0, HISTOGRAM), times * found.to(tl.int64), mask=found > 0, sem="relaxed")


@triton.jit
def sketch_value(counts, sums, extremes, row, re, im, there, times, marked, edges, directions, rings, COMPLEX: tl.constexpr, LOG: tl.constexpr):
    """Adds a tile of eigenvalues to one row of the state.

    Args:
        counts, sums, extremes: pointers to the state, and ``row``, int64, one of its rows.
        re, im: ``(BLOCK)``, float32 or float64, real and imaginary part, or logarithm of the modulus and phase where `LOG` is set; without
            `COMPLEX` im is not read.
        there: ``(BLOCK)`` int1, which of them are eigenvalues.
        times: int64, how often each counts.
        marked: ``(BLOCK)`` int1, which count as suspect where they are finite.
        edges, directions, rings: pointers to the tables of `ops.sketch_tables`.
    """
    magnitude, modulus, square, log, x, y, sign, finite = polar(re, im, COMPLEX, LOG)
    counts, sums, extremes = counts + row * COLUMNS, sums + row * 12, extremes + row * 2
    ok = there & finite
    zero = ok & (log == float("-inf"))
    log = tl.where(ok & (zero == 0), log, 0.0)
    guess = bin_of_log(log)
    below = tl.load(edges + tl.maximum(guess - 1, 0))
    above = tl.load(edges + tl.minimum(guess, BINS - 2))
    bin = guess - ((guess > 0) & (magnitude < below)).to(tl.int32) + ((guess < BINS - 1) & (magnitude >= above)).to(tl.int32)
    bin = tl.where(zero, 0, tl.where(ok, tl.maximum(bin, 1), 0))  # re^2 + im^2 may have underflowed
    negative = sign < 0
    sector = tl.where(negative, SECTORS // 2, 0)
    tally = counts + TALLY_AT
    if COMPLEX:
        height, phase, half = tl.abs(y), tl.zeros(y.shape, tl.int32), tl.zeros(y.shape, tl.int32)
        for i in range(PHASES - 1):
            phase += (height * tl.load(directions + 2 * i) >= x * tl.load(directions + 2 * i + 1)).to(tl.int32)
        for i in range(PHASES - 1, DIRECTIONS):
            half += (height * tl.load(directions + 2 * i) >= x * tl.load(directions + 2 * i + 1)).to(tl.int32)
        general = sign == 0
        phase = tl.where(general, phase, tl.where(negative, PHASES - 1, 0))
        sector = tl.where(general, tl.where((y < 0) & (half > 0), SECTORS - half, half), sector)
        for i in tl.static_range(PHASES):
            tl.atomic_add(counts + BINS + i, times * tl.sum((ok & (phase == i)).to(tl.int64)), sem="relaxed")
        tl.atomic_add(tally, times * tl.sum((ok & (general == 0)).to(tl.int64)), sem="relaxed")
        tl.atomic_add(tally + 1, times * tl.sum((ok & negative).to(tl.int64)), sem="relaxed")
    else:
        all_real, all_negative = tl.sum(ok.to(tl.int64)), tl.sum((ok & negative).to(tl.int64))
        tl.atomic_add(counts + BINS, times * (all_real - all_negative), sem="relaxed")
        tl.atomic_add(counts + BINS + PHASES - 1, times * all_negative, sem="relaxed")
        tl.atomic_add(tally, times * all_real, sem="relaxed")
        tl.atomic_add(tally + 1, times * all_negative, sem="relaxed")
    tl.atomic_add(tally + 2, times * tl.sum((ok & marked).to(tl.int64)), sem="relaxed")
    tl.atomic_add(tally + 3, times * tl.sum((there & (finite == 0)).to(tl.int64)), sem="relaxed")
    add_histogram(counts, bin, ok, times)
    add_histogram(counts + PLANE_AT, tl.load(rings + bin).to(tl.int32) * SECTORS + sector, ok, times)

    held = tl.minimum(tl.maximum(log, -256.0), 256.0)
    add_fixed_point(sums, held, times)
    add_fixed_point(sums + 3, held * held, times)
    add_fixed_point(sums + 6, tl.where(ok, tl.minimum(modulus, 1048576.0), 0.0), times)
    add_fixed_point(sums + 9, tl.where(ok, tl.minimum(square, 1099511627776.0), 0.0), times)

    ends = extremes.to(tl.pointer_type(tl.int64), bitcast=True)  # numbers >= 0, and -inf, are in the order of their bits
    tl.atomic_min(ends, tl.min(tl.where(ok, modulus, float("inf"))).to(tl.int64, bitcast=True), sem="relaxed")
    tl.atomic_max(ends + 1, tl.max(tl.where(ok, modulus, float("-inf"))).to(tl.int64, bitcast=True), sem="relaxed")


@triton.jit
def normalise_kernel(sums, count, ROWS: tl.constexpr):
    """Carries: the two lower limbs of each of ``count`` sums come to [0, 2^32)."""
    at = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here, limb = at < count, sums + 3 * at
    high, middle, low = tl.load(limb, mask=here), tl.load(limb + 1, mask=here), tl.load(limb + 2, mask=here)
    middle += low >> 32
    tl.store(limb, high + (middle >> 32), mask=here)
    tl.store(limb + 1, middle & 0xFFFFFFFF, mask=here)
    tl.store(limb + 2, low & 0xFFFFFFFF, mask=here)


def normalise_sums(sums: Tensor) -> None:
    """In place, ``sums (R, 4, 3)``."""
    count = sums.shape[0] * sums.shape[1]
    launch(normalise_kernel, triton.cdiv(count, 128), sums, sums, count, 128, num_warps=4)


def check_state(op: str, counts: Tensor, sums: Tensor, extremes: Tensor, groups_of: Tensor, groups: int) -> None:
    """``groups_of (G)``, the row of each group, lies on the device: its numbers are the caller's concern."""
    like = (("counts", counts, (COLUMNS.value,), torch.int64), ("sums", sums, (4, 3), torch.int64), ("extremes", extremes, (2,), torch.float64))
    for name, t, shape, dtype in like:
        check(op, t.shape == (counts.shape[0], *shape) and t.dtype == dtype and t.is_contiguous(), lambda n=name, s=shape, d=dtype: f"{n} of shape {('R', *s)}, {d} and contiguous")  # type: ignore[misc]
    check(op, groups_of.shape == (groups,) and groups_of.dtype == torch.int64 and groups_of.is_contiguous(), lambda: f"rows of shape ({groups}), int64 and contiguous")


def grouped(t: Tensor, core: int) -> Tensor:
    """``t (G, ..., *core axes)`` with the axes of the positions as one: ``(G, P, *core axes)``; a copy only where one stride does not describe them."""
    own = t.shape[t.dim() - core :]
    return t.reshape(t.shape[0], math.prod(t.shape[1 : t.dim() - core]), *own)


@triton.jit
def sketch_kernel(
    counts,
    sums,
    extremes,
    rows,
    values,
    valid,
    suspect,
    repeats,
    edges,
    directions,
    rings,
    positions,
    m,
    blocks,
    per_block,
    values_group,
    values_position,
    values_column,
    valid_group,
    valid_position,
    suspect_group,
    suspect_position,
    suspect_column,
    COMPLEX: tl.constexpr,
    LOG: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A program takes ``per_block`` positions of one group: their m columns at once where all count alike, else one after the other."""
    group, first = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0).to(tl.int64) % blocks * per_block
    count = tl.minimum(positions - first, per_block)
    row = tl.load(rows + group)
    least, most = tl.load(repeats), tl.load(repeats)
    for j in range(0, m, BLOCK):
        some = tl.load(repeats + j + tl.arange(0, BLOCK), mask=j + tl.arange(0, BLOCK) < m, other=0)
        here = j + tl.arange(0, BLOCK) < m
        least = tl.minimum(least, tl.min(tl.where(here, some, least)))
        most = tl.maximum(most, tl.max(tl.where(here, some, most)))
    width = tl.where(least == most, m, 1)
    for column in range(0, m, width):
        times = tl.load(repeats + column)
        for e in range(0, tl.where(times > 0, count * width, 0), BLOCK):
            at = e + tl.arange(0, BLOCK)
            there = at < count * width
            position, own = first + at // width, column + at % width
            if valid is not None:
                there = there & (tl.load(valid + group * valid_group + position * valid_position, mask=there, other=0) != 0)
            marked = there & False
            if suspect is not None:
                marked = there & (tl.load(suspect + group * suspect_group + position * suspect_position + own * suspect_column, mask=there, other=0) != 0)
            value = values + group * values_group + position * values_position + own * values_column
            re = tl.load(value, mask=there, other=1.0)
            im = tl.load(value + 1, mask=there, other=0.0) if COMPLEX else re
            sketch_value(counts, sums, extremes, row, re, im, there, times, marked, edges, directions, rings, COMPLEX, LOG)


def sketch(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, values: Tensor, valid: Tensor | None, suspect: Tensor | None, repeats: Tensor, *rest: Any
) -> None:
    """The contract: `reference.sketch.sketch`; ``rest`` are the tables and ``log``."""
    edges, directions, rings, log = rest
    check("sketch", values.dtype in tuning.SKETCH, lambda: f"float32, float64, complex64 or complex128, got {values.dtype}")
    check("sketch", values.dim() >= 2, lambda: f"values of shape (G, ..., m), got {tuple(values.shape)}")
    m = values.shape[-1]
    check_state("sketch", counts, sums, extremes, rows, values.shape[0])
    check("sketch", repeats.shape == (m,) and repeats.dtype == torch.int64 and repeats.is_contiguous(), lambda: f"repeats of shape ({m}), int64 and contiguous")
    check("sketch", valid is None or (valid.dtype == torch.bool and valid.shape == values.shape[:-1]), lambda: "valid boolean and of the values' shape")
    check("sketch", suspect is None or (suspect.dtype == torch.bool and suspect.shape == values.shape), lambda: "suspect boolean and of the values' shape")
    if values.numel() == 0:
        return
    flat, ok, marks = grouped(values, 1), None if valid is None else grouped(valid, 0), None if suspect is None else grouped(suspect, 1)
    is_complex, (groups, positions, _) = flat.is_complex(), flat.shape
    numbers = torch.view_as_real(flat) if is_complex else flat
    tile = tuning.SKETCH[values.dtype]
    per_block = max(1, tuning.SKETCH_TILES * tile.elements // power_of_2(m))
    blocks = triton.cdiv(positions, per_block)
    strides = (*numbers.stride()[:3], *((0, 0) if ok is None else ok.stride()), *((0, 0, 0) if marks is None else marks.stride()))
    launch(
        sketch_kernel, groups * blocks, values, counts, sums, extremes, rows, numbers, ok, marks, repeats, edges, directions, rings,
        positions, m, blocks, per_block, *strides, is_complex, log, tile.elements, num_warps=tile.num_warps, enable_fp_fusion=False,
    )  # fmt: skip
    normalise_sums(sums)
