"""Eigenvectors of Diag(d) + b c^T, b c of one sign, from the roots of `secular`: csrc/core/secular_vectors.h, a vector per row of a tile."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.arithmetic import any_of, divide, machine, sqrt
from spectral_kernels.triton.launch import launch, power_of_2
from spectral_kernels.triton.secular import check_rows, secular_kernel


@triton.jit
def _largest(x):
    return tl.max(tl.abs(x), 1, keep_dims=True)


@triton.jit
def _total(x):
    return tl.sum(x, 1, keep_dims=True)


@triton.jit
def _orthogonal_to_c(c, member, first, r, i):
    """In the space of equal d, the r-th of the mutually orthogonal vectors (c_1 c_r, ..., c_{r-1} c_r, -sum_{i<r} c_i^2, 0, ...)."""
    other = member & (i != first)
    ordinal = tl.cumsum(other.to(tl.int32), 1)
    before, last = (i == first) | (other & (ordinal < r)), other & (ordinal == r)
    square = _total(tl.where(before, c * c, 0.0))
    return tl.where(before, c * _total(tl.where(last, c, 0.0)), tl.where(last, -square, 0.0))


@triton.jit
def _without_weight(x, b, c, p, at, member, first, top_c, scale, i):
    """Of equal d without weight, at x_i = ``at``, the vector beside those orthogonal to c.

    Where b vanishes there, it solves the rest of the equations; where c does, it is c's own direction; where neither does (b^T c = 0), the
    eigenvalue is defective and b is its vector once more.
    """
    small: tl.constexpr = 2.0**-30
    zero = tl.zeros(b.shape, b.dtype)
    top_b, all_b, all_c = _largest(tl.where(member, b, zero)), _largest(b), _largest(c)
    share_b = tl.where(all_b > 0, divide(top_b, tl.where(all_b > 0, all_b, 1.0)), 0.0)
    share_c = tl.where(all_c > 0, divide(top_c, tl.where(all_c > 0, all_c, 1.0)), 0.0)
    unit_c = divide(c, tl.where(top_c > 0, top_c, 1.0) + zero)
    distance = tl.where(x == at, 1.0, x - at)  # behind the row's end too, where all is 0
    f = 1.0 + _total(tl.where(member, zero, divide(p, distance)))
    unit = scale * _total(tl.where(member, unit_c * c, zero))
    along_c = tl.where(member, tl.where(top_c > 0, unit_c, (i == first).to(b.dtype)), zero)
    solved = tl.where(member, f * unit_c, divide(-(b * unit), distance))
    along_b = tl.where(member, divide(b, tl.where(top_b > 0, top_b, 1.0) + zero), zero)
    return tl.where((share_c <= share_b) & (share_c <= small), along_c, tl.where(share_b <= small, solved, along_b))


@triton.jit
def _of_entry(x, b, c, p, at, slots, slot, n, i, x_ptr, scale):
    """The vectors of eigenvalues that are entries of d: rows ``(R, N)`` of the matrix scaled, its slots as `secular_kernel` gives them, the row's own slot."""
    inside = i < n
    member = inside & (x == at)
    entry = tl.where(slots < 0, -1 - slots, 0).to(tl.int32)
    equal = inside & (slots < 0) & (tl.load(x_ptr + entry, mask=inside, other=0.0) * scale == at)
    deflated, rank = _total(equal.to(tl.int32)), _total((equal & (i < slot)).to(tl.int32))
    weighty = deflated < _total(member.to(tl.int32))  # one of the equal entries is a pole
    size = tl.where(member, tl.abs(c), -1.0)
    top_c = tl.max(size, 1, keep_dims=True)
    first = tl.min(tl.where(member & (size == top_c), i, n), 1, keep_dims=True)  # the heaviest in c, the same for every rank
    unit_c = tl.where(top_c > 0, divide(c, tl.where(top_c > 0, top_c, 1.0) + tl.zeros(c.shape, c.dtype)), (i == first).to(c.dtype))
    orthogonal = _orthogonal_to_c(unit_c, member, first, tl.where(weighty, rank + 1, rank), i)
    return tl.where(weighty | (rank > 0), orthogonal, _without_weight(x, b, c, p, at, member, first, top_c, scale, i))


@triton.jit
def secular_vectors_kernel(
    d_ptr,  # (count, n)
    b_ptr,  # (count, n)
    c_ptr,  # (count, n)
    slot_ptr,  # (count, n), as `secular_kernel` gives it, like the next three
    offset_ptr,  # (count, n)
    scale_ptr,  # (count)
    info_ptr,  # (count)
    vectors_ptr,  # (count, n, n), of 2-norm 1, in rows
    vectors,  # count n
    n,
    R: tl.constexpr,
    N: tl.constexpr,
):
    """(D - lambda)^-1 b for every eigenvalue lambda, with b and c exchanged the left vectors; a tile of R of them, of one matrix or several."""
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)[:, None]
    own = row < vectors
    row = tl.minimum(row, vectors - 1)
    matrix = row // n
    at, i = matrix * n, tl.arange(0, N)[None, :] + tl.zeros((R, 1), tl.int32)
    inside = i < n
    scale, bad = tl.load(scale_ptr + matrix), tl.load(info_ptr + matrix) != 0
    slot, offset = tl.load(slot_ptr + row), tl.load(offset_ptr + row)
    x = tl.load(d_ptr + at + i, mask=inside, other=0.0) * scale
    b = tl.load(b_ptr + at + i, mask=inside, other=0.0)
    deflated = slot < 0
    origin = tl.load(d_ptr + at + tl.where(deflated, -1 - slot, slot)) * scale
    distance = (x - origin) - offset
    distance = tl.where(distance == 0, machine("ulp", x.dtype), distance)  # an entry without weight at the root itself
    v = b * divide(offset + tl.zeros(x.shape, x.dtype), distance)
    if any_of(deflated & ~bad):
        c = tl.load(c_ptr + at + i, mask=inside, other=0.0)
        slots = tl.load(slot_ptr + at + i, mask=inside, other=0)
        of_entry = _of_entry(x, b, c, (b * c) * scale, origin, slots, (row - at).to(tl.int32), n, i, d_ptr + at, scale)
        v = tl.where(deflated, of_entry, v)
    v = tl.where(inside, v, 0.0)
    top = _largest(v)
    v = v * divide(tl.full(top.shape, 1.0, v.dtype), tl.where(top > 0, top, 1.0))
    norm = sqrt(_total(v * v))
    v = divide(v, norm + tl.zeros(v.shape, v.dtype))
    tl.store(vectors_ptr + row * n + i, tl.where(bad, float("nan"), v), mask=inside & own)


def secular_eig(d: Tensor, b: Tensor, c: Tensor, left: bool, right: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The contract: `reference.secular.secular_eig`."""
    check_rows("secular_eig", d, b, c)
    n, batch = d.shape[-1], d.shape[:-1]
    if n > tuning.SECULAR_LIMIT:
        return NotImplemented
    eigenvalues, info = d.new_empty(d.shape), d.new_zeros(batch, dtype=torch.int32)
    sides = [d.new_empty((*d.shape, n)) if wanted else d.new_empty((0,)) for wanted in (right, left)]
    if d.numel():
        d, b, c = d.contiguous(), b.contiguous(), c.contiguous()
        count, tile, vectors = d.numel() // n, tuning.rows_for(tuning.SECULAR, n), tuning.rows_for(tuning.SECULAR_VECTORS, n)
        slot, work = torch.empty((count, n), dtype=torch.int32, device=d.device), d.new_empty(count, n + 1)
        offset, scale = work.view(-1)[: count * n], work.view(-1)[count * n :]
        launch(
            secular_kernel, triton.cdiv(count, tile.rows), d, d, b, c, eigenvalues, slot, offset, scale, info, count, n,
            True, tile.rows, power_of_2(n), num_warps=tile.num_warps, enable_fp_fusion=False,
        )  # fmt: skip
        for side, x, y in zip(sides, (b, c), (c, b), strict=True):
            if side.numel():
                launch(
                    secular_vectors_kernel, triton.cdiv(count * n, vectors.rows), d, d, x, y, slot, offset, scale, info, side, count * n, n,
                    vectors.rows, power_of_2(n), num_warps=vectors.num_warps, enable_fp_fusion=False,
                )  # fmt: skip
    vr, vl = (side.transpose(-2, -1) if wanted else side for side, wanted in zip(sides, (right, left), strict=True))
    return eigenvalues, vr, vl, info
