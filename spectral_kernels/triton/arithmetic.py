"""Arithmetic that the kernels share: constants of a dtype, scaling by powers of two, reductions of masks."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# name: float32, float64; as in csrc/core/lane.h
_MACHINE = {
    "ulp": (2.0**-23, 2.0**-52),
    "safmin": (2.0**-126, 2.0**-1022),
    "largest": ((2 - 2.0**-23) * 2.0**127, (2 - 2.0**-52) * 2.0**1023),
    "reach": (120, 1000),  # exponents of powers of two whose inverses are normal
    "negligible_weight": (2.0**-80, 2.0**-600),
    "last_step": (8.6e-5, 3.7e-9),  # sqrt(ulp) / 4: the error of what follows is its square
    "least_square": (1e-30, 1e-280),  # below it a sum of squares has lost digits
    "mantissa": (23, 52),
    "bias": (127, 1023),
}


@triton.constexpr_function
def machine(name: str, dtype: Any) -> Any:
    """The constant ``name`` of float32 or float64, when the kernel is compiled."""
    return _MACHINE[name][0 if dtype == tl.float32 else 1]


@triton.constexpr_function
def bits_of(dtype: Any) -> Any:
    """The integer type of the size of ``dtype``."""
    return tl.int32 if dtype == tl.float32 else tl.int64


@triton.jit
def any_of(mask):
    """Whether ``mask`` holds anywhere: a scalar."""
    return tl.max(mask.to(tl.int32)) > 0


@triton.jit
def divide(a, b):
    """a / b, rounded to nearest: ``/`` is not in float32."""
    return tl.div_rn(a, b) if b.dtype == tl.float32 else a / b


@triton.jit
def sqrt(a):
    """The square root, rounded to nearest: ``tl.sqrt`` is not in float32."""
    return tl.sqrt_rn(a) if a.dtype == tl.float32 else tl.sqrt(a)


@triton.jit
def exponent_of(x):
    """``floor(log2 |x|)``, held to where ``power_of_two`` and its inverse are normal; the least of them for 0."""
    mantissa: tl.constexpr = machine("mantissa", x.dtype)
    bias: tl.constexpr = machine("bias", x.dtype)
    reach: tl.constexpr = machine("reach", x.dtype)
    exponent = (tl.abs(x).to(bits_of(x.dtype), bitcast=True) >> mantissa).to(tl.int32) - bias
    return tl.minimum(tl.maximum(exponent, -reach), reach)


@triton.jit
def power_of_two(exponent, dtype: tl.constexpr):
    """``2^exponent`` in ``dtype``, exactly; normal numbers only."""
    mantissa: tl.constexpr = machine("mantissa", dtype)
    bias: tl.constexpr = machine("bias", dtype)
    return ((exponent + bias).to(bits_of(dtype)) << mantissa).to(dtype, bitcast=True)
