"""exp to the last bits, and tanh: those of Triton are good to about 2^-21 in float32, worse for large arguments."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def power_of_two(k):
    """2^k in float32, for -126 <= k <= 127."""
    return ((k + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exp(x):
    """exp(x) within 1.5 ulp over the whole range of float32 or float64; NaN gives NaN.

    In float32 exp(r) 2^k with k = round(x / ln 2) and ln 2 in two parts (Cody and Waite, Software Manual for the Elementary Functions, 1980).
    """
    if x.dtype == tl.float64:
        result = tl.exp(x)
    else:
        held = tl.where(x < -105.0, -105.0, tl.where(x > 89.0, 89.0, x))  # beyond, exp is 0 and infinite; NaN stays
        k = (held * 1.44269504088896340736 + 12582912.0) - 12582912.0  # 1.5 2^23: rounds to an integer
        r = (held - k * 0.693145751953125) - k * 1.428606765330187e-06  # the first product is exact
        sum = r * 1.9841270e-04 + 1.3888889e-03
        sum = sum * r + 8.3333333e-03
        sum = sum * r + 4.1666667e-02
        sum = sum * r + 1.6666667e-01
        sum = sum * r + 0.5
        value = (r * r * sum + r) + 1.0
        whole = tl.where(x == x, k, 0.0).to(tl.int32)
        half = whole >> 1  # 2^k itself may lie outside the range: in two factors, of which one rounds
        result = value * power_of_two(half) * power_of_two(whole - half)
    return result


@triton.jit
def exp2_slope(f):
    """(2^f - 1) / f for |f| <= 1/2 in float32, interpolated in the Chebyshev nodes: 2^f to a relative 5e-9."""
    sum = f * 0.00015453163 + 0.0013390863
    sum = sum * f + 0.009618083
    sum = sum * f + 0.05550357
    sum = sum * f + 0.2402265
    return sum * f + 0.6931472


@triton.jit
def tanh(x):
    """(1 - e) / (1 + e) with the sign of x, e = exp(-2|x|): in float32 within 4 ulp, for 1 - e keeps its digits next to 0; in float64 to 2^-53."""
    if x.dtype == tl.float64:
        less = 1.0 - tl.exp(-2.0 * tl.abs(x))
    else:
        y = tl.abs(x) * -2.885390081777926814719849  # -2 / ln 2
        y = tl.where(y < -60.0, -60.0, y)  # tanh is 1 beyond; NaN stays
        n = (y + 12582912.0) - 12582912.0
        f = y - n
        scale = power_of_two(tl.where(n == n, n, 0.0).to(tl.int32))
        less = (1.0 - scale) - scale * f * exp2_slope(f)
    size = less / (2.0 - less)
    return tl.where(x < 0, -size, size)
