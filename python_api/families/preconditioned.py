"""Preconditioned delta rules: what is written along a key is scaled per channel by a running average of squared keys.

``S_t = A_t S_{t-1} + beta_t (M_t * k_t) v_t^T`` with S of K x V: A_t acts on the K axis, so the state has each eigenvalue V times.  The average
itself is a second state, with the one eigenvalue ``exp(g_atk)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families._gates import check_gate, grouped, l2norm, log_decay, tensors_with_bias
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import DiagonalPlusRankOne, RankOne

_CENTRE = -0.2  # log_atk_scale where a layer has none


def _preconditioner(k: Tensor, g_atk: Tensor, beta_atk: Tensor, initial_A_state: Tensor, centre: Tensor | float, x: float, eps: float) -> Tensor:
    """``M_t = x^{-s}`` in (1/x, x), ``s = r / (1 + |r|)``, ``r = log(a_t + eps) - centre``, ``a_t = exp(g_atk) a_{t-1} + beta_atk k_t^2``, ``(..., T, H, K)``."""
    decay, write = g_atk.exp()[..., None], beta_atk[..., None] * k.square()
    average, states = initial_A_state, []
    for decay_t, write_t in zip(decay.unbind(-3), write.unbind(-3), strict=True):
        average = decay_t * average + write_t
        states.append(average)
    r = (torch.stack(states, -3) if states else write).add(eps).log() - centre
    return torch.exp(-math.log(x) * r / (1 + r.abs()))


def _centre(log_atk_scale: Tensor | float | None) -> tuple[Tensor | None, float]:
    """A learned centre, else the number that stands for it."""
    if isinstance(log_atk_scale, Tensor):
        return log_atk_scale, 0.0
    return None, _CENTRE if log_atk_scale is None else float(log_atk_scale)


@family("Preconditioned Gated DeltaNet", "C3", cost="O(n)", range="real; [-0.5, 1] for x = 1.5 and beta in [0, 1]", source="arXiv:2604.21100; fla PrecondGatedDeltaNet")
def precond_gated_deltanet(
    k: Tensor,
    g_atk: Tensor,
    g: Tensor,
    beta_atk: Tensor,
    beta: Tensor,
    *,
    use_qk_l2norm_in_kernel: bool = True,
    x: float = 1.5,
    eps: float = 1e-6,
    log_atk_scale: Tensor | float | None = None,
    initial_A_state: Tensor | None = None,
) -> RankOne:
    """Preconditioned Gated DeltaNet: ``S_t = alpha_t (I - beta_t (M_t * k_t) k_t^T) S_{t-1} + beta_t (M_t * k_t) v_t^T``, ``alpha = exp(g)``::

        a_t = exp(g_atk) a_{t-1} + beta_atk k_t^2          r = log(a_t + eps) - log_atk_scale          M_t = x^(-r / (1 + |r|))

    Args:
        k: ``(..., T, H, K)``; head h and its M serve HV/H consecutive value heads.
        g_atk, beta_atk: ``(..., T, H)``, log decay and write strength of the average a.
        g, beta: ``(..., T, HV)``, log decay and write strength of the state.
        use_qk_l2norm_in_kernel: k is still to be divided by ``sqrt(|k|^2 + 1e-6)``; the kernels' default.
        x: M lies in (1/x, x).
        eps: added to the average.
        log_atk_scale: ``(H,)`` or a number; None: -0.2.
        initial_A_state: ``(..., H, K)``, the average before the first position; None: 0.

    Returns:
        `RankOne` of shape ``(..., T, HV, K, K)``.  Eigenvalues: real: alpha, K - 1 times, and ``alpha (1 - beta sum M k^2)``, above ``alpha (1 - x beta)``
        for ``|k| <= 1``.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: arXiv:2604.21100; fla chunk_precond_gated_delta_rule.

    >>> import torch, spectral_kernels as sk
    >>> k, log, beta = torch.randn(2, 7, 3, 16), -torch.rand(2, 7, 3), torch.rand(2, 7, 3)
    >>> sk.families.precond_gated_deltanet(k, log, log, beta, beta)
    RankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    learned, number = _centre(log_atk_scale)
    shapes = {"k": "... T H K", "g_atk": "... T H", "g": "... T HV", "beta_atk": "... T H", "beta": "... T HV", "log_atk_scale": "H ?", "initial_A_state": "... H K ?"}
    k, g_atk, g, beta_atk, beta, learned, average = _arguments.tensors(
        "precond_gated_deltanet", shapes, k=k, g_atk=g_atk, g=g, beta_atk=beta_atk, beta=beta, log_atk_scale=learned, initial_A_state=initial_A_state
    )
    k = l2norm(k) if use_qk_l2norm_in_kernel else k
    M = _preconditioner(k, g_atk, beta_atk, average, learned[..., None] + number, x, eps)
    write, k = grouped("precond_gated_deltanet", g.shape[-1], -2, k=M * k, read=k)
    alpha = g.exp()
    return RankOne(alpha, alpha * beta, write, k, time=-2)


@family("Preconditioned KDA", "C4", cost="O(n^2)", range="real; (-0.5, 1] for x = 1.5 and beta in [0, 1]", source="arXiv:2604.21100; fla PrecondKDA")
def precond_kda(
    k: Tensor,
    g: Tensor,
    g_atk: Tensor,
    beta_atk: Tensor,
    beta: Tensor,
    *,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    lower_bound: float | None = None,
    use_gate_in_kernel: bool = False,
    use_qk_l2norm_in_kernel: bool = True,
    x: float = 1.5,
    eps: float = 1e-6,
    log_atk_scale: Tensor | float | None = None,
    initial_A_state: Tensor | None = None,
) -> DiagonalPlusRankOne:
    """Preconditioned KDA: ``S_t = (I - beta_t (M_t * k_t) k_t^T) Diag(alpha_t) S_{t-1} + beta_t (M_t * k_t) v_t^T``, ``alpha = exp(g)``, M as
    in `precond_gated_deltanet`.

    Args:
        k: ``(..., T, H, K)``.
        g: ``(..., T, H, K)``, log decay; with use_gate_in_kernel the raw logit, as in `kda`.
        g_atk, beta_atk: ``(..., T, H)``, log decay and write strength of the average.
        beta: ``(..., T, H)``, write strength of the state.
        A_log, dt_bias, lower_bound: as in `kda`, per head H.
        use_gate_in_kernel, use_qk_l2norm_in_kernel: what is still to be done to g and k; the kernels always normalise k.
        x, eps, log_atk_scale, initial_A_state: as in `precond_gated_deltanet`.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, H, K, K)``.  Eigenvalues: real for beta >= 0, interlacing alpha; one is negative where ``beta sum M k^2 > 1``.
        Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for flags without what they need.

    Source: arXiv:2604.21100; fla chunk_precond_kda.

    >>> import torch, spectral_kernels as sk
    >>> k, log, beta = torch.randn(2, 7, 3, 16), -torch.rand(2, 7, 3), torch.rand(2, 7, 3)
    >>> sk.families.precond_kda(k, -torch.rand(2, 7, 3, 16), log, beta, beta)
    DiagonalPlusRankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    check_gate("precond_kda", use_gate_in_kernel, A_log, dt_bias, lower_bound)
    learned, number = _centre(log_atk_scale)
    shapes = {"g": "... T H K", "k": "... T H K", "g_atk": "... T H", "beta_atk": "... T H", "beta": "... T H"}
    shapes |= {"A_log": "H ?", "log_atk_scale": "H ?", "initial_A_state": "... H K ?"}
    given = {"g": g, "k": k, "g_atk": g_atk, "beta_atk": beta_atk, "beta": beta, "A_log": A_log, "log_atk_scale": learned, "initial_A_state": initial_A_state}
    g, k, g_atk, beta_atk, beta, A_log, learned, average, dt_bias = tensors_with_bias("precond_kda", shapes, dt_bias, **given)
    alpha = (log_decay(g, A_log[..., None], dt_bias, lower_bound) if use_gate_in_kernel else g).exp()
    k = l2norm(k) if use_qk_l2norm_in_kernel else k
    M = _preconditioner(k, g_atk, beta_atk, average, learned[..., None] + number, x, eps)
    return DiagonalPlusRankOne(alpha, -beta[..., None] * M * k, alpha * k, sign=-1, time=-2)
