"""Linear attention with decay: a state of keys times values per head, whose decay is a scalar or a diagonal on the key axis.

``S_t = A_t S_{t-1} + k_t v_t^T`` with S of K x V: A_t acts on the K axis, so the state has each eigenvalue V times.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Diagonal, Rotation, Scalar


def gate_log(name: str, shape: str, g_name: str, g: Tensor | None, raw_name: str, raw: Tensor | None, gate_logit_normalizer: float) -> Tensor:
    """The log decay of a layer whose gate is ``sigma(raw)^(1/gate_logit_normalizer)``, from whichever of the two is given."""
    given, value = _arguments.one_of(name, **{g_name: g, raw_name: raw})
    (value,) = _arguments.tensors(name, {given: shape}, **{given: value})
    return value if given == g_name else logsigmoid(value) / gate_logit_normalizer


def normaliser_log(k: Tensor, z0: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """``z_{t-1} - z_t`` of the running ``z_t = log(exp(z0) + sum_{j <= t} exp(k_j))`` over the axis of positions, and where it means something.

    Args:
        k: ``(..., T, H, M)``.
        z0: ``(..., 1, H, M)``; None: nothing came before.

    Returns:
        ``(..., T, H, M)``; without z0, 0 at the first position and bool ``(..., T, H)``, False there.
    """
    z = (k if z0 is None else torch.cat([z0, k], -3)).logcumsumexp(-3)
    before = z[..., :-1, :, :]
    if z0 is not None:
        return logsigmoid(before - k), None  # -log(1 + exp(k_t - z_{t-1})): the difference of the logs would cancel
    first = torch.zeros_like(k[..., :1, :, :])
    valid = (torch.arange(k.shape[-3], device=k.device) > 0)[:, None].expand(k.shape[:-1])
    return torch.cat([first, logsigmoid(before - k[..., 1:, :, :])], -3), valid


@family("RetNet", "C0, C2", cost="O(1)", range="(0, 1); gamma e^(+-i theta)", gauge="raw, rotated", source="arXiv:2307.08621; fla MultiScaleRetention")
def retnet(num_heads: int, head_k_dim: int = 1, *, theta: Tensor | None = None, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Scalar | Rotation:
    """RetNet: ``S_t = gamma_h S_{t-1} + k_t v_t^T``, ``gamma_h = 1 - 2^(-5-h)`` for head h = 0, 1, ...: no tensor, no position.

    The keys that enter this state have been rotated by their position.  With the rotation undone the state obeys ``S_t = gamma_h R(theta) S_{t-1} + ...``,
    the paper's complex form: give `theta`.

    Args:
        num_heads: H.
        head_k_dim: K, the order of A.  1: one number per head.
        theta: ``(m,)``, radians per position of the m rotated pairs of the keys, 2 m <= head_k_dim (the `inv_freq` of the rotary embedding).
        dtype, device: of the result.

    Returns:
        `Scalar` of shape ``(H, K, K)`` with log gamma; `Rotation` of that shape where theta is given.  Constant in t.
        Eigenvalues: gamma_h in [1 - 1/32, 1), K times; with theta ``gamma_h exp(+-i theta_i)``, and gamma_h for what is not rotated.
        Gauge: raw (the kernels' state), or rotated with theta.

    Raises:
        TypeError, ValueError: for the type or size of an argument.

    Source: Sun et al., arXiv:2307.08621; fla MultiScaleRetention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.retnet(2).eigvals().real.tolist()
    [[0.96875], [0.984375]]
    """
    _arguments.size("retnet", "num_heads", num_heads)
    _arguments.size("retnet", "head_k_dim", head_k_dim, 1)
    log = torch.log1p(-torch.exp2(-5.0 - torch.arange(num_heads, dtype=torch.float64, device=device)))
    if theta is None:
        return Scalar(log.to(dtype), head_k_dim, log=True, time=None)
    (theta,) = _arguments.tensors("retnet", {"theta": "m"}, theta=theta)
    if 2 * theta.shape[0] > head_k_dim:
        raise ValueError(f"families.retnet: expected theta (m) with 2 m <= head_k_dim = {head_k_dim}, got {theta.shape[0]}")
    return Rotation(log.to(theta), theta.expand(num_heads, -1), head_k_dim, log=True, time=None, gauge="rotated")


@family("Lightning attention (fla)", "C0", cost="O(1)", range="(0, 1]", source="arXiv:2401.04658; fla chunk_lightning_attn")
def lightning_attention(
    num_heads: int, layer_idx: int, num_layers: int, head_k_dim: int = 1, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Scalar:
    """Lightning attention as fla has it: ``S_t = lambda_h S_{t-1} + k_t v_t^T`` with ``log lambda_h = -(8/H) (1 - layer_idx/num_layers) h``.

    Head h = 0 never forgets.  MiniMax has other slopes: `minimax_lightning_attention`.

    Args:
        num_heads, layer_idx, num_layers: H, and the layer's place, from 0, among all.
        head_k_dim: K, the order of A.  1: one number per head.
        dtype, device: of the result.

    Returns:
        `Scalar` of shape ``(H, K, K)`` with log lambda, constant in t.  Eigenvalues: lambda_h in (0, 1], K times.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type or size of an argument.

    Source: Qin et al., arXiv:2401.04658; fla chunk_lightning_attn.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.lightning_attention(4, layer_idx=0, num_layers=2).value.tolist()
    [-0.0, -2.0, -4.0, -6.0]
    """
    for name, value, least in (("num_heads", num_heads, 0), ("layer_idx", layer_idx, 0), ("num_layers", num_layers, layer_idx + 1), ("head_k_dim", head_k_dim, 1)):
        _arguments.size("lightning_attention", name, value, least)
    slope = 8 / max(num_heads, 1) * (1 - layer_idx / num_layers)
    return Scalar(-slope * torch.arange(num_heads, dtype=dtype, device=device), head_k_dim, log=True, time=None)


@family("Lightning attention (MiniMax)", "C0", cost="O(1)", range="(0, 1)", source="arXiv:2501.08313; transformers MiniMaxLightningAttention")
def minimax_lightning_attention(slope_rate: Tensor, head_k_dim: int = 1) -> Scalar:
    """MiniMax's lightning attention: ``S_t = exp(-slope_h) S_{t-1} + k_t v_t^T``.

    The layer holds ``slope_h = 2^(-8 (h+1) / H) (1 - l / (L - 1 + 1e-5) + 1e-5)`` for layer l of L as a buffer: in the last layer lambda is next to 1,
    which is why the logarithm is kept.

    Args:
        slope_rate: ``(H, 1, 1)`` as in the layer, or ``(H,)``.
        head_k_dim: K, the order of A.  1: one number per head.

    Returns:
        `Scalar` of shape ``(H, K, K)`` with log lambda, constant in t.  Eigenvalues: in (0, 1), K times.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of an argument.

    Source: MiniMax-01, arXiv:2501.08313; transformers MiniMaxLightningAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.minimax_lightning_attention(torch.tensor([0.5, 0.25]).reshape(2, 1, 1)).horizon().tolist()
    [[2.0], [4.0]]
    """
    (slope,) = _arguments.tensors("minimax_lightning_attention", {"slope_rate": "H" if getattr(slope_rate, "ndim", 1) == 1 else "H 1 1"}, slope_rate=slope_rate)
    _arguments.size("minimax_lightning_attention", "head_k_dim", head_k_dim, 1)
    return Scalar(-slope.reshape(-1), head_k_dim, log=True, time=None)


@family("Simple GLA", "C0", cost="O(1)", range="[0, 1]", source="arXiv:2312.06635; fla SimpleGatedLinearAttention")
def simple_gla(g: Tensor | None = None, head_k_dim: int = 1, *, gk_proj: Tensor | None = None, gate_logit_normalizer: float = 16) -> Scalar:
    """Simple GLA, one decay per head: ``S_t = exp(g_t) S_{t-1} + k_t v_t^T``.

    Args:
        g: ``(..., T, H)``, log decay, as ``chunk_simple_gla(g=)`` takes it.
        head_k_dim: K, the order of A.  1: one number per head.
        gk_proj: ``(..., T, H)`` in place of g, the layer's raw logits: ``g = logsigmoid(gk_proj) / gate_logit_normalizer``.

    Returns:
        `Scalar` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: exp(g) in [0, 1] for g <= 0, K times.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of g and gk_proj is given.

    Source: Yang et al., arXiv:2312.06635; fla SimpleGatedLinearAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.simple_gla(torch.full((2, 7, 3), -0.1), head_k_dim=16)
    Scalar(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    _arguments.size("simple_gla", "head_k_dim", head_k_dim, 1)
    return Scalar(gate_log("simple_gla", "... T H", "g", g, "gk_proj", gk_proj, gate_logit_normalizer), head_k_dim, log=True, time=-2)


@family("GLA", "C1", cost="O(n)", range="[0, 1]", source="arXiv:2312.06635; fla GatedLinearAttention")
def gla(gk: Tensor | None = None, *, gk_proj: Tensor | None = None, gate_logit_normalizer: float = 16, clamp_min: float | None = None) -> Diagonal:
    """Gated linear attention: ``S_t = Diag(exp(gk_t)) S_{t-1} + k_t v_t^T``.

    Args:
        gk: ``(..., T, H, K)``, log decay: `g` of ``chunk_gla``, `gk` of ``fused_recurrent_gla``.
        gk_proj: ``(..., T, H, K)`` in place of gk, the layer's raw logits: ``gk = logsigmoid(gk_proj) / gate_logit_normalizer``, and no less
            than clamp_min where the layer has one.

    Returns:
        `Diagonal` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: exp(gk) in [0, 1] for gk <= 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of gk and gk_proj is given.

    Source: Yang et al., arXiv:2312.06635; fla GatedLinearAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.gla(gk_proj=torch.randn(2, 7, 3, 16))
    Diagonal(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    g = gate_log("gla", "... T H K", "gk", gk, "gk_proj", gk_proj, gate_logit_normalizer)
    return Diagonal(g if clamp_min is None or gk is not None else g.clamp(min=clamp_min), log=True, time=-2)


def _log_bounded_sigmoid(family: str, shape: str, bound: str, g: Tensor | None, f: Tensor | None, lower_bound: Tensor | None) -> Tensor:
    """``log(lb + (1 - lb) sigma(f))``, or g where that is given; without cancellation where lb is next to 1 or sigma(f) to 0."""
    given, value = _arguments.one_of(family, g=g, f=f)
    if given == "g":
        return _arguments.tensors(family, {"g": shape}, g=value)[0]
    f, lb = _arguments.tensors(family, {"f": shape, "lower_bound": f"{bound} ?"}, f=value, lower_bound=lower_bound)
    if lower_bound is None:
        return logsigmoid(f)
    return torch.where(f > 0, torch.log1p(-(1 - lb) * torch.sigmoid(-f)), torch.log(lb + (1 - lb) * torch.sigmoid(f)))


@family("HGRN", "C1", cost="O(n)", range="[lb, 1)", source="arXiv:2311.04823; fla HGRNAttention")
def hgrn(g: Tensor | None = None, *, f: Tensor | None = None, lower_bound: Tensor | None = None) -> Diagonal:
    """HGRN, a state that is a vector: ``h_t = exp(g_t) * h_{t-1} + x_t``.

    Args:
        g: ``(..., T, D)``, log decay, as ``chunk_hgrn(x, g)`` takes it.
        f: ``(..., T, D)`` in place of g, the layer's raw logits: the decay is ``lb + (1 - lb) sigma(f)``.
        lower_bound: lb, ``(D,)`` in [0, 1); None: 0.  The model gives layer l the cumulative softmax over the layers, less that of the first.

    Returns:
        `Diagonal` of shape ``(..., T, D, D)`` with log decay.  Eigenvalues: real, in [lb, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of g and f is given.

    Source: Qin et al., arXiv:2311.04823; fla HGRNAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.hgrn(f=torch.full((1, 1, 2), -50.0), lower_bound=torch.tensor([0.0, 0.5])).eigvals().real.round(decimals=3)
    tensor([[[0.0000, 0.5000]]])
    """
    return Diagonal(_log_bounded_sigmoid("hgrn", "... T D", "D", g, f, lower_bound), log=True)


@family("HGRN2", "C1", cost="O(n)", range="[lb, 1)", source="arXiv:2404.07904; fla HGRN2Attention")
def hgrn2(g: Tensor | None = None, *, f: Tensor | None = None, lower_bound: Tensor | None = None) -> Diagonal:
    """HGRN2: ``S_t = Diag(exp(g_t)) S_{t-1} + (1 - exp(g_t)) v_t^T``, the recurrence of GLA with the key tied to the decay.

    Args:
        g: ``(..., T, H, K)``, log decay.
        f: ``(..., T, H, K)`` in place of g, the layer's raw logits by heads: the decay is ``lb + (1 - lb) sigma(f)``.
        lower_bound: lb, ``(H, K)`` in [0, 1) (the layer's ``(H K,)`` by heads); None: 0.

    Returns:
        `Diagonal` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: real, in [lb, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of g and f is given.

    Source: Qin et al., arXiv:2404.07904; fla HGRN2Attention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.hgrn2(f=torch.randn(2, 7, 3, 16), lower_bound=torch.full((3, 16), 0.9)).eigvals().real.amin().item() >= 0.9
    True
    """
    return Diagonal(_log_bounded_sigmoid("hgrn2", "... T H K", "H K", g, f, lower_bound), log=True, time=-2)


@family("Rodimus", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2410.06577; fla RodimusAttention")
def rodimus(gk: Tensor | None = None, *, g_gate: Tensor | None = None, tau_gate: Tensor | None = None) -> Diagonal:
    """Rodimus: ``S_t = Diag(exp(gk_t)) S_{t-1} + k_t v_t^T`` with ``gk = -softplus(g_gate) sigma(tau_gate)``; the same g_gate, to the power
    of the temperature, is the input gate in k.

    Args:
        gk: ``(..., T, H, K)``, log decay, H = 1 in the layer.
        g_gate, tau_gate: ``(..., T, H, K)`` in place of gk, the outputs of the two projections, biases included.

    Returns:
        `Diagonal` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of gk and g_gate is given.

    Source: He et al., arXiv:2410.06577; fla RodimusAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.rodimus(g_gate=torch.zeros(1, 1, 1, 2), tau_gate=torch.zeros(1, 1, 1, 2)).eigvals().real.round(decimals=4)  # 2^(-1/2)
    tensor([[[[0.7071, 0.7071]]]])
    """
    given, _ = _arguments.one_of("rodimus", gk=gk, g_gate=g_gate)
    if given == "gk":
        return Diagonal(_arguments.tensors("rodimus", {"gk": "... T H K"}, gk=gk)[0], log=True, time=-2)
    g, tau = _arguments.tensors("rodimus", {"g_gate": "... T H K", "tau_gate": "... T H K"}, g_gate=g_gate, tau_gate=tau_gate)
    return Diagonal(-softplus(g) * torch.sigmoid(tau), log=True, time=-2)


@family("LightNet", "C1", cost="O(n)", range="(0, 1)", gauge="normalised", source="arXiv:2405.21022; fla LightNetAttention")
def lightnet(k: Tensor, *, z0: Tensor | None = None) -> Diagonal:
    """LightNet: keys normalised by their running sum, ``S_t = Diag(exp(g_t)) S_{t-1} + exp(k_t - z_t) v_t^T`` with
    ``z_t = log sum_{j <= t} exp(k_j)`` and ``g_t = z_{t-1} - z_t``.

    Args:
        k: ``(..., T, H, K)``, the key logits.
        z0: ``(..., 1, H, K)``, the log normaliser of what came before; None: nothing did.

    Returns:
        `Diagonal` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: real, in (0, 1).  Without z0 the first position has g = 0, as in
        the kernel, and is not valid.  Gauge: normalised, the only one in which this state stays bounded.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Qin et al., arXiv:2405.21022; fla LightNetAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.lightnet(torch.zeros(1, 4, 1, 1)).eigvals().real.flatten().round(decimals=4)  # (t-1)/t
    tensor([1.0000, 0.5000, 0.6667, 0.7500])
    """
    k, z = _arguments.tensors("lightnet", {"k": "... T H K", "z0": "... 1 H K ?"}, k=k, z0=z0)
    g, valid = normaliser_log(k, None if z0 is None else z)
    return Diagonal(g, log=True, time=-2, valid=valid, gauge="normalised")
