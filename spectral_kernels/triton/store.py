"""What kernels write: real numbers as complex ones."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def store_complex(out, at, re, inside):
    """``re`` to the elements ``at`` of a complex tensor, given by the pointer to its parts: a complex64 is one word, its real part the low half."""
    if re.dtype == tl.float32:
        tl.store(out.to(tl.pointer_type(tl.int64), bitcast=True) + at, re.to(tl.uint32, bitcast=True).to(tl.int64), mask=inside)
    else:
        tl.store(out + 2 * at, re, mask=inside)
        tl.store(out + 2 * at + 1, 0.0, mask=inside)
