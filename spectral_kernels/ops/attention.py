"""The log-sum-exp of attention's rows, streamed: no (T, S) matrix in memory, no values.

The definition and the meaning of the arguments stand in `reference.attention_lse`; the kernel of the compiled extensions serves the CPU.
Forward and backward of every other device run the definition on a few queries at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, library
from spectral_kernels.reference import attention_lse as reference

attention_lse = define(
    "attention_lse(Tensor q, Tensor k, Tensor start, Tensor end, Tensor? bias, Tensor? key_bias, Tensor? sink, float scale, float softcap) -> Tensor"
)

_CHUNK_LOGITS = 2**24  # of float64 logits at a time: 128 MiB


# Implementation


def _queries_at_once(q: Tensor, k: Tensor) -> int:
    return max(1, _CHUNK_LOGITS // max(1, q.shape[0] * q.shape[1] * k.shape[2]))


def _rows(t: Tensor | None, dim: int, first: int, count: int) -> Tensor | None:
    """The queries [first, first + count) of a tensor whose axis `dim` is 1 where all share it."""
    return t if t is None or t.shape[dim] == 1 else t.narrow(dim, first, min(count, t.shape[dim] - first))


def _attention_lse(
    q: Tensor, k: Tensor, start: Tensor, end: Tensor, bias: Tensor | None, key_bias: Tensor | None, sink: Tensor | None, scale: float, softcap: float
) -> Tensor:
    step = _queries_at_once(q, k)
    parts = [
        reference.attention_lse(
            q[:, :, i : i + step], k, *(_rows(t, 1, i, step) for t in (start, end)), _rows(bias, 2, i, step), key_bias, _rows(sink, 2, i, step), scale, softcap
        )
        for i in range(0, q.shape[2], step)
    ]
    return torch.cat(parts, 2) if parts else q.new_empty(q.shape[:-1], dtype=torch.float64)


library.impl("attention_lse", _attention_lse, "CompositeExplicitAutograd")


# Fake kernel


@torch.library.register_fake("spectral_kernels::attention_lse", lib=library)
def _attention_lse_fake(q: Tensor, k: Tensor, *_: Any) -> Tensor:
    torch._check(
        q.dim() == 4 and k.dim() == 4 and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3] and q.shape[1] % k.shape[1] == 0,
        lambda: f"spectral_kernels::attention_lse: expected q (B, H, T, D) and k (B, Hk, S, D) with H a multiple of Hk, got {tuple(q.shape)} and {tuple(k.shape)}",
    )
    return q.new_empty(q.shape[:-1], dtype=torch.float64)


# Autograd: dL_i/ds_ij = p_ij = exp(s_ij - L_i), by the chain rule of the definition, recomputed a few queries at a time


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:7], output)
    ctx.scale, ctx.softcap = inputs[7:]


def _backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    q, k, start, end, bias, key_bias, sink, lse = ctx.saved_tensors
    scale, softcap, groups = ctx.scale, ctx.softcap, q.shape[1] // k.shape[1]
    wide_k = k.double().repeat_interleave(groups, 1)
    needs = ctx.needs_input_grad
    dq, dbias = [], []
    dk, dkey_bias = torch.zeros_like(wide_k), g.new_zeros(*g.shape[:2], k.shape[2])
    for i in range(0, q.shape[2], step := _queries_at_once(q, k)):
        qi, rows = q[:, :, i : i + step], slice(i, i + step)
        si, ei, bi = _rows(start, 1, i, step), _rows(end, 1, i, step), _rows(bias, 2, i, step)
        s = reference.logits(qi, k, si, ei, bi, key_bias, scale, softcap)
        p = torch.where(s == -torch.inf, 0.0, torch.exp(s - lse[:, :, rows, None])) * g[:, :, rows, None]
        dkey_bias = dkey_bias + p.sum(2)
        if needs[4]:
            dbias.append(p.sum([d for d in (0, 1) if bias.shape[d] == 1] or [], keepdim=True) if bias.shape[0] == 1 or bias.shape[1] == 1 else p)
        if softcap > 0:
            t = torch.tanh(scale / softcap * (qi.double() @ wide_k.mT))
            p = torch.where(p == 0, 0.0, p * (1 - t * t))
        dq.append(scale * (p @ wide_k))
        dk = dk + scale * (p.mT @ qi.double())
    grads = {
        0: lambda: torch.cat(dq, 2).to(q.dtype),
        1: lambda: dk.unflatten(1, (k.shape[1], groups)).sum(2).to(k.dtype),
        4: lambda: torch.cat(dbias, 2).sum_to_size(bias.shape).to(bias.dtype),
        5: lambda: dkey_bias.sum_to_size(key_bias.shape),
        6: lambda: (g * torch.where(lse == -torch.inf, 0.0, torch.exp(sink - lse))).sum_to_size(sink.shape),
    }
    return tuple(grads[i]() if i in grads and needs[i] else None for i in range(9))


torch.library.register_autograd("spectral_kernels::attention_lse", _backward, setup_context=_setup_context, lib=library)
