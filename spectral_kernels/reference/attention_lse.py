r"""The log-sum-exp of attention's rows: all that the eigenvalues of softmax attention need.

With :math:`\eta_i = \sum_j \exp(s_{ij})` over the keys that query i sees, causal attention is the recurrence
:math:`h_i = (\eta_{i-1} / \eta_i) h_{i-1} + \phi(k_i) v_i^T / \eta_i` on the features :math:`\phi` of the exponential kernel (arXiv:2405.15731), so that
:math:`\lambda_i = \exp(L_{i-1} - L_i)` with :math:`L_i = \log \eta_i`.  The logits of query i and key j are

.. math:: s_{ij} = c \tanh(\sigma\, q_i^T k_j / c) + \beta_{ij} + b_j

(without a cap: :math:`\sigma\, q_i^T k_j + \beta_{ij} + b_j`).  Every mask that models use for a run of keys (causal, sliding window, padding, packed
documents, prefixes) says that query i sees the keys :math:`start_i \le j < end_i`; holes are a bias of -inf.  An attention sink is one more
logit, which needs no kernel: :math:`\log(e^{L_i} + e^{sink})`.  A decay of the past, :math:`s_{ij} + F_i - F_j`, as in ALiBi and the forgetting
attention, is the bias :math:`b_j = -F_j` alone: what a row has in common is added to :math:`L_i`, and cancels against the decay in
:math:`e^{F_i - F_{i-1}} \eta_{i-1} / \eta_i`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def logits(
    q: Tensor, k: Tensor, start: Tensor, end: Tensor, bias: Tensor | None = None, key_bias: Tensor | None = None, scale: float = 1.0, softcap: float = 0.0
) -> Tensor:
    """``s_ij`` of `attention_lse`, ``(B, H, T, S)`` float64, -inf where query i does not see key j, whatever the key holds."""
    groups = q.shape[1] // k.shape[1]
    s = scale * (q.double() @ k.double().repeat_interleave(groups, 1).mT)
    if softcap > 0:
        s = softcap * torch.tanh(s / softcap)
    j = torch.arange(k.shape[2], device=k.device)
    seen = ((j >= start[..., None]) & (j < end[..., None]))[:, None]
    for b in (bias, None if key_bias is None else key_bias[..., None, :]):
        if b is not None:
            s = s + b.double()
            seen = seen & (b != -math.inf)
    return s.masked_fill(~seen, -math.inf)


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
    """``L_i = log sum_j exp(s_ij)``, ``(B, H, T)`` float64; -inf for a query that sees nothing, NaN where a logit it sees is NaN or +inf.

    Args:
        q: ``(B, H, T, D)``.
        k: ``(B, Hk, S, D)``; query head h reads key head ``h // (H / Hk)``.
        start, end: int64, ``(B, T)``: query i sees the keys ``start_i <= j < end_i``.
        bias: added to the logits, ``(B, H, T, S)``; any axis of this and the next may be 1.
        key_bias: float64, ``(B, H, S)``: added to the logits of a key.
        scale, softcap: sigma and c of the head of this file; c = 0: no cap.
    """
    s = logits(q, k, start, end, bias, key_bias, scale, softcap)
    lse = torch.logsumexp(s, -1) if s.shape[-1] else s.new_full(s.shape[:-1], -math.inf)
    return torch.where(lse == math.inf, math.nan, lse)
