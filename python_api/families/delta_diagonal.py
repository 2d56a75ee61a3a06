"""Delta rules whose decay is a diagonal: ``A_t = Diag(d) + b c^T``, whose spectrum is that of d and of the products ``b_i c_i``.

Where these have one sign the eigenvalues are real and interlace the diagonal.  All families here but the generalised rule have
``b_i c_i <= 0`` for strengths, rates and gates >= 0, and count on it: a matrix with some above and some below 0 gives NaN (it is one for
`dplr_delta_rule`).  S is K x V and A_t acts on the K axis, so the state has each eigenvalue V times, unless a function says otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families._gates import check_gate, grouped, l2norm, log_decay, strength, tensors_with_bias
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import DiagonalPlusRankOne, RankOne


@family("RWKV-7", "C4", cost="O(n^2)", range="(-0.46, 1)", source="arXiv:2503.14456; fla RWKV7Attention")
def rwkv7(w: Tensor, a: Tensor, *, kk: Tensor | None = None, b: Tensor | None = None) -> DiagonalPlusRankOne:
    """RWKV-7 (Goose): ``S_t = (Diag(exp(w_t)) - (a_t * kk_t) kk_t^T) S_{t-1} + k_t v_t^T`` per head.

    Two kernels name two things `a`.  fused_mul_recurrent_rwkv7 takes ``(w, kk, a)``, a the learning rate in (0, 1): give `kk`.
    chunk_rwkv7 takes ``(w, a, b)`` with ``a = -kk`` and ``b = kk * learning rate``: give `b`.

    Args:
        w: ``(..., T, H, K)``, log decay, in the layer ``-0.6065 sigma(.)``, so that ``exp(w)`` is in (0.545, 1).
        a: ``(..., T, H, K)``, beside kk the learning rate, beside b the vector -kk that the state is read with.
        kk: ``(..., T, H, K)``, keys of unit length, as the recurrent kernel takes them.
        b: ``(..., T, H, K)``, what is written where a has read, as the chunk kernel takes it.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, H, K, K)``.  Eigenvalues: real for a learning rate >= 0, between the smallest ``exp(w)`` less
        ``sum a kk^2`` and the largest ``exp(w)``, in the layer (-0.455, 1), at most one below the smallest ``exp(w)``.  Real, but far
        from orthogonal vectors where some learning rates are next to 0.  Gauge: raw.  RWKV's own code keeps the state as V x K and multiplies it by A^T
        from the right: the same spectrum.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of kk and b is given.

    Source: Peng et al., arXiv:2503.14456; fla chunk_rwkv7, fused_mul_recurrent_rwkv7.

    >>> import torch, spectral_kernels as sk
    >>> w, a = -0.6065 * torch.rand(2, 7, 3, 16), torch.rand(2, 7, 3, 16)
    >>> kk = torch.nn.functional.normalize(torch.randn(2, 7, 3, 16), dim=-1)
    >>> recurrent, chunk = sk.families.rwkv7(w, a, kk=kk), sk.families.rwkv7(w, -kk, b=kk * a)
    >>> torch.equal(recurrent.dense(), chunk.dense())
    True
    """
    given, other = _arguments.one_of("rwkv7", kk=kk, b=b)
    shape = "... T H K"
    w, a, other = _arguments.tensors("rwkv7", {"w": shape, "a": shape, given: shape}, **{"w": w, "a": a, given: other})
    read, write = (-other, other * a) if given == "kk" else (a, other)
    return DiagonalPlusRankOne(w.exp(), write, read, sign=-1, time=-2)


@family("Generalised delta rule, diagonal (DPLR)", "C4, C5", cost="O(n^2)", range="any", source="fla chunk_dplr_delta_rule")
def dplr_delta_rule(gk: Tensor, a: Tensor, b: Tensor) -> DiagonalPlusRankOne:
    """The delta rule with a diagonal and any rank one: ``S_t = (Diag(exp(gk_t)) + b_t a_t^T) S_{t-1} + k_t v_t^T``.

    Args:
        gk: ``(..., T, H, K)``, log decay.
        a: ``(..., T, H, K)``, what the state is read with, before it decays.
        b: ``(..., T, H, K)``, what is written where a has read.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, H, K, K)``.  Eigenvalues: where all ``a_i b_i`` are of one sign real, and between those of the diagonal but
        for one at an end; else any, complex ones in pairs.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Peng et al., arXiv:2503.14456; fla chunk_dplr_delta_rule.

    >>> import torch, spectral_kernels as sk
    >>> gk, a, b = -torch.rand(2, 7, 3, 16), torch.randn(2, 7, 3, 16), torch.randn(2, 7, 3, 16)
    >>> sk.families.dplr_delta_rule(gk, a, b)
    DiagonalPlusRankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    shape = "... T H K"
    gk, a, b = _arguments.tensors("dplr_delta_rule", {"gk": shape, "a": shape, "b": shape}, gk=gk, a=a, b=b)
    return DiagonalPlusRankOne(gk.exp(), b, a, time=-2)


@family("Generalised delta rule, identity (IPLR)", "C3", cost="O(n)", range="1, and any real", source="arXiv:2411.12537; fla chunk_iplr_delta_rule")
def iplr_delta_rule(a: Tensor, b: Tensor) -> RankOne:
    """The delta rule with any rank one: ``S_t = (I + b_t a_t^T) S_{t-1} + k_t v_t^T``.

    Args:
        a: ``(..., T, H, K)``, what the state is read with.
        b: ``(..., T, H, K)``, what is written where a has read.

    Returns:
        `RankOne` of shape ``(..., T, H, K, K)``.  Eigenvalues: real: 1, K - 1 times, and ``1 + a^T b``; defective where ``a^T b = 0`` and
        neither is 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Grazzi et al., arXiv:2411.12537; fla chunk_iplr_delta_rule.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.iplr_delta_rule(torch.randn(2, 7, 3, 16), torch.randn(2, 7, 3, 16))
    RankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    a, b = _arguments.tensors("iplr_delta_rule", {"a": "... T H K", "b": "... T H K"}, a=a, b=b)
    one = a.new_ones(a.shape[:-1])
    return RankOne(one, -one, b, a, time=-2)


@family(
    "Kimi Delta Attention (Kimi Linear, Bailing, GLM-5-next)", "C4", cost="O(n^2)", range="[0, 1]; (-1, 1] with allow_neg_eigval", source="arXiv:2510.26692; fla, transformers"
)
def kda(
    g: Tensor,
    k: Tensor,
    beta: Tensor,
    *,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    lower_bound: float | None = None,
    use_gate_in_kernel: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
    use_beta_sigmoid_in_kernel: bool = False,
    allow_neg_eigval: bool = False,
) -> DiagonalPlusRankOne:
    """Kimi Delta Attention: ``S_t = (I - beta_t k_t k_t^T) Diag(alpha_t) S_{t-1} + beta_t k_t v_t^T`` per head, ``alpha = exp(g)``.

    Args:
        g: ``(..., T, HV, K)``, log decay; with use_gate_in_kernel the raw logit, of which it is ``-exp(A_log) softplus(g + dt_bias)``, or with
            lower_bound the safe gate ``lower_bound sigma(exp(A_log) (g + dt_bias))``.
        k: ``(..., T, H, K)``; head h serves HV/H consecutive value heads.
        beta: ``(..., T, HV)``, write strength.
        A_log: ``(HV,)``, with use_gate_in_kernel only; None, which stands for 0, only beside lower_bound.
        dt_bias: ``(HV * K,)`` or ``(HV, K)``, with use_gate_in_kernel only; None: 0.
        lower_bound: of the safe gate, below 0; read with use_gate_in_kernel only.
        use_gate_in_kernel, use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval: what is still to be done to g, k and
            beta: see `deltanet`.  transformers passes g and beta ready, and k with use_qk_l2norm_in_kernel.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, HV, K, K)``.  Eigenvalues: real for beta >= 0, interlacing alpha: one up to the smallest alpha, one
        between each two neighbours; in [0, 1] for ``beta |k|^2 <= 1``, one negative where that exceeds 1, all in (-1, 1] for beta in (0, 2).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for flags without what they need.

    Source: Kimi Team, arXiv:2510.26692; fla chunk_kda; transformers chunk_kimi_delta_attention.

    >>> import torch, spectral_kernels as sk
    >>> g, k, beta = -torch.rand(2, 7, 3, 16), torch.randn(2, 7, 3, 16), torch.rand(2, 7, 3)
    >>> sk.families.kda(g, k, beta, use_qk_l2norm_in_kernel=True)
    DiagonalPlusRankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    check_gate("kda", use_gate_in_kernel, A_log, dt_bias, lower_bound)
    shapes = {"g": "... T HV K", "k": "... T H K", "beta": "... T HV", "A_log": "HV ?"}
    g, k, beta, A_log, dt_bias = tensors_with_bias("kda", shapes, dt_bias, g=g, k=k, beta=beta, A_log=A_log)
    alpha = (log_decay(g, A_log[..., None], dt_bias, lower_bound) if use_gate_in_kernel else g).exp()
    beta = strength("kda", beta, use_beta_sigmoid_in_kernel, allow_neg_eigval)
    (k,) = grouped("kda", g.shape[-2], -2, k=l2norm(k) if use_qk_l2norm_in_kernel else k)
    return DiagonalPlusRankOne(alpha, -beta[..., None] * k, alpha * k, sign=-1, time=-2)


@family("Gated DeltaNet-2", "C4", cost="O(n^2)", range="[0, 1]; real with allow_neg_eigval", source="arXiv:2605.22791; fla GatedDeltaNet2")
def gated_deltanet2(
    g: Tensor,
    k: Tensor,
    b: Tensor,
    *,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    lower_bound: float | None = None,
    use_gate_in_kernel: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
) -> DiagonalPlusRankOne:
    """Gated DeltaNet-2: ``S_t = (I - k_t (b_t * k_t)^T) Diag(alpha_t) S_{t-1} + k_t (w_t * v_t)^T`` per head, ``alpha = exp(g)``.

    Args:
        g: ``(..., T, H, K)``, log decay; with use_gate_in_kernel the raw logit, as in `kda`.
        k: ``(..., T, H, K)``.
        b: ``(..., T, H, K)``, erase gate per channel, in the layer a sigmoid, twice that with its allow_neg_eigval.
        A_log, dt_bias, lower_bound: as in `kda`.
        use_gate_in_kernel, use_qk_l2norm_in_kernel: what is still to be done to g and k.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, H, K, K)``.  Eigenvalues: real for b >= 0, interlacing alpha; for ``|k| <= 1`` non-negative where
        ``sum b k^2 <= 1``, and one negative where it exceeds 1.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for flags without what they need.

    Source: arXiv:2605.22791; fla chunk_gdn2.

    >>> import torch, spectral_kernels as sk
    >>> g, k, b = -torch.rand(2, 7, 3, 16), torch.randn(2, 7, 3, 16), torch.rand(2, 7, 3, 16)
    >>> sk.families.gated_deltanet2(g, k, b, use_qk_l2norm_in_kernel=True)
    DiagonalPlusRankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    check_gate("gated_deltanet2", use_gate_in_kernel, A_log, dt_bias, lower_bound)
    shapes = {"g": "... T H K", "k": "... T H K", "b": "... T H K", "A_log": "H ?"}
    g, k, b, A_log, dt_bias = tensors_with_bias("gated_deltanet2", shapes, dt_bias, g=g, k=k, b=b, A_log=A_log)
    alpha = (log_decay(g, A_log[..., None], dt_bias, lower_bound) if use_gate_in_kernel else g).exp()
    k = l2norm(k) if use_qk_l2norm_in_kernel else k
    return DiagonalPlusRankOne(alpha, -k, alpha * b * k, sign=-1, time=-2)


@family("Gated Oja rule", "C3, C4", cost="O(n^2)", range="[0, 1] for beta |v|^2 <= 1", source="fla chunk_gated_oja_rule")
def gated_oja_rule(gv: Tensor | None, v: Tensor, beta: Tensor) -> DiagonalPlusRankOne | RankOne:
    """The gated Oja rule, on the VALUE axis: ``S_t = S_{t-1} Diag(alpha_t) (I - beta_t v_t v_t^T) + beta_t k_t v_t^T``, ``alpha = exp(gv)``.

    A_t acts on the columns of S^T, of V numbers each: ``(I - beta v v^T) Diag(alpha)``.  The state has each eigenvalue K times.

    Args:
        gv: ``(..., T, HV, V)``, log decay; None: no decay.
        v: ``(..., T, HV, V)``, values, as they are: the kernels normalise q and k alone.
        beta: ``(..., T, HV)``, write strength.

    Returns:
        `DiagonalPlusRankOne` of shape ``(..., T, HV, V, V)``; `RankOne` without gv.  Eigenvalues: real for beta >= 0, interlacing alpha; one is negative where
        ``beta |v|^2 > 1``, and below -1 if that is large enough, for v need not be of length 1.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: fla chunk_gated_oja_rule, fused_recurrent_gated_oja_rule.

    >>> import torch, spectral_kernels as sk
    >>> v = torch.nn.functional.normalize(torch.randn(2, 7, 3, 8), dim=-1)
    >>> sk.families.gated_oja_rule(-torch.rand(2, 7, 3, 8), v, torch.rand(2, 7, 3)).shape
    torch.Size([2, 7, 3, 8, 8])
    """
    log, v, beta = _arguments.tensors("gated_oja_rule", {"gv": "... T HV V ?", "v": "... T HV V", "beta": "... T HV"}, gv=gv, v=v, beta=beta)
    if gv is None:
        return RankOne(torch.ones_like(beta), beta, v, time=-2)
    alpha = log.exp()
    return DiagonalPlusRankOne(alpha, -beta[..., None] * v, alpha * v, sign=-1, time=-2)
