"""MesaNet: two decayed sums, and the least-squares map that they amount to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Dense, RankOne, Scalar


@family("MesaNet", "C0", cost="O(1)", range="[0, 1]", source="arXiv:2506.05233; fla MesaNet")
def mesa_net(g: Tensor | None = None, head_k_dim: int = 1, *, a_proj: Tensor | None = None) -> Scalar:
    """MesaNet, the state as it is kept: ``H_kk,t = exp(g_t) H_kk,t-1 + beta_t k_t k_t^T`` and ``H_kv,t = exp(g_t) H_kv,t-1 + beta_t k_t v_t^T``.

    Args:
        g: ``(..., T, H)``, log decay, as ``chunk_mesa_net(g=)`` takes it.
        head_k_dim: K, the order of A.  1: one number per head.
        a_proj: ``(..., T, H)`` in place of g, the layer's raw logits: ``g = logsigmoid(a_proj)``.

    Returns:
        `Scalar` of shape ``(..., T, H, K, K)`` with log decay, K + V times in the whole state.  Eigenvalues: exp(g) in [0, 1] for g <= 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of g and a_proj is given.

    Source: von Oswald et al., arXiv:2506.05233; fla MesaNet.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.mesa_net(a_proj=torch.zeros(2, 7, 3), head_k_dim=16).spectral_radius()[0, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    _arguments.size("mesa_net", "head_k_dim", head_k_dim, 1)
    given, value = _arguments.one_of("mesa_net", g=g, a_proj=a_proj)
    (value,) = _arguments.tensors("mesa_net", {given: "... T H"}, **{given: value})
    return Scalar(value if given == "g" else logsigmoid(value), head_k_dim, log=True, time=-2)


@family("MesaNet, fast weight", "C3, C8", cost="O(n) after O(n^3) for R k; with decay O(n^3)", range="(0, 1]", gauge="normalised", source="arXiv:2506.05233; fla MesaNet")
def mesa_net_fast_weight(k: Tensor, beta: Tensor, lamb: Tensor, *, g: Tensor | None = None) -> RankOne | Dense:
    """MesaNet, the map that is read: ``W_t = R_t H_kv,t`` with ``R_t = (H_kk,t + Lambda)^-1``, so that ``o_t = W_t^T q_t``.

    Without decay ``W_t = (I - beta_t R_t k_t k_t^T) W_{t-1} + beta_t R_t k_t v_t^T``: recursive least squares, a delta rule with the best
    step.  With decay ``A_t = exp(g_t) R_t R_{t-1}^{-1}`` has no such form.

    Args:
        k: ``(..., T, H, K)``, the keys as the kernel uses them (normalised).
        beta: ``(..., T, H)``, after its sigmoid.
        lamb: ``(H, K)``, Lambda's diagonal, positive.
        g: ``(..., T, H)``, log decay; None: none.

    Returns:
        `RankOne` of shape ``(..., T, H, K, K)``, from H_kk = 0; with g `Dense`.  Eigenvalues: real, in (0, 1]: 1, K - 1 times, and
        ``1 - beta k^T R_t k = 1 / (1 + beta k^T R_{t-1} k)``.  Gauge: normalised, the weight that is read and not the sums that are kept.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: von Oswald et al., arXiv:2506.05233; fla naive_mesa_net_exact.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.nn.functional.normalize(torch.ones(1, 3, 1, 4), dim=-1)
    >>> t = sk.families.mesa_net_fast_weight(k, torch.ones(1, 3, 1), torch.ones(1, 4))  # one key again and again: t / (t + 1)
    >>> t.eigvals().real.amin(-1).flatten().round(decimals=4)
    tensor([0.5000, 0.6667, 0.7500])
    """
    shapes = {"k": "... T H K", "beta": "... T H", "lamb": "H K", "g": "... T H ?"}
    k, beta, lamb, decay = _arguments.tensors("mesa_net_fast_weight", shapes, k=k, beta=beta, lamb=lamb, g=g)
    weighted = beta[..., None] * k
    S = torch.diag_embed(lamb).expand(*k.shape[:-3], *k.shape[-2:], k.shape[-1])  # R^{-1} = H_kk + Lambda
    if g is None:
        solved = []
        for k_t, b_t in zip(k.unbind(-3), weighted.unbind(-3), strict=True):
            S = S + b_t[..., :, None] * k_t[..., None, :]
            solved.append(_solve(S, k_t[..., None])[..., 0])
        return RankOne(torch.ones_like(beta), beta, torch.stack(solved, -3) if solved else k, k, time=-2, gauge="normalised")
    matrices = []
    for k_t, b_t, f_t in zip(k.unbind(-3), weighted.unbind(-3), decay.exp().unbind(-2), strict=True):
        kept = f_t[..., None, None] * S
        S = f_t[..., None, None] * (S - torch.diag_embed(lamb)) + torch.diag_embed(lamb) + b_t[..., :, None] * k_t[..., None, :]
        matrices.append(_solve(S, kept))
    return Dense(torch.stack(matrices, -4) if matrices else k.new_zeros(*k.shape, k.shape[-1]), time=-2, gauge="normalised")


def _solve(S: Tensor, B: Tensor) -> Tensor:
    """``S^-1 B`` for a positive definite S; NaN, never an error, for one that is not."""
    L, info = torch.linalg.cholesky_ex(S)
    return torch.cholesky_solve(B, L).masked_fill((info != 0)[..., None, None], torch.nan)
