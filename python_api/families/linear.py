"""Linear attention and its kin: the normaliser is a sum of features, or a gate of its own."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import elu, logsigmoid, pad, relu, softplus

from spectral_kernels.api.families._arguments import choice, tensors
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Scalar

_CHUNK = 128
_FEATURES = {"elu": lambda x: elu(x) + 1, "relu": relu, "identity": lambda x: x}
_NORMS = {"exp": torch.exp, "softplus": softplus, "elu": elu, "sigmoid": torch.sigmoid}
_LOG_NORMS = {"exp": lambda x: x, "softplus": lambda x: softplus(x).log(), "sigmoid": logsigmoid}


def _continues(value: Tensor) -> Tensor:
    """False at the first position of ``(..., T, H)``."""
    return (torch.arange(value.shape[-2], device=value.device) > 0)[:, None].expand(value.shape)


def _ratio(eta: Tensor, dtype: torch.dtype, **fields: Any) -> Scalar:
    """``eta_{t-1} / eta_t`` of ``(..., T, H)``, of any sign; 0 at the first position, which has no predecessor."""
    return Scalar((pad(eta[..., :-1, :], (0, 0, 1, 0)) / eta).to(dtype), gauge="normalised", valid=_continues(eta), **fields)


def _log_ratio(log_eta: Tensor, dtype: torch.dtype) -> Scalar:
    """The same from logarithms."""
    valid = _continues(log_eta)
    log = (pad(log_eta[..., :-1, :], (0, 0, 1, 0)) - log_eta).masked_fill(~valid, -torch.inf)
    return Scalar(log.to(dtype), log=True, gauge="normalised", valid=valid)


@family(
    "linear attention",
    "C0",
    cost="O(d)",
    range="(0, inf); 1 without the normaliser",
    gauge="raw, normalised",
    source="arXiv:2006.16236, arXiv:2510.09379; fla linear_attn",
)
def linear_attention(
    q: Tensor, k: Tensor, *, feature_map: Literal["elu", "relu", "identity"] = "elu", normalize: bool = True, paper_compat: bool = False
) -> Scalar:
    """``eta_t = phi(q_t)^T sum_{j <= t} phi(k_j)``, ``lambda_t = eta_{t-1} / eta_t``; without the normaliser the state only adds up: A = I.

    Args:
        q, k: ``(..., T, H, D)``, before the feature map; any scale cancels.
        feature_map: phi: "elu" ``elu(x) + 1``; "relu"; "identity" where q and k went through a map already, as those of fla's kernels.
        normalize: False: ``S_t = S_{t-1} + phi(k_t) v_t^T``, whose eigenvalues are 1.
        paper_compat: a normaliser of 0 counts as 2e-23, as in the routine released with arXiv:2510.09379.

    Returns:
        `Scalar` ``(..., T, H)`` of order D.  Eigenvalues real, in (0, inf) where phi > 0, of any sign where it is not ("identity"), infinite or
        NaN where eta is 0.  Gauge: normalised, or raw without the normaliser.  `valid` is False, and the eigenvalue 0, at the first position.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for the feature map.

    Source: Katharopoulos et al., arXiv:2006.16236; with elu + 1 and the normaliser arXiv:2510.09379; fla ``linear_attn``.

    >>> import torch, spectral_kernels as sk
    >>> q = torch.zeros(1, 4, 1, 8)
    >>> sk.families.linear_attention(q, q).eigvals().real[0, 1:, 0, 0].round(decimals=3).tolist()
    [0.5, 0.6669999957084656, 0.75]
    """
    name = "linear_attention"
    phi = _FEATURES[choice(name, "feature_map", feature_map, ("elu", "relu", "identity"))]
    q, k = tensors(name, {"q": "... T H D", "k": "... T H D"}, q=q, k=k)
    if not normalize:
        if paper_compat:
            raise ValueError(f"families.{name}: expected normalize=True with paper_compat: the released routine normalises")
        return Scalar(torch.ones_like(q[..., 0]), q.shape[-1])
    eta = (phi(q.double()) * phi(k.double()).cumsum(-3)).sum(-1)
    if paper_compat:
        eta = eta.masked_fill(eta == 0, 2e-23)
    return _ratio(eta, q.dtype, n=q.shape[-1])


@family(
    "norm attention",
    "C0",
    cost="O(1)",
    range="(0, inf); (1/e, e) with sigmoid (2025)",
    gauge="normalised",
    source="arXiv:2405.15731, arXiv:2510.09379",
)
def norm_attention(n: Tensor, offset: Tensor | None = None, *, norm_fn: str = "softplus", parameterisation: Literal["2510.09379", "2405.15731"] = "2510.09379") -> Scalar:
    """Attention on q and k as they are, whose normaliser is a gate of the input: ``lambda_t = eta_{t-1} / eta_t``.

    ``eta_t = exp(f(n_t + offset))`` in arXiv:2510.09379, and ``eta_t = f(n_t + offset)`` in arXiv:2405.15731 (there without an offset).  The routine
    released with the former computes the same ratio: there is no other mode.

    Args:
        n: ``(..., T, H)``, the projection of the input that the layer normalises by, ``W_n u_t``.
        offset: ``(H,)``; None: 0.
        norm_fn: f: "softplus", "exp", "sigmoid", and in arXiv:2510.09379 "elu".
        parameterisation: the paper whose eta it is.

    Returns:
        `Scalar` ``(..., T, H)`` of order 1, as a logarithm.  Eigenvalues real, in (0, inf); with "sigmoid" of arXiv:2510.09379 in (1/e, e).
        Gauge: normalised.  `valid` is False, and the eigenvalue 0, at the first position.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for the names.

    Source: arXiv:2405.15731; arXiv:2510.09379.

    >>> import torch, spectral_kernels as sk
    >>> n = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    >>> sk.families.norm_attention(n, norm_fn="exp", parameterisation="2405.15731").eigvals().real.flatten().round(decimals=3).tolist()
    [0.0, 0.368, 2.718]
    """
    name = "norm_attention"
    choice(name, "parameterisation", parameterisation, ("2510.09379", "2405.15731"))
    functions: dict[str, Any] = _NORMS if parameterisation == "2510.09379" else _LOG_NORMS
    f = functions[choice(name, "norm_fn", norm_fn, tuple(functions))]
    n, offset = tensors(name, {"n": "... T H", "offset": "H ?"}, n=n, offset=offset)
    return _log_ratio(f(n.double() + offset.double()), n.dtype)


def _polynomial_normaliser(q: Tensor, k: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """``sum_{j <= t} c_0 + c_1 q_t^T k_j + c_2 (q_t^T k_j)^2``: ``(..., T, H, D)`` to ``(..., T, H)``, a chunk at a time."""
    c0, c1, c2 = coefficients
    q, k = q.transpose(-3, -2), k.transpose(-3, -2)
    ones = k.new_zeros(*k.shape[:-2], k.shape[-1])
    first, second, parts = ones, k.new_zeros(*k.shape[:-2], k.shape[-1], k.shape[-1]), []
    for i in range(0, q.shape[-2], _CHUNK):
        x, y = q[..., i : i + _CHUNK, :], k[..., i : i + _CHUNK, :]
        s = x @ y.mT
        inside = torch.tril(c0 + c1 * s + c2 * s * s).sum(-1)
        past = c0 * i + c1 * (x @ first[..., None])[..., 0] + c2 * ((x @ second) * x).sum(-1)
        parts.append(inside + past)
        first, second = first + y.sum(-2), second + y.mT @ y
    return torch.cat(parts, -1).transpose(-1, -2) if parts else q.new_zeros(q.shape[:-1]).transpose(-1, -2)


@family("Based", "C0", cost="O(d^2)", range="(0, inf)", gauge="normalised", source="arXiv:2402.18668; fla based")
def based(q: Tensor, k: Tensor, *, scale: float | None = None) -> Scalar:
    """Linear attention on the features of the Taylor series: ``eta_t = sum_{j <= t} 1 + s_tj + s_tj^2 / 2``, ``s_tj = scale q_t^T k_j``.

    Args:
        q, k: ``(..., T, H, D)``, after the projection to the small feature dimension.
        scale: None: ``D ** -0.5``.

    Returns:
        `Scalar` ``(..., T, H)`` of order 1, though the state has ``1 + D + D^2`` equal ones.  Eigenvalues real, in (0, inf): each term is at least 1/2.
        Gauge: normalised.  `valid` is False, and the eigenvalue 0, at the first position.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Arora et al., arXiv:2402.18668; fla ``based``.

    >>> import torch, spectral_kernels as sk
    >>> q = torch.zeros(1, 3, 1, 4)
    >>> sk.families.based(q, q).eigvals().real.flatten().round(decimals=3).tolist()
    [0.0, 0.5, 0.6669999957084656]
    """
    q, k = tensors("based", {"q": "... T H D", "k": "... T H D"}, q=q, k=k)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return _ratio(_polynomial_normaliser(factor * q.double(), k.double(), (1.0, 1.0, 0.5)), q.dtype)


@family("ReBased", "C0", cost="O(d^2)", range="[0, inf)", gauge="normalised", source="arXiv:2402.10644; fla rebased")
def rebased(q: Tensor, k: Tensor) -> Scalar:
    """Linear attention on quadratic features: ``eta_t = sum_{j <= t} (q_t^T k_j)^2``; any scale cancels.

    Args:
        q, k: ``(..., T, H, D)``, after the layer's norm and affine map.

    Returns:
        `Scalar` ``(..., T, H)`` of order 1, though the state has ``D^2`` equal ones.  Eigenvalues real, in [0, inf); infinite or NaN where eta is 0.
        Gauge: normalised.  `valid` is False, and the eigenvalue 0, at the first position.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Aksenov et al., arXiv:2402.10644; fla ``rebased``.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.rebased(torch.ones(1, 3, 1, 4), torch.ones(1, 3, 1, 4)).eigvals().real.flatten().round(decimals=3).tolist()
    [0.0, 0.5, 0.6669999957084656]
    """
    q, k = tensors("rebased", {"q": "... T H D", "k": "... T H D"}, q=q, k=k)
    return _ratio(_polynomial_normaliser(q.double(), k.double(), (0.0, 0.0, 1.0)), q.dtype)
