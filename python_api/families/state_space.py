"""Selective state spaces: Mamba, Mamba-2, Mamba-3, Longhorn.  The step ``delta_t`` of each position discretises a rate that is a parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Diagonal, RankOne, Rotation, Scalar, ZeroOrderHold


def _step(dt: Tensor, bias: Tensor, apply_softplus: bool) -> Tensor:
    return softplus(dt + bias) if apply_softplus else dt + bias


@family("Mamba, S6 (FalconMamba, Jamba, Zamba)", "C1", cost="O(n), n = D N, from D numbers", range="(0, 1]", source="arXiv:2312.00752; transformers mamba_selective_scan")
def mamba(dt: Tensor, A: Tensor | None = None, *, A_log: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = False) -> ZeroOrderHold:
    """Mamba (S6): ``h_t[d, n] = exp(delta_t[d] A[d, n]) h_{t-1}[d, n] + delta_t[d] B_t[n] u_t[d]``.

    FalconMamba (RMS norm without weight on dt, B, C), Jamba (with weight) and Zamba (a scan per Mamba head: one call per head, each with its own dt and A)
    differ in how dt arises, before this function.  The convolution in front of the scan is no part of A.

    Args:
        dt: ``(..., T, D)``, what the scan gets as `dt` or `delta`, with the positions before the channels (the scan has ``(B, D, T)``).
        A: ``(D, N)``, negative; or A_log in its place, the parameter: ``A = -exp(A_log)``.
        delta_bias: ``(D,)``, added to dt.
        delta_softplus: whether ``delta = softplus(dt + delta_bias)``, as in every layer; without it delta is dt + delta_bias.

    Returns:
        `ZeroOrderHold` of shape ``(..., T, D N, D N)``, which holds delta and A: `log_modulus` is delta A, exact where exp(delta A) is 0 or next to 1.
        Eigenvalues: real, in (0, 1] for delta >= 0 and A < 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of A and A_log is given.

    Source: Gu & Dao, arXiv:2312.00752; transformers mamba_selective_scan, mamba_ssm selective_scan_fn.

    >>> import torch, spectral_kernels as sk
    >>> A_log = torch.arange(1.0, 5.0).log().expand(3, 4)
    >>> t = sk.families.mamba(torch.randn(2, 7, 3), A_log=A_log, delta_bias=torch.zeros(3), delta_softplus=True)
    >>> t.shape
    torch.Size([2, 7, 12, 12])
    """
    given, value = _arguments.one_of("mamba", A=A, A_log=A_log)
    dt, rate, bias = _arguments.tensors("mamba", {"dt": "... T D", given: "D N", "delta_bias": "D ?"}, dt=dt, **{given: value}, delta_bias=delta_bias)
    return ZeroOrderHold(_step(dt, bias, delta_softplus), -rate.exp() if given == "A_log" else rate)


@family("Mamba-2, SSD (Bamba, Zamba2, Granite 4, NemotronH, FalconH1)", "C0", cost="O(1)", range="(0, 1]", source="arXiv:2405.21060; transformers mamba2_chunk_scan")
def mamba2(
    dt: Tensor,
    A: Tensor | None = None,
    *,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, math.inf),
    d_state: int = 1,
) -> Scalar:
    """Mamba-2 (SSD): ``S_t = exp(delta_t A) S_{t-1} + delta_t B_t x_t^T`` per head, S of d_state x head_dim.

    Args:
        dt: ``(..., T, H)``, what the scan gets: the last H columns of in_proj, which no convolution touches.
        A: ``(H,)``, negative; or A_log in its place, the parameter: ``A = -exp(A_log)``.
        dt_bias: ``(H,)``, added to dt.
        dt_softplus: whether ``delta = softplus(dt + dt_bias)``, as in every layer.
        dt_limit: delta is clamped to it, last (`time_step_limit` of the configurations).
        d_state: N, the order of A.  1: one number per head.

    Returns:
        `Scalar` of shape ``(..., T, H, N, N)`` with log decay delta A.  Eigenvalues: real, in (0, 1] for A < 0, N times; head_dim times that in the
        whole state.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of A and A_log is given.

    Source: Dao & Gu, arXiv:2405.21060; transformers mamba2_chunk_scan, mamba_ssm mamba_chunk_scan_combined.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.families.mamba2(torch.zeros(1, 1, 2), A_log=torch.zeros(2), dt_softplus=True, dt_limit=(0.0, 0.1))
    >>> t.value.tolist()  # softplus(0) = 0.69 is clamped
    [[[-0.10000000149011612, -0.10000000149011612]]]
    """
    given, value = _arguments.one_of("mamba2", A=A, A_log=A_log)
    _arguments.size("mamba2", "d_state", d_state, 1)
    dt, rate, bias = _arguments.tensors("mamba2", {"dt": "... T H", given: "H", "dt_bias": "H ?"}, dt=dt, **{given: value}, dt_bias=dt_bias)
    delta = _step(dt, bias, dt_softplus).clamp(*dt_limit)
    return Scalar(delta * (-rate.exp() if given == "A_log" else rate), d_state, log=True, time=-2)


@family("Mamba-2 pseudo-LTI", "C0", cost="O(1)", range="(0, 1)", source="arXiv:2510.09379 (its SSD_LTI)")
def mamba2_pseudo_lti(A: Tensor, *, beta: float = 1.0, d_state: int = 1) -> Scalar:
    """Mamba-2 without selection of A, the ablation of the eigenvalue paper: ``lambda_h = exp(-softplus(A_h) beta)``; dt still scales the input.

    Args:
        A: ``(H,)``, the parameter.
        beta: the fixed step.
        d_state: N, the order of A.  1: one number per head.

    Returns:
        `Scalar` of shape ``(H, N, N)`` with log lambda, constant in t.  Eigenvalues: real, in (0, 1), N times.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of an argument.

    Source: arXiv:2510.09379, the model SSD_LTI of its released code.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.mamba2_pseudo_lti(torch.tensor([-8.0, -2.0])).eigvals().real.flatten().round(decimals=4)
    tensor([0.9997, 0.8808])
    """
    _arguments.size("mamba2_pseudo_lti", "d_state", d_state, 1)
    (A,) = _arguments.tensors("mamba2_pseudo_lti", {"A": "H"}, A=A)
    return Scalar(-softplus(A) * beta, d_state, log=True, time=None)


@family("Mamba-3 (SISO, MIMO)", "C2", cost="O(n)", range="|lambda| < 1", gauge="rotated", source="mamba_ssm Mamba3; fla Mamba3")
def mamba3(
    DT: Tensor,
    Angles: Tensor,
    d_state: int,
    *,
    ADT: Tensor | None = None,
    dd_A: Tensor | None = None,
    A_floor: float = 1e-4,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
) -> Rotation:
    """Mamba-3: ``S_t = alpha_t R(-theta_t) S_{t-1}`` plus the trapezoidal input, with ``alpha = exp(A delta)``, ``theta = pi tanh(angle) delta``.

    The kernels rotate the keys by the summed angles instead and keep alpha alone: another gauge, in which the rotation cannot be seen.  The
    lagged input of the trapezoidal rule enters no A.

    Args:
        DT: ``(..., T, H)``, delta, with the positions before the heads (the kernels have ``(B, H, T)``); with dt_softplus the raw dd_dt of the layer, and
            ``delta = softplus(DT + dt_bias)``.
        Angles: ``(..., T, H, S)``, raw; what the layer shares over the heads, ``(..., T, 1, S)``, will do.
        d_state: N, the order of A, at least 2 S.
        ADT: ``(..., T, H)``, A delta; or
        dd_A: ``(..., T, H)`` in its place, the layer's raw output: ``A = -max(softplus(dd_A), A_floor)``.
        A_floor: the least rate.
        dt_bias: ``(H,)``.

    Returns:
        `Rotation` of shape ``(..., T, H, N, N)`` with log alpha.  Eigenvalues: ``alpha exp(+-i theta_i)``, and alpha for the N - 2 S dimensions without an
        angle; ``|lambda| = alpha`` in (0, 1).  MIMO pairs the dimensions differently: the same spectrum.  Gauge: rotated.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of ADT and dd_A is given.

    Source: mamba_ssm Mamba3 (mamba3_siso_combined, mamba3_mimo_combined); fla Mamba3.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.mamba3(torch.rand(2, 7, 3), torch.randn(2, 7, 1, 4), 16, dd_A=torch.randn(2, 7, 3))
    Rotation(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    given, value = _arguments.one_of("mamba3", ADT=ADT, dd_A=dd_A)
    shared = isinstance(Angles, Tensor) and Angles.dim() > 1 and Angles.shape[-2] == 1
    shapes = {"DT": "... T H", given: "... T H", "Angles": "... T 1 S" if shared else "... T H S", "dt_bias": "H ?"}
    delta, decay, angle, bias = _arguments.tensors("mamba3", shapes, DT=DT, **{given: value}, Angles=Angles, dt_bias=dt_bias)
    if _arguments.size("mamba3", "d_state", d_state) < 2 * angle.shape[-1]:
        raise ValueError(f"families.mamba3: expected d_state >= 2 S = {2 * angle.shape[-1]}, got {d_state}")
    delta = _step(delta, bias, dt_softplus)
    log = -softplus(decay).clamp(min=A_floor) * delta if given == "dd_A" else decay
    return Rotation(log, -math.pi * torch.tanh(angle) * delta[..., None], d_state, log=True, time=-2, gauge="rotated")


@family("Longhorn", "C1, C3", cost="O(n)", range="[0, 1]", source="arXiv:2407.14207; Longhorn's own code")
def longhorn(k: Tensor, dt: Tensor, *, exact: bool = False) -> Diagonal | RankOne:
    """Longhorn, an online regression solved implicitly: ``S_t[d] = (I - delta_d k k^T) S_{t-1}[d] + delta_d k x_d`` with
    ``delta = beta / (1 + beta |k|^2)``, ``beta = sigma(dt)``; the code keeps the diagonal, ``A[d, n] = 1 - delta_d k_n^2``.

    Args:
        k: ``(..., T, N)``, keys.
        dt: ``(..., T, D)``, raw step logits.
        exact: the rank-one update of the derivation in place of its diagonal.

    Returns:
        `Diagonal` of shape ``(..., T, D, N, N)``; `RankOne` of that shape with exact.  Eigenvalues: real: ``1 - delta_d k_n^2`` in [0, 1]; exact: 1, N - 1 times, and
        ``1 - delta_d |k|^2 = 1 / (1 + beta_d |k|^2)`` in (0, 1].  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Liu et al., arXiv:2407.14207, and its code.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.longhorn(torch.randn(2, 7, 16), torch.randn(2, 7, 3))
    Diagonal(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    k, dt = _arguments.tensors("longhorn", {"k": "... T N", "dt": "... T D"}, k=k, dt=dt)
    beta = torch.sigmoid(dt)
    delta = beta / (1 + beta * (k * k).sum(-1, keepdim=True))
    if exact:
        return RankOne(torch.ones_like(delta), delta, k[..., None, :].expand(*delta.shape, k.shape[-1]), time=-2)
    return Diagonal(1 - delta[..., None] * (k * k)[..., None, :], time=-2)
