"""Delta rules whose decay is a scalar: a fast weight that is corrected along one key at a time.

``S_t = A_t S_{t-1} + beta_t k_t v_t^T`` with S of K x V: A_t acts on the K axis, so the state has each eigenvalue V times.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families._gates import check_gate, grouped, l2norm, log_decay, strength
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import HouseholderProduct, RankOne


@family("DeltaNet", "C3", cost="O(n)", range="1, and [0, 1]; (-1, 1] with allow_neg_eigval", source="arXiv:2406.06484; fla DeltaNet")
def deltanet(k: Tensor, beta: Tensor, *, use_qk_l2norm_in_kernel: bool = False, use_beta_sigmoid_in_kernel: bool = False, allow_neg_eigval: bool = False) -> RankOne:
    """DeltaNet: ``S_t = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T`` per head.

    Args:
        k: ``(..., T, H, K)``, keys as the kernel gets them: after convolution, activation, and normalisation where the layer normalises
            (to unit 2-norm, or to unit 1-norm with ``qk_norm='sum'``).
        beta: ``(..., T, H)``, write strength.
        use_qk_l2norm_in_kernel: k is still to be divided by ``sqrt(|k|^2 + 1e-6)``.
        use_beta_sigmoid_in_kernel: beta holds logits, of which the sigmoid is to be taken.
        allow_neg_eigval: and doubled, into (0, 2).

    Returns:
        `RankOne` of shape ``(..., T, H, K, K)``, symmetric.  Eigenvalues: real: 1, K - 1 times, and ``1 - beta |k|^2``: in [0, 1] for beta in
        [0, 1] and ``|k| <= 1``, negative where ``beta |k|^2 > 1``, below -1 only where it exceeds 2.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for allow_neg_eigval without the sigmoid.

    Source: Schlag et al., arXiv:2102.11174; Yang et al., arXiv:2406.06484; negative eigenvalues: Grazzi et al., arXiv:2411.12537; fla chunk_delta_rule.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.nn.functional.normalize(torch.randn(2, 7, 3, 16), dim=-1)
    >>> sk.families.deltanet(k, torch.full((2, 7, 3), 1.5)).eigvals()[0, 0, 0, -2:].real.round(decimals=3).tolist()
    [1.0, -0.5]
    """
    k, beta = _arguments.tensors("deltanet", {"k": "... T H K", "beta": "... T H"}, k=k, beta=beta)
    beta = strength("deltanet", beta, use_beta_sigmoid_in_kernel, allow_neg_eigval)
    return RankOne(torch.ones_like(beta), beta, l2norm(k) if use_qk_l2norm_in_kernel else k, time=-2)


@family(
    "Gated DeltaNet (Qwen3-Next, Qwen3.5, OLMo-hybrid)", "C3", cost="O(n)", range="[0, 1]; (-1, 1] with allow_neg_eigval", source="arXiv:2412.06464; fla, transformers"
)
def gated_deltanet(
    g: Tensor,
    k: Tensor,
    beta: Tensor,
    *,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    use_gate_in_kernel: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
    use_beta_sigmoid_in_kernel: bool = False,
    allow_neg_eigval: bool = False,
) -> RankOne:
    """Gated DeltaNet: ``S_t = alpha_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T`` per head, ``alpha = exp(g)``.

    Args:
        g: ``(..., T, HV)``, log decay; with use_gate_in_kernel the raw logit, of which it is ``-exp(A_log) softplus(g + dt_bias)``.
        k: ``(..., T, H, K)``; head h of k serves the value heads ``h HV/H`` to ``(h + 1) HV/H - 1``.
        beta: ``(..., T, HV)``, write strength.
        A_log, dt_bias: ``(HV,)``, the layer's parameters, with use_gate_in_kernel only; dt_bias may be None.
        use_gate_in_kernel, use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval: what is still to be done to g, k and
            beta: see `deltanet`.  transformers passes g and beta ready, and k with use_qk_l2norm_in_kernel.

    Returns:
        `RankOne` of shape ``(..., T, HV, K, K)``, symmetric.  Eigenvalues: real: alpha, K - 1 times, and ``alpha (1 - beta |k|^2)``; in [0, 1],
        with allow_neg_eigval in (-1, 1], one of them negative where ``beta |k|^2 > 1``.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for flags without what they need.

    Source: Yang et al., arXiv:2412.06464; fla chunk_gated_delta_rule; transformers torch_chunk_gated_delta_rule.

    >>> import torch, spectral_kernels as sk
    >>> g, beta = -torch.rand(2, 7, 4), torch.rand(2, 7, 4)
    >>> sk.families.gated_deltanet(g, torch.randn(2, 7, 2, 16), beta, use_qk_l2norm_in_kernel=True)
    RankOne(shape=(2, 7, 4, 16, 16), dtype=torch.float32)
    """
    check_gate("gated_deltanet", use_gate_in_kernel, A_log, dt_bias)
    shapes = {"g": "... T HV", "k": "... T H K", "beta": "... T HV", "A_log": "HV ?", "dt_bias": "HV ?"}
    g, k, beta, A_log, dt_bias = _arguments.tensors("gated_deltanet", shapes, g=g, k=k, beta=beta, A_log=A_log, dt_bias=dt_bias)
    alpha = (log_decay(g, A_log, dt_bias) if use_gate_in_kernel else g).exp()
    beta = strength("gated_deltanet", beta, use_beta_sigmoid_in_kernel, allow_neg_eigval)
    (k,) = grouped("gated_deltanet", g.shape[-1], -2, k=l2norm(k) if use_qk_l2norm_in_kernel else k)
    return RankOne(alpha, alpha * beta, k, time=-2)


@family("Comba", "C3", cost="O(n)", range="(-1, 1) for p = k; real", source="arXiv:2506.02475; fla Comba")
def comba(
    g: Tensor, k: Tensor, beta: Tensor | None = None, p: Tensor | None = None, *, use_qk_l2norm_in_kernel: bool = False, decay_first: bool = False
) -> RankOne:
    """Comba: the state is read with p before it decays, ``S_t = alpha_t S_{t-1} + beta_t k_t (v_t - p_t^T S_{t-1})^T``.

    That is what both kernels and the chunked reference compute: ``A = alpha I - beta k p^T``.  fla's recurrent reference decays
    first, ``A = alpha (I - beta k p^T)``: `decay_first`.

    Args:
        g: ``(..., T, HV)``, log decay, ``alpha = exp(g)``.
        k: ``(..., T, H, K)``, keys; head h serves HV/H consecutive value heads.
        beta: ``(..., T, HV)``, write strength; None: 1.
        p: ``(..., T, H, K)``, what the state is read with, in the layer ``sigma(decay) k``; None: k.
        use_qk_l2norm_in_kernel: k and p are still to be normalised, each by its own length: a p that is a multiple of k becomes k.
        decay_first: the state decays before it is read.

    Returns:
        `RankOne` of shape ``(..., T, HV, K, K)``, symmetric where p is k.  Eigenvalues: real: alpha, K - 1 times, and ``alpha - beta p^T k``
        (``alpha (1 - beta p^T k)`` with decay_first): in (-1, 1) for beta and ``p^T k`` in [0, 1].  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Hu et al., arXiv:2506.02475; fla chunk_comba, fused_recurrent_comba.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.nn.functional.normalize(torch.randn(2, 7, 3, 16), dim=-1)
    >>> sk.families.comba(-torch.rand(2, 7, 3), k, torch.rand(2, 7, 3), 0.7 * k)
    RankOne(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    shapes = {"g": "... T HV", "k": "... T H K", "beta": "... T HV ?", "p": "... T H K ?"}
    g, k, write, read = _arguments.tensors("comba", shapes, g=g, k=k, beta=beta, p=p)
    write = torch.ones_like(g) if beta is None else write
    read = k if p is None else read
    if use_qk_l2norm_in_kernel:
        k, read = l2norm(k), l2norm(read)
    k, read = grouped("comba", g.shape[-1], -2, k=k, p=read)
    alpha = g.exp()
    return RankOne(alpha, alpha * write if decay_first else write, k, None if p is None else read, time=-2)


@family("DeltaProduct", "C6", cost="O(n m^2 + m^3)", range="|lambda| <= 1", source="arXiv:2502.10297; fla GatedDeltaProduct")
def deltaproduct(
    k: Tensor, beta: Tensor, num_householder: int, *, use_qk_l2norm_in_kernel: bool = False, use_beta_sigmoid_in_kernel: bool = False, allow_neg_eigval: bool = False
) -> HouseholderProduct:
    """DeltaProduct: m delta rules per token, ``A_t = (I - beta_m k_m k_m^T) ... (I - beta_1 k_1 k_1^T)``.

    Args:
        k: ``(..., T m, H, K)``: token t has the m = num_householder rows from ``t m`` on, the first of them applied first.
        beta: ``(..., T m, H)``, write strengths.
        num_householder: m.
        use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval: what is still to be done to k and beta: see `deltanet`.

    Returns:
        `HouseholderProduct` of shape ``(..., T, H, K, K)``.  Eigenvalues: 1, K - m times, and m more of modulus at most 1 where
        ``beta |k|^2 <= 2``: real for m = 1, and for m = 2 with ``beta |k|^2 <= 1``; else complex pairs, rotations.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, for a number of rows that m does not divide, and for
            flags without what they need.

    Source: Siems et al., arXiv:2502.10297; fla chunk_gated_delta_product.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.nn.functional.normalize(torch.randn(2, 14, 3, 16), dim=-1)
    >>> sk.families.deltaproduct(k, torch.rand(2, 14, 3), num_householder=2)
    HouseholderProduct(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    return _deltaproduct("deltaproduct", None, k, beta, num_householder, use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval)


@family("Gated DeltaProduct", "C6", cost="O(n m^2 + m^3)", range="|lambda| <= 1", source="arXiv:2502.10297; fla GatedDeltaProduct")
def gated_deltaproduct(
    g: Tensor,
    k: Tensor,
    beta: Tensor,
    num_householder: int,
    *,
    use_qk_l2norm_in_kernel: bool = False,
    use_beta_sigmoid_in_kernel: bool = False,
    allow_neg_eigval: bool = False,
) -> HouseholderProduct:
    """Gated DeltaProduct: m delta rules and one decay per token, ``A_t = alpha (I - beta_m k_m k_m^T) ... (I - beta_1 k_1 k_1^T)``.

    Args:
        g: ``(..., T, H)``, log decay, ``alpha = exp(g)``; or ``(..., T m, H)``, one per delta rule, as a call of
            fused_recurrent_gated_delta_rule on all substeps has them (the first of each m holds g, the others 0): these are added up.
        k, beta, num_householder: as for `deltaproduct`.
        use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval: what is still to be done to k and beta: see `deltanet`.

    Returns:
        `HouseholderProduct` of shape ``(..., T, H, K, K)``.  Eigenvalues: alpha times those of `deltaproduct`.  Gauge: raw.

    Raises:
        TypeError, ValueError: as `deltaproduct`.

    Source: Siems et al., arXiv:2502.10297; fla chunk_gated_delta_product, and fused_recurrent_gated_delta_rule on substeps.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.nn.functional.normalize(torch.randn(2, 14, 3, 16), dim=-1)
    >>> sk.families.gated_deltaproduct(-torch.rand(2, 7, 3), k, 2 * torch.rand(2, 14, 3), num_householder=2)
    HouseholderProduct(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    return _deltaproduct("gated_deltaproduct", g, k, beta, num_householder, use_qk_l2norm_in_kernel, use_beta_sigmoid_in_kernel, allow_neg_eigval)


def _deltaproduct(
    name: str, g: Tensor | None, k: Tensor, beta: Tensor, m: int, use_qk_l2norm_in_kernel: bool, use_beta_sigmoid_in_kernel: bool, allow_neg_eigval: bool
) -> HouseholderProduct:
    _arguments.size(name, "num_householder", m, 1)
    k, beta, log = _arguments.tensors(name, {"k": "... Tm H K", "beta": "... Tm H", "g": "... Tg H ?"}, k=k, beta=beta, g=g)
    T = k.shape[-3] // m
    if k.shape[-3] % m:
        raise ValueError(f"families.{name}: expected k (..., T m, H, K) with m = num_householder = {m}, got {tuple(k.shape)}")
    if g is not None and log.shape[-2] not in (T, T * m):
        raise ValueError(f"families.{name}: expected g (..., T, H) or (..., T m, H) with T = {T} and m = num_householder = {m}, got {tuple(g.shape)}")
    k = (l2norm(k) if use_qk_l2norm_in_kernel else k).unflatten(-3, (T, m)).movedim(-3, -2)
    beta = strength(name, beta, use_beta_sigmoid_in_kernel, allow_neg_eigval).unflatten(-2, (T, m)).movedim(-2, -1)
    if g is not None and log.shape[-2] != T:
        log = log.unflatten(-2, (T, m)).sum(-2)  # a scalar commutes with everything: it is no matter which substep it stands in
    return HouseholderProduct(torch.ones_like(beta[..., 0]) if g is None else log.exp(), beta, k, time=-2)


@family("PaTH attention (path transition)", "C3", cost="O(n)", range="1, and (-1, 1)", source="arXiv:2505.16381; fla PaTHAttention")
def path_transition(w: Tensor, beta: Tensor) -> RankOne:
    """PaTH attention: what the keys are carried along by, ``H_t = I - beta_t w_t w_t^T``; the logit of (i, j) is ``q_i^T H_i ... H_{j+1} k_j``.

    A second spectrum beside that of the softmax, whose scalar ``eta_{t-1} / eta_t`` has these logits in it.

    Args:
        w: ``(..., T, H, K)``, of unit length as the kernel gets it.
        beta: ``(..., T, H)``, in the layer twice a sigmoid, in (0, 2).

    Returns:
        `RankOne` of shape ``(..., T, H, K, K)``, symmetric.  Eigenvalues: real: 1, K - 1 times, and ``1 - beta |w|^2`` in (-1, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Yang et al., arXiv:2505.16381; fla parallel_path_attn.

    >>> import torch, spectral_kernels as sk
    >>> w = torch.nn.functional.normalize(torch.randn(2, 7, 3, 16), dim=-1)
    >>> sk.families.path_transition(w, 2 * torch.rand(2, 7, 3)).shape
    torch.Size([2, 7, 3, 16, 16])
    """
    w, beta = _arguments.tensors("path_transition", {"w": "... T H K", "beta": "... T H"}, w=w, beta=beta)
    return RankOne(torch.ones_like(beta), beta, w, time=-2)
