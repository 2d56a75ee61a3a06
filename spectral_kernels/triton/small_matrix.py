"""Eigenvalues of real matrices of size m <= 4, one per lane, in registers: csrc/core/francis.h and standardize.h with m known to the compiler.

A matrix is a tuple of its m^2 entries, row by row, each a tensor over the lanes.  Every lane takes every step of the whole matrix until all
lanes are done; what is not its own leaves its bits alone.
"""

from __future__ import annotations

import triton
import triton.language as tl

from spectral_kernels.triton.arithmetic import any_of, divide, exponent_of, machine, power_of_two, sqrt


@triton.jit
def append(h, x):
    """The tuple with x behind it."""
    return h + (x,)  # noqa: RUF005  (Triton unpacks no tuples)


@triton.jit
def put(h, at: tl.constexpr, x):
    """The tuple with x at place ``at``."""
    return append(h[:at], x) + h[at + 1 :]


@triton.jit
def _larger(a, b):
    return tl.where(a > b, a, b)


@triton.jit
def _inverse_power(x):
    """1 / the largest power of two <= x."""
    return power_of_two(-exponent_of(x), x.dtype)


@triton.jit
def _reflector(alpha, x, y, on):
    """I - (1, v2, v3)^T (t1, t2, t3), which maps (alpha, x, y) to (beta, 0, 0), as (v2, v3, -t1, -t2, -t3) and beta; the identity where not ``on``."""
    square = tl.fma(alpha, alpha, tl.fma(x, x, y * y))
    reflect = on & ((x != 0) | (y != 0))
    lost = reflect & (square < machine("least_square", alpha.dtype))  # squares underflow: scaled by a power of two
    exponent = tl.where(lost, exponent_of(_larger(tl.abs(alpha), _larger(tl.abs(x), tl.abs(y)))), 0)
    inverse = power_of_two(-exponent, alpha.dtype)
    a, x, y = alpha * inverse, x * inverse, y * inverse
    square = tl.where(lost, tl.fma(a, a, tl.fma(x, x, y * y)), square)
    norm = sqrt(tl.where(reflect, square, 1.0))
    b = tl.where(a < 0, norm, -norm)
    d = tl.where(reflect, a - b, 1.0)
    over_d = divide(1.0, d)
    beta = tl.where(reflect, b * power_of_two(exponent, alpha.dtype), alpha)
    v2, v3 = tl.where(reflect, x, 0.0) * over_d, tl.where(reflect, y, 0.0) * over_d
    t1 = tl.where(reflect, d * divide(1.0, b), 0.0)
    return (v2, v3, t1, t1 * v2, t1 * v3), beta


@triton.jit
def _reflect(h, r, a: tl.constexpr, step: tl.constexpr, count: tl.constexpr):
    """The reflector applied to the ``count`` entries (2 or 3) at a, a + step, ..."""
    s = tl.fma(r[0], h[a + step], h[a])
    if count == 3:
        s = tl.fma(r[1], h[a + 2 * step], s)
        h = put(h, a + 2 * step, tl.fma(s, r[4], h[a + 2 * step]))
    h = put(h, a, tl.fma(s, r[2], h[a]))
    return put(h, a + step, tl.fma(s, r[3], h[a + step]))


@triton.jit
def _similarity(h, r, k: tl.constexpr, count: tl.constexpr, M: tl.constexpr):
    """The reflector on rows and columns k, k + 1, ... of a matrix whose columns before k it has been applied to."""
    for j in tl.static_range(k, M):
        h = _reflect(h, r, k * M + j, M, count)
    for i in tl.static_range(0, M):
        h = _reflect(h, r, i * M + k, 1, count)
    return h


@triton.jit
def _hessenberg(h, M: tl.constexpr):
    for k in tl.static_range(0, M - 2):
        last = tl.zeros(h[0].shape, h[0].dtype)
        if M - k == 4:
            last = h[(k + 3) * M + k]
        r, beta = _reflector(h[(k + 1) * M + k], h[(k + 2) * M + k], last, last == last)
        for i in tl.static_range(k + 1, M):
            h = put(h, i * M + k, beta if i == k + 1 else tl.zeros(h[0].shape, h[0].dtype))
        for j in tl.static_range(k + 1, M):
            h = _reflect(h, r, (k + 1) * M + j, M, M - k - 1)
        for i in tl.static_range(0, M):
            h = _reflect(h, r, i * M + k + 1, 1, M - k - 1)
    return h


@triton.jit
def _negligible(h, k: tl.constexpr, M: tl.constexpr, smallest: tl.constexpr):
    """Whether entry (k, k - 1) may be set to zero (Ahues and Tisseur; xLAHQR)."""
    ulp: tl.constexpr = machine("ulp", h[0].dtype)
    sub, sup = tl.abs(h[k * M + k - 1]), tl.abs(h[(k - 1) * M + k])
    above, below = h[(k - 1) * M + k - 1], h[k * M + k]
    size = tl.abs(above) + tl.abs(below)
    more = size
    if k >= 2:
        more += tl.abs(h[(k - 1) * M + k - 2])
    if k + 1 < M:
        more += tl.abs(h[(k + 1) * M + k])
    size = tl.where(size == 0, more, size)
    ab, ba = _larger(sub, sup), tl.where(sub < sup, sub, sup)
    diagonal, difference = tl.abs(below), tl.abs(above - below)
    aa, bb = _larger(diagonal, difference), tl.where(diagonal < difference, diagonal, difference)
    inverse = _inverse_power(aa + ab)
    right = ulp * (bb * (aa * inverse))
    return (sub <= smallest) | ((sub <= ulp * size) & (ba * (ab * inverse) <= tl.where(right > smallest, right, smallest)))


@triton.jit
def _deflate(h, hi, stalled, M: tl.constexpr):
    """The window (lo, hi) of each lane, from the bottom up; hi < 0 where there is none left."""
    smallest: tl.constexpr = machine("safmin", h[0].dtype) * M / machine("ulp", h[0].dtype)
    lo, searching = tl.zeros(hi.shape, tl.int32), hi >= 0
    for k in tl.static_range(M - 1, 0, -1):
        cut = searching & (k <= hi) & _negligible(h, k, M, smallest)
        h = put(h, k * M + k - 1, tl.where(cut, 0.0, h[k * M + k - 1]))
        block = cut & (k >= hi - 1)  # a 1 x 1 or 2 x 2 block has split off
        window = cut & (k < hi - 1)
        lo = tl.where(window, k, lo)
        searching = searching & (window == 0)
        hi = tl.where(block, k - 1, hi)
        stalled = tl.where(block, 0, stalled)
    return h, lo, tl.where((hi <= 1) & searching, -1, hi), stalled


@triton.jit
def _trailing(h, hi, M: tl.constexpr):
    """The last 2 x 2 block of each lane's window, which is row ``hi`` of a matrix of size 3 or 4."""
    block = (h[M + 1], h[M + 2], h[2 * M + 1], h[2 * M + 2])
    if M == 4:
        last = hi == 3
        block = (tl.where(last, h[10], block[0]), tl.where(last, h[11], block[1]), tl.where(last, h[14], block[2]), tl.where(last, h[15], block[3]))
    return block


@triton.jit
def _exceptional(h, block, lo, hi, stalled, M: tl.constexpr):
    """The block that the shifts come from, after every 10 iterations without deflation another one (xLAHQR)."""
    at_bottom = stalled % 20 == 0
    low, high = tl.abs(h[M]), tl.abs(h[2 * M + 1])  # the two subdiagonal entries of a window of three
    top, bottom = h[0], block[3]
    above, below = low, high  # those at the end that the shift is taken from
    if M == 4:
        third = tl.abs(h[14])
        from_third = (at_bottom & (hi == 3)) | ((at_bottom == 0) & (lo == 1))
        above, below = tl.where(from_third, high, low), tl.where(from_third, third, high)
        top = tl.where(lo == 1, h[5], top)
    sum = above + below
    corner = 0.75 * sum + tl.where(at_bottom, bottom, top)
    now = (stalled > 0) & (stalled % 10 == 0)
    return tl.where(now, corner, block[0]), tl.where(now, -0.4375 * sum, block[1]), tl.where(now, sum, block[2]), tl.where(now, corner, block[3])


@triton.jit
def _shifts(block):
    """The eigenvalues of the block as re +- i im; of two real ones the nearer to its last entry, twice."""
    safmin: tl.constexpr = machine("safmin", block[0].dtype)
    size = tl.abs(block[0]) + tl.abs(block[1]) + tl.abs(block[2]) + tl.abs(block[3])
    exponent = exponent_of(tl.where(size > safmin, size, safmin))
    inverse, unit = power_of_two(-exponent, size.dtype), power_of_two(exponent, size.dtype)
    h11, h12, h21, h22 = block[0] * inverse, block[1] * inverse, block[2] * inverse, block[3] * inverse
    middle = (h11 + h22) * 0.5
    det = (h11 - middle) * (h22 - middle) - h12 * h21
    root = sqrt(tl.abs(det))
    first, second = middle + root, middle - root
    nearest = tl.where(tl.abs(first - h22) <= tl.abs(second - h22), first, second)
    return tl.where(det >= 0, middle, nearest) * unit, tl.where(det >= 0, root, 0.0) * unit


@triton.jit
def _start(h, lo, hi, re, im, M: tl.constexpr):
    """Where each lane's bulge starts, and the first column of (H - rt1)(H - rt2) there."""
    ulp: tl.constexpr = machine("ulp", h[0].dtype)
    safmin: tl.constexpr = machine("safmin", h[0].dtype)
    start = lo
    hmm, hm1, h1m, h11, h21 = h[0], h[1], h[M], h[M + 1], h[2 * M + 1]
    if M == 4:  # row 1 too, where the window starts there, or above it two subdiagonal entries are small
        p1 = tl.fma(h[9], h[6], tl.fma(h[5] - re, h[5] - re, im * im))
        left = tl.abs(h[4] * h[9]) * (tl.abs(h[5] + h[10] - 2.0 * re) + tl.abs(h[14]))
        right = ulp * tl.abs(p1) * (tl.abs(h[0]) + tl.abs(h[5]) + tl.abs(h[10]))
        lower = (lo == 1) | ((hi == 3) & (left <= right) & (right >= safmin))
        start = tl.where(lower & (hi >= 0), 1, start)
        hmm, hm1, h1m = tl.where(lower, h[5], hmm), tl.where(lower, h[6], hm1), tl.where(lower, h[9], h1m)
        h11, h21 = tl.where(lower, h[10], h11), tl.where(lower, h[14], h21)
    size = tl.abs(hmm - re) + tl.abs(im) + tl.abs(h1m)
    inverse = _inverse_power(tl.where(size > safmin, size, safmin))
    c = h1m * inverse
    v1 = tl.fma(c, hm1, tl.fma(hmm - re, (hmm - re) * inverse, im * (im * inverse)))
    v2, v3 = c * (hmm + h11 - 2.0 * re), c * h21
    size = tl.abs(v1) + tl.abs(v2) + tl.abs(v3)
    inverse = _inverse_power(tl.where(size > safmin, size, safmin))
    return start, v1 * inverse, v2 * inverse, v3 * inverse


@triton.jit
def _sweep(h, start, hi, v1, v2, v3, M: tl.constexpr):
    """One double-shift sweep: the bulge down each lane's window."""
    for k in tl.static_range(0, M - 1):
        on, begin = (k >= start) & (k < hi), (k == start) & (k < hi)
        alpha, x, y = v1, v2, v3
        if k > 0:
            alpha, x = tl.where(begin, v1, h[k * M + k - 1]), tl.where(begin, v2, h[(k + 1) * M + k - 1])
        if k > 0 and k + 2 < M:
            y = tl.where(begin, v3, h[(k + 2) * M + k - 1])
        r, beta = _reflector(alpha, x, tl.where(k >= hi - 1, 0.0, y), on)
        if k > 0:  # 1 - t1 where a bulge starts inside a window: to negate would be wrong after underflow
            sub = h[k * M + k - 1]
            h = put(h, k * M + k - 1, tl.where(begin, sub * (1.0 + r[2]), tl.where(on, beta, sub)))
            for i in tl.static_range(k + 1, k + 3 if k + 3 < M else M):
                h = put(h, i * M + k - 1, tl.where(on, 0.0, h[i * M + k - 1]))
        h = _similarity(h, r, k, 3 if k + 2 < M else 2, M)
    return h


@triton.jit
def _francis(h, M: tl.constexpr):
    """Hessenberg matrices to quasi-triangular ones; per lane 0, or 1 + the index of the last eigenvalue that was not found."""
    hi = tl.full(h[0].shape, M - 1, tl.int32)
    stalled, failed = tl.zeros(hi.shape, tl.int32), tl.zeros(hi.shape, tl.int32)
    h, lo, hi, stalled = _deflate(h, hi, stalled, M)
    while any_of(hi >= 0):
        stalled = tl.where(hi >= 0, stalled + 1, 0)
        give_up = stalled > 300
        failed, hi = tl.where(give_up, hi + 1, failed), tl.where(give_up, -1, hi)
        block = _exceptional(h, _trailing(h, hi, M), lo, hi, stalled, M)
        re, im = _shifts(block)
        start, v1, v2, v3 = _start(h, lo, hi, re, im, M)
        h = _sweep(h, start, hi, v1, v2, v3, M)
        h, lo, hi, stalled = _deflate(h, hi, stalled, M)
    return h, failed


@triton.jit
def _block_eigenvalues(a, b, c, d):
    """The eigenvalues first + i im and second - i im of [a b; c d] (xLANV2), c not 0."""
    ulp: tl.constexpr = machine("ulp", a.dtype)
    safmin: tl.constexpr = machine("safmin", a.dtype)
    opposite = ((b < 0) & (c >= 0)) | ((c < 0) & (b >= 0))
    p, ab, ac = 0.5 * (a - d), tl.abs(b), tl.abs(c)
    most, least = _larger(ab, ac), tl.where(ab < ac, ab, ac)
    least = tl.where(opposite, -least, least)
    size = _larger(tl.abs(p), most)
    exponent = exponent_of(tl.where(size > safmin, size, safmin))
    inverse, unit = power_of_two(-exponent, a.dtype), power_of_two(exponent, a.dtype)
    scaled = p * inverse
    z = scaled * scaled + most * inverse * (least * inverse)
    root, middle = unit * sqrt(tl.abs(z)), 0.5 * (a + d)
    apart = z * unit >= 4.0 * ulp  # two real ones, not nearly equal
    shift = tl.where(apart, p + tl.where(p < 0, -root, root), 1.0)
    difference = tl.where(z < 0, 0.0, root)
    first = tl.where(b == 0, d, tl.where(apart, d + shift, middle + difference))
    second = tl.where(b == 0, a, tl.where(apart, d - divide(most, shift) * least, middle - difference))
    return first, second, tl.where((b != 0) & (apart == 0) & (z < 0), root, 0.0)


@triton.jit
def eigenvalues(h, M: tl.constexpr):
    """Of matrices with finite entries: real parts and imaginary parts, tuples of m, and per lane 0, or how many were not found."""
    largest = tl.abs(h[0])
    for e in tl.static_range(1, M * M):
        largest = _larger(largest, tl.abs(h[e]))
    exponent = tl.where(largest > 0, exponent_of(largest), 0)
    inverse, unit = power_of_two(-exponent, largest.dtype), power_of_two(exponent, largest.dtype)
    for e in tl.static_range(0, M * M):
        h = put(h, e, h[e] * inverse)
    failed = tl.zeros(largest.shape, tl.int32)
    if M > 2:
        h, failed = _francis(_hessenberg(h, M), M)
    re, im = (), ()
    for i in tl.static_range(0, M):
        re, im = append(re, h[i * M + i]), append(im, tl.zeros(largest.shape, largest.dtype))
    for i in tl.static_range(M - 1, 0, -1):
        c = h[i * M + i - 1]
        first, second, part = _block_eigenvalues(h[(i - 1) * M + i - 1], h[(i - 1) * M + i], c, h[i * M + i])
        re = put(put(re, i - 1, tl.where(c != 0, first, re[i - 1])), i, tl.where(c != 0, second, re[i]))
        im = put(put(im, i - 1, tl.where(c != 0, part, im[i - 1])), i, tl.where(c != 0, 0.0 - part, im[i]))
    for i in tl.static_range(0, M):
        re, im = put(re, i, re[i] * unit), put(im, i, im[i] * unit)
    return re, im, failed
