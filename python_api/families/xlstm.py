"""xLSTM: mLSTM, whose state is a matrix with a normaliser, and sLSTM, whose gates see the state.

Both implementations carry a running maximum m_t and exponentiate gates against it.  That is a change of units, different at every step: the
stabilised gates are no eigenvalues (those of mLSTM are near 1 whatever it forgets), so none is taken here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Dense, Diagonal, Scalar


def _soft_cap(x: Tensor, cap: float | None) -> Tensor:
    return x if cap is None else cap * torch.tanh(x / cap)


@family("mLSTM (xLSTM)", "C0", cost="O(1); normalised O(K)", range="(0, 1); normalised (0, inf)", gauge="raw, normalised", source="arXiv:2405.04517; transformers xLSTM")
def mlstm(
    fgate: Tensor,
    *,
    igate: Tensor | None = None,
    query: Tensor | None = None,
    key: Tensor | None = None,
    soft_cap: float | None = None,
    forget: str = "sigmoid",
    head_k_dim: int = 1,
) -> Scalar:
    """mLSTM: ``C_t = f_t C_{t-1} + i_t k_t v_t^T``, ``n_t = f_t n_{t-1} + i_t k_t``, read as ``C_t^T q_t / max(|n_t^T q_t|, 1)``, per head.

    With igate, query and key, the decay with the normaliser in the state: ``f_t eta_{t-1} / eta_t``, ``eta_t = max(|n_t^T q_t|, 1)``.

    Args:
        fgate: ``(..., T, H)``, the forget gate's pre-activation; ``f = sigma(fgate)``.
        igate: ``(..., T, H)``, pre-activation of the input gate, ``i = exp(igate)``.
        query, key: ``(..., T, H, K)``; the query is scaled by 1/sqrt(K) here, as in the kernels.
        soft_cap: c in ``c tanh(x/c)``, applied to both gates: 15 for the outputs of `fgate_preact` and `igate_preact`; None for what the kernels get.
        forget: "sigmoid", or "exp" for ``f = exp(fgate)``, the paper's other gate.
        head_k_dim: K, the order of A.  1: one number per head.

    Returns:
        `Scalar` of shape ``(..., T, H, K, K)`` with the log.  In the normalised gauge the first position, with nothing before it, is not valid.
        Eigenvalues: f, in (0, 1) for the sigmoid; normalised in (0, inf).  Gauge: raw, or normalised with igate, query and key.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, where only some of igate, query and key are given, and for forget.

    Source: Beck et al., arXiv:2405.04517; transformers mlstm_recurrent_step_native.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.mlstm(torch.zeros(2, 7, 3), soft_cap=15.0, head_k_dim=16)
    Scalar(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    _arguments.choice("mlstm", "forget", forget, ("sigmoid", "exp"))
    _arguments.size("mlstm", "head_k_dim", head_k_dim, 1)
    normalised = any(t is not None for t in (igate, query, key))
    shapes = {"fgate": "... T H"} | ({"igate": "... T H", "query": "... T H K", "key": "... T H K"} if normalised else {})
    f, *rest = _arguments.tensors("mlstm", shapes, fgate=fgate, igate=igate, query=query, key=key)
    f = _soft_cap(f, soft_cap)
    log_f = logsigmoid(f) if forget == "sigmoid" else f
    if not normalised:
        return Scalar(log_f, head_k_dim, log=True, time=-2)
    log_eta = _log_normaliser(log_f, _soft_cap(rest[0], soft_cap), rest[1] * rest[1].shape[-1] ** -0.5, rest[2])
    before = torch.cat([torch.zeros_like(log_eta[..., :1, :]), log_eta[..., :-1, :]], -2)
    valid = (torch.arange(f.shape[-2], device=f.device) > 0)[:, None].expand(f.shape)
    return Scalar(log_f + before - log_eta, head_k_dim, log=True, time=-2, valid=valid, gauge="normalised")


def _log_normaliser(log_f: Tensor, i: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """``log max(|n_t^T q_t|, 1)``, ``(..., T, H)``; n_t is kept in units of exp(m_t), where nothing overflows."""
    m = torch.full_like(i[..., :1, :].sum(-2), -torch.inf)
    n, logs = torch.zeros_like(k[..., :1, :, :].sum(-3)), []
    for f_t, i_t, q_t, k_t in zip(log_f.unbind(-2), i.unbind(-2), q.unbind(-3), k.unbind(-3), strict=True):
        m_t = torch.maximum(f_t + m, i_t).detach()
        n = (f_t + m - m_t).exp()[..., None] * n + (i_t - m_t).exp()[..., None] * k_t
        m = m_t
        logs.append(torch.clamp((n * q_t).sum(-1).abs().log() + m, min=0))
    return torch.stack(logs, -2) if logs else torch.zeros_like(log_f)


@family("sLSTM, gates alone (xLSTM)", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2405.04517; xlstm sLSTMCell")
def slstm(f: Tensor, *, forget: str = "sigmoid") -> Diagonal:
    """sLSTM as a linear system with given gates: ``C_t = f_t * C_{t-1} + i_t * z_t``, ``N_t = f_t * N_{t-1} + i_t``.

    The gates depend on the output of the step before; what that adds is in `slstm_jacobian`.

    Args:
        f: ``(..., T, H, P)``, the forget gate's pre-activation, recurrent part and bias included.
        forget: "sigmoid", or "exp" for ``f = exp(f)``.

    Returns:
        `Diagonal` of shape ``(..., T, H, P, P)`` with log f, multiplicity 2 for C and N.  Eigenvalues: real, in (0, 1) for the sigmoid.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor, and for forget.

    Source: Beck et al., arXiv:2405.04517; xlstm sLSTMCell.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.slstm(torch.zeros(1, 1, 1, 2)).eigvals().real.tolist()
    [[[[0.5, 0.5]]]]
    """
    _arguments.choice("slstm", "forget", forget, ("sigmoid", "exp"))
    (f,) = _arguments.tensors("slstm", {"f": "... T H P"}, f=f)
    return Diagonal(logsigmoid(f) if forget == "sigmoid" else f, log=True, time=-2, multiplicity=2)


@family("sLSTM, Jacobian (xLSTM)", "C8", cost="O((3n)^3)", range="any", source="arXiv:2405.04517; xlstm sLSTMCell")
def slstm_jacobian(i: Tensor, f: Tensor, z: Tensor, o: Tensor, recurrent_kernel: Tensor, bias: Tensor | None = None) -> Dense:
    """sLSTM, the Jacobian of a step on (y, C, N), per head::

        (i, f, z, o)_t += R y_{t-1} + b          C_t = sigma(f) * C_{t-1} + exp(i) * tanh(z)
        y_t = sigma(o) * C_t / N_t               N_t = sigma(f) * N_{t-1} + exp(i)

    C and N are in units of exp(m_t) per channel, with m_t the running maximum at t, both before and after the step: a change of units
    that is the same on both sides leaves the eigenvalues those of (y, C, N).  (The implementation's own coordinates, in units of exp(m_{t-1}) before and
    exp(m_t) after, have others.)

    Args:
        i, f, z, o: ``(..., T, H, P)``, the input halves of the pre-activations.
        recurrent_kernel: R, ``(H, P, 4, P)``: from y to the gates in the order i, f, z, o.
        bias: ``(H, 4, P)``; None: zeros.

    Returns:
        `Dense` of shape ``(..., T, H, 3 P, 3 P)``, from zero states at the first position.  Eigenvalues: complex, of any modulus; with R = 0 they are f twice
        and 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Beck et al., arXiv:2405.04517; xlstm sLSTMCell.

    >>> import torch, spectral_kernels as sk
    >>> gates = [torch.randn(2, 7, 3, 4) for _ in range(4)]
    >>> sk.families.slstm_jacobian(*gates, torch.randn(3, 4, 4, 4))
    Dense(shape=(2, 7, 3, 12, 12), dtype=torch.float32)
    """
    gates = dict.fromkeys(("i", "f", "z", "o"), "... T H P")
    given = {"i": i, "f": f, "z": z, "o": o, "recurrent_kernel": recurrent_kernel, "bias": bias}
    if isinstance(recurrent_kernel, Tensor) and recurrent_kernel.dim() == 4 and recurrent_kernel.shape[1] != recurrent_kernel.shape[3]:
        raise ValueError(f"families.slstm_jacobian: expected recurrent_kernel (H, P, 4, P), got shape {tuple(recurrent_kernel.shape)}")
    i, f, z, o, R, b = _arguments.tensors("slstm_jacobian", gates | {"recurrent_kernel": "H P 4 P", "bias": "H 4 P ?"}, **given)
    x = torch.stack([i, f, z, o], -2) + b  # (..., T, H, 4, P)
    y = torch.zeros_like(i[..., :1, :, :].sum(-3))
    C, N, m = y, y, torch.full_like(y, -torch.inf)
    steps = []
    for x_t in x.unbind(-4):
        i_t, f_t, z_t, o_t = (x_t + torch.einsum("...hi,higp->...hgp", y, R)).unbind(-2)
        now = torch.maximum(m + logsigmoid(f_t), i_t).detach()
        scale = (m - now).exp()  # 0 at the first position
        C, N, m = C * scale, N * scale, now
        i_t, f_t, z_t, o_t = (i_t - m).exp(), torch.sigmoid(f_t), torch.tanh(z_t), torch.sigmoid(o_t)
        C_t, N_t = f_t * C + i_t * z_t, f_t * N + i_t
        y, zero = o_t * C_t / N_t, torch.zeros_like(f_t)
        of_C = torch.stack([i_t * z_t, f_t * (1 - f_t) * C, i_t * (1 - z_t * z_t), zero], -2)  # of C_t and N_t, by each pre-activation
        of_N = torch.stack([i_t, f_t * (1 - f_t) * N, zero, zero], -2)
        by_C, by_N = o_t / N_t, -y / N_t
        of_y = by_C[..., None, :] * of_C + by_N[..., None, :] * of_N + torch.stack([zero, zero, zero, (1 - o_t) * y], -2)
        through_gates = torch.einsum("...hsgp,higp->...hspi", torch.stack([of_y, of_C, of_N], -3), R).flatten(-3, -2)  # (..., H, 3 P, P)
        direct = torch.stack([torch.stack([by_C * f_t, by_N * f_t], -2), torch.stack([f_t, zero], -2), torch.stack([zero, f_t], -2)], -3)  # (..., H, 3, 2, P)
        columns = torch.diag_embed(direct).transpose(-3, -2).flatten(-4, -3).flatten(-2)  # (..., H, 3 P, 2 P)
        steps.append(torch.cat([through_gates, columns], -1))
        C, N = C_t, N_t
    P = i.shape[-1]
    return Dense(torch.stack(steps, -4) if steps else i.new_zeros(*i.shape[:-1], 3 * P, 3 * P), time=-2)
