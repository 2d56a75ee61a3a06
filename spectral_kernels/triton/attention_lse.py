"""The log-sum-exp of attention's rows, in one pass over tiles of keys (Milakov and Gimelshein, arXiv:1805.02867): no values, no T x S array.

Logits are in base 2.  A row's sum is ``(sum + rest) 2^max``: `rest` holds what rounding takes from `sum`, so that rows of 10^5 keys do not drift,
which asks for ``enable_fp_fusion=False``; the products of the logits are fused all the same.  The bits of a query do not depend on its block: tiles
of keys start at multiples of their size, and keys that it does not see add exact zeros.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.exponential import tanh
from spectral_kernels.triton.launch import REAL, check, launch, power_of_2

MOST_KEYS = 2**24
LOG2_E = tl.constexpr(1.44269504088896340736)
LN_2 = tl.constexpr(0.69314718055994530942)
GATES = tl.constexpr(48)  # keys in front of its end among which a query finds the bias that it measures others from


@triton.jit
def split(x, dtype: tl.constexpr):
    """A number in float64 as a high and a low part of ``dtype``; the low part of an infinite one is 0."""
    high = x.to(dtype)
    low = x - high.to(tl.float64)
    return high, tl.where(low == low, low, 0.0).to(dtype)


@triton.jit
def times(x, factor):
    """``x`` times a number in float64, without its rounding to the dtype of x."""
    high, low = split(factor, x.dtype)
    return x * high + x * low


@triton.jit
def last_finite(key_bias, stride, end):
    """The bias of the last key that each query sees: cumulative gates grow with the position, and relative to that key those of the keys with
    weight are small.  0 where none of the last `GATES` is finite.
    """
    found, missing, back = tl.zeros(end.shape, tl.float64), end > 0, 1
    while (back <= GATES) & (tl.max(missing.to(tl.int32)) > 0):
        x = tl.load(key_bias + (end - back) * stride, mask=missing, other=0.0)
        finite = missing & (tl.abs(x) < float("inf"))
        found = tl.where(finite, x, found)
        back += 1
        missing = missing & (finite == 0) & (end >= back)
    return found


@triton.jit
def attention_lse_kernel(
    q,
    k,
    start,
    end,
    bias,
    key_bias,
    out,
    scale: tl.float64,
    softcap: tl.float64,
    heads,
    group,
    queries,
    keys,
    depth,
    q_batch,
    q_head,
    q_row,
    q_step,
    k_batch,
    k_head,
    k_row,
    k_step,
    start_batch,
    start_row,
    end_batch,
    end_row,
    bias_batch,
    bias_head,
    bias_row,
    bias_step,
    gate_batch,
    gate_head,
    gate_step,
    CAPPED: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """A program takes a block of the queries of one head; the last blocks, whose rows are the longest where attention is causal, come first."""
    blocks = tl.cdiv(queries, QUERIES)
    b_h = tl.program_id(0).to(tl.int64) // blocks
    b, h = b_h // heads, b_h % heads
    i = (blocks - 1 - tl.program_id(0) % blocks).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    real = i < queries
    first = tl.minimum(tl.maximum(tl.load(start + b * start_batch + i * start_row, mask=real, other=keys), 0), keys)
    behind = tl.minimum(tl.maximum(tl.load(end + b * end_batch + i * end_row, mask=real, other=0), 0), keys)
    q += b * q_batch + h * q_head
    k += b * k_batch + h // group * k_head
    dtype: tl.constexpr = q.dtype.element_ty
    low = float("-inf")
    double = tl.full((), 1.0, tl.float64)  # the interpreter has arguments that are numbers as Python's
    factor, cap = double * scale * LOG2_E, double * softcap * LOG2_E
    if CAPPED:
        factor = double * scale / softcap
    origin_i = tl.zeros((QUERIES,), tl.float64)
    if key_bias is not None:
        key_bias += b * gate_batch + h * gate_head
        origin_i = last_finite(key_bias, gate_step, behind)
    largest = tl.full((QUERIES,), low, dtype)
    sum, rest = tl.zeros((QUERIES,), dtype), tl.zeros((QUERIES,), dtype)
    for tile in range(tl.min(first) // KEYS * KEYS, tl.max(behind), KEYS):
        j = tile + tl.arange(0, KEYS)
        s = tl.zeros((QUERIES, KEYS), dtype)
        for d in range(0, depth, DEPTH):
            e = d + tl.arange(0, DEPTH)
            rows = tl.load(q + i[:, None] * q_row + e[None, :] * q_step, mask=real[:, None] & (e < depth)[None, :], other=0.0)
            columns = tl.load(k + j[None, :] * k_row + e[:, None] * k_step, mask=(j < keys)[None, :] & (e < depth)[:, None], other=0.0)
            s = tl.dot(rows, columns, s, input_precision="ieee", out_dtype=dtype)
        s = times(s, factor)
        if CAPPED:
            s = times(tanh(s), cap)
        seen = (j[None, :] >= first[:, None]) & (j[None, :] < behind[:, None])
        if key_bias is not None:  # relative to the query's origin, as the sum of two differences from the tile's first bias: rounded once
            gate = tl.load(key_bias + j * gate_step, mask=j < keys, other=0.0)
            here = tl.load(key_bias + tile * gate_step)
            here = tl.where(tl.abs(here) < float("inf"), here, 0.0)
            high_j, low_j = split((gate - here) * LOG2_E, dtype)
            high_i, low_i = split((here - origin_i) * LOG2_E, dtype)
            s += (high_j[None, :] + high_i[:, None]) + (low_j[None, :] + low_i[:, None])
            seen = seen & (gate != low)[None, :]
        if bias is not None:
            place = bias + b * bias_batch + h * bias_head + i[:, None] * bias_row + j[None, :] * bias_step
            more = tl.load(place, mask=seen & real[:, None], other=0.0)
            s += more * LOG2_E
            seen = seen & (more != low)
        s = tl.where(seen, s, low)
        most = tl.maximum(largest, tl.max(s, 1))
        base = tl.where(most == low, 0.0, most)
        block = tl.sum(tl.exp2(s - base[:, None]), 1)
        shrink = tl.exp2(largest - base)
        before = sum * shrink
        sum = before + block
        of_block = sum - before  # Knuth's two-sum
        rest = rest * shrink + ((before - (sum - of_block)) + (block - of_block))
        largest = most
    whole = sum.to(tl.float64) + rest.to(tl.float64)
    lse = LN_2 * (largest.to(tl.float64) + tl.log2(whole)) + origin_i
    lse = tl.where(largest == low, tl.where(whole == 0, low, whole), lse)  # NaN logits alone may leave the maximum alone
    tl.store(out + b_h * queries + i, lse, mask=real)


def broadcast_strides(t: Tensor | None, dims: int) -> tuple[int, ...]:
    """0 for the axes of length 1, which stand for all positions."""
    return (0,) * dims if t is None else tuple(0 if size == 1 else stride for size, stride in zip(t.shape, t.stride(), strict=True))


def attention_lse(
    q: Tensor,
    k: Tensor,
    start: Tensor,
    end: Tensor,
    bias: Tensor | None = None,
    key_bias: Tensor | None = None,
    scale: float = 1.0,
    softcap: float = 0.0,
) -> Tensor:
    """The contract: `reference.attention_lse.attention_lse`."""
    op = "attention_lse"
    check(
        op,
        q.dim() == 4 and k.dim() == 4 and k.shape[1] > 0 and q.shape[1] % k.shape[1] == 0 and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3],
        lambda: f"q (B, H, T, D) and k (B, Hk, S, D) with H a multiple of Hk, got {tuple(q.shape)} and {tuple(k.shape)}",
    )
    check(op, q.dtype in REAL and k.dtype == q.dtype, lambda: f"q and k both float32 or both float64, got {q.dtype} and {k.dtype}")
    (B, H, T, D), S = q.shape, k.shape[2]
    check(op, S <= MOST_KEYS, lambda: f"at most {MOST_KEYS} keys, got {S}")
    int64, real, double = torch.int64, q.dtype, torch.float64
    like = (("start", start, int64, (B, T)), ("end", end, int64, (B, T)), ("bias", bias, real, (B, H, T, S)), ("key_bias", key_bias, double, (B, H, S)))
    for name, t, dtype, sizes in like:
        fits = t is None or (t.dtype == dtype and t.dim() == len(sizes) and all(a in (1, b) for a, b in zip(t.shape, sizes, strict=True)))
        check(op, fits, lambda n=name, d=dtype, s=sizes: f"{d} and sizes {s} or 1 of {n}")  # type: ignore[misc]
    out = q.new_empty((B, H, T), dtype=double)
    if out.numel():
        tile = tuning.ATTENTION_LSE[q.dtype, bias is not None or key_bias is not None]
        strides = (*q.stride(), *k.stride(), *(s for t, dims in ((start, 2), (end, 2), (bias, 4), (key_bias, 3)) for s in broadcast_strides(t, dims)))
        depth = min(tile.depth, max(16, power_of_2(D)))
        launch(
            attention_lse_kernel, B * H * triton.cdiv(T, tile.queries), q, q, k, start, end, bias, key_bias, out, scale, softcap, H, H // k.shape[1], T, S, D, *strides,
            softcap > 0, tile.queries, tile.keys, depth, num_warps=tile.num_warps, num_stages=tile.num_stages, enable_fp_fusion=False,
        )  # fmt: skip
    return out
