"""The log-sum-exp of attention's rows, streamed: no (T, S) matrix in memory, no values.

The definition and the meaning of the arguments stand in `reference.attention_lse`; kernels serve the CPU and, where
Triton is there, CUDA.  The backward pass, and every other device, run the definition on a few queries at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, library, serve
from spectral_kernels.reference import attention_lse as reference

attention_lse = define("attention_lse(Tensor q, Tensor k, Tensor start, Tensor end, Tensor? bias, Tensor? key_bias, float scale, float softcap) -> Tensor")

_LOGITS_AT_ONCE = 2**24  # in float64: 128 MiB


# Implementation


def _queries_at_once(q: Tensor, k: Tensor) -> int:
    return max(1, _LOGITS_AT_ONCE // max(1, q.shape[0] * q.shape[1] * k.shape[2]))


def _rows(t: Tensor | None, dim: int, first: int, count: int) -> Tensor | None:
    """The queries [first, first + count) of a tensor whose axis `dim` is 1 where all share it."""
    return t if t is None or t.shape[dim] == 1 else t.narrow(dim, first, min(count, t.shape[dim] - first))


def _attention_lse(
    q: Tensor, k: Tensor, start: Tensor, end: Tensor, bias: Tensor | None, key_bias: Tensor | None, scale: float, softcap: float
) -> Tensor:
    n = _queries_at_once(q, k)
    parts = [
        reference.attention_lse(q[:, :, i : i + n], k, _rows(start, 1, i, n), _rows(end, 1, i, n), _rows(bias, 2, i, n), key_bias, scale, softcap)  # type: ignore[arg-type]
        for i in range(0, q.shape[2], n)
    ]
    return torch.cat(parts, 2) if parts else q.new_empty(q.shape[:-1], dtype=torch.float64)


serve(attention_lse, _attention_lse)


# Fake kernel


def _attention_lse_fake(q: Tensor, k: Tensor, *_: Any) -> Tensor:
    torch._check(
        q.dim() == 4 and k.dim() == 4 and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3] and q.shape[1] % k.shape[1] == 0,
        lambda: f"spectral_kernels::attention_lse: expected q (B, H, T, D) and k (B, Hk, S, D) with H a multiple of Hk, got {tuple(q.shape)} and {tuple(k.shape)}",
    )
    return q.new_empty(q.shape[:-1], dtype=torch.float64)


torch.library.register_fake("spectral_kernels::attention_lse", _attention_lse_fake, lib=library)


# Autograd: dL_i/ds_ij = exp(s_ij - L_i), and the chain rule through the definition of s_ij, recomputed


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:6], output)
    ctx.scale, ctx.softcap = inputs[6:]


def _backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    q, k, start, end, bias, key_bias, lse = ctx.saved_tensors
    groups, n = q.shape[1] // k.shape[1], _queries_at_once(q, k)
    wide_k = k.double().repeat_interleave(groups, 1)
    finite_lse = lse.masked_fill(lse == -torch.inf, 0.0)  # exp(-inf - 0) = 0 for a query that sees nothing
    dk, dkey_bias = torch.zeros_like(wide_k), g.new_zeros(*g.shape[:2], k.shape[2])
    dq, dbias = [], []
    for i in range(0, q.shape[2], n):
        rows = q[:, :, i : i + n].double()
        s = reference.logits(rows, k, _rows(start, 1, i, n), _rows(end, 1, i, n), _rows(bias, 2, i, n), key_bias, ctx.scale, ctx.softcap)  # type: ignore[arg-type]
        ds = torch.exp(s - finite_lse[:, :, i : i + n, None]) * g[:, :, i : i + n, None]
        dkey_bias = dkey_bias + ds.sum(2)
        if bias is not None and ctx.needs_input_grad[4]:
            dbias.append(ds.sum_to_size(*(1 if d < 2 and bias.shape[d] == 1 else ds.shape[d] for d in range(4))))
        if ctx.softcap > 0:
            ds = ds * (1 - torch.tanh(ctx.scale / ctx.softcap * (rows @ wide_k.mT)) ** 2)
        dq.append(ctx.scale * (ds @ wide_k))
        dk = dk + ctx.scale * (ds.mT @ rows)
    return (
        torch.cat(dq, 2).to(q.dtype),
        dk.unflatten(1, (k.shape[1], groups)).sum(2).to(k.dtype),
        None,
        None,
        torch.cat(dbias, 2).sum_to_size(bias.shape).to(bias.dtype) if dbias else None,
        dkey_bias.sum_to_size(key_bias.shape).to(key_bias.dtype) if key_bias is not None else None,
        None,
        None,
    )


torch.library.register_autograd("spectral_kernels::attention_lse", _backward, setup_context=_setup_context, lib=library)


# Batching rule: the mapped dimension joins B


def _join(t: Tensor | None, dim: int | None, size: int, batch: int) -> Tensor | None:
    """The mapped axis of `t`, or a new one, folded into its first."""
    if t is None:
        return t
    t = t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
    return t.expand(size, batch, *t.shape[2:]).flatten(0, 1)


def _attention_lse_batched(info: Any, in_dims: tuple[int | None, ...], q: Tensor, k: Tensor, *rest: Any) -> tuple[Tensor, int]:
    size, dims = info.batch_size, in_dims[:6]
    batch = q.shape[0] if dims[0] is None else q.movedim(dims[0], 0).shape[1]
    tensors = [_join(t, d, size, batch) for t, d in zip((q, k, *rest[:4]), dims, strict=True)]
    return attention_lse(*tensors, *rest[4:]).unflatten(0, (size, batch)), 0


torch.library.register_vmap("spectral_kernels::attention_lse", _attention_lse_batched, lib=library)
