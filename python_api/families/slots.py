"""Attention over a fixed number of slots: two memories of M slots, K~ (K x M) and V~ (M x V), that decay together on the slot axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.decay import gate_log, normaliser_log
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Diagonal


@family("GSA", "C1", cost="O(n)", range="[0, 1]", source="arXiv:2409.07146; fla GatedSlotAttention")
def gsa(g: Tensor | None = None, *, f: Tensor | None = None, gate_logit_normalizer: float = 8) -> Diagonal:
    """Gated slot attention: ``K~_t = K~_{t-1} Diag(exp(g_t)) + k_t s_t^T`` and ``V~_t = Diag(exp(g_t)) V~_{t-1} + s_t v_t^T``, ``s = 1 - exp(g)``.

    Args:
        g: ``(..., T, H, M)``, log decay of the slots, as ``chunk_gsa(g=)`` takes it.
        f: ``(..., T, H, M)`` in place of g, the layer's raw logits: ``g = logsigmoid(f) / gate_logit_normalizer``.

    Returns:
        `Diagonal` of shape ``(..., T, H, M, M)`` with log decay.  Eigenvalues: exp(g) in [0, 1] for g <= 0, each K + V times in the whole state.
        Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of g and f is given.

    Source: Zhang et al., arXiv:2409.07146; fla GatedSlotAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.gsa(f=torch.randn(2, 7, 3, 16))
    Diagonal(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    return Diagonal(gate_log("gsa", "... T H M", "g", g, "f", f, gate_logit_normalizer), log=True, time=-2)


@family("ABC", "C1", cost="O(n)", range="(0, 1)", gauge="normalised", source="arXiv:2110.02488; fla ABCAttention")
def abc(s: Tensor, *, clamp_min: float | None = None, clamp_max: float | None = None, z0: Tensor | None = None) -> Diagonal:
    """Attention with bounded memory control: slot weights ``exp(s_t)`` normalised by their running sum, so that the slots decay by
    ``exp(z_{t-1} - z_t)`` with ``z_t = log sum_{j <= t} exp(s_j)``.

    Args:
        s: ``(..., T, H, M)``, the slot logits.
        clamp_min, clamp_max: limits of s, -32 and 32 in the layer; None: s as it is, what the kernel gets.
        z0: ``(..., 1, H, M)``, the log normaliser of what came before; None: nothing did.

    Returns:
        `Diagonal` of shape ``(..., T, H, M, M)`` with log decay.  Eigenvalues: real, in (0, 1), each K + V times in the whole state.  Without z0 the
        first position has log decay 0, as in the kernel, and is not valid.  Gauge: normalised.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Peng et al., arXiv:2110.02488; fla ABCAttention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.abc(torch.zeros(1, 3, 1, 1)).eigvals().real.flatten().round(decimals=4)
    tensor([1.0000, 0.5000, 0.6667])
    """
    s, z = _arguments.tensors("abc", {"s": "... T H M", "z0": "... 1 H M ?"}, s=s, z0=z0)
    if clamp_min is not None or clamp_max is not None:
        s = s.clamp(clamp_min, clamp_max)
    g, valid = normaliser_log(s, None if z0 is None else z)
    return Diagonal(g, log=True, time=-2, valid=valid, gauge="normalised")


@family("Raven", "C1", cost="O(n)", range="[0, 1]", source="fla Raven")
def raven(
    g: Tensor | None = None,
    *,
    router: Tensor | None = None,
    topk: int | None = None,
    f: Tensor | None = None,
    a: Tensor | None = None,
    A_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    r_bias: Tensor | None = None,
    router_score: str = "sigmoid",
    gate_logit_normalizer: float = 8,
) -> Diagonal:
    """Raven, slot attention with a router: the `topk` slots that the router picks decay by ``exp(w f)``, w its weights; all others keep what they hold.

    Args:
        g: ``(..., T, H, M)``, log decay of the slots, routing included, as ``chunk_gsa(g=)`` takes it.  In its place the layer's own:
        router: ``(..., T, H, M)``, the router's logits.  Weights: their sigmoid or softmax, the chosen sigmoids divided by their sum.
        topk: how many slots are chosen.
        f: ``(..., T, H, M)``, raw logits of the decay type "GLA": ``logsigmoid(f) / gate_logit_normalizer``; or
        a, A_log, dt_bias: ``(..., T, H)``, ``(H,)``, ``(H,)`` of the decay type "Mamba2": ``-exp(A_log) softplus(a + dt_bias)``, for all slots.
        r_bias: ``(H, M)``, added to the scores for the choice alone.
        router_score: "sigmoid" or "softmax".

    Returns:
        `Diagonal` of shape ``(..., T, H, M, M)`` with log decay.  Eigenvalues: in [0, 1], exactly 1 in all but topk slots.  Gauge: raw (the keys are rotated,
        which the slot axis does not see).

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, unless one of g and router and then of f and a is given, and for topk.

    Source: fla Raven (layer of the gated slot attention kernels).

    >>> import torch, spectral_kernels as sk
    >>> t = sk.families.raven(router=torch.randn(1, 2, 1, 8), f=torch.randn(1, 2, 1, 8), topk=3)
    >>> (t.eigvals() == 1).sum(-1).flatten().tolist()
    [5, 5]
    """
    given, _ = _arguments.one_of("raven", g=g, router=router)
    if given == "g":
        return Diagonal(_arguments.tensors("raven", {"g": "... T H M"}, g=g)[0], log=True, time=-2)
    _arguments.choice("raven", "router_score", router_score, ("sigmoid", "softmax"))
    decay, _ = _arguments.one_of("raven", f=f, a=a)
    shapes = {"router": "... T H M", "r_bias": "H M ?"} | ({"f": "... T H M"} if decay == "f" else {"a": "... T H", "A_log": "H", "dt_bias": "H ?"})
    r, bias, *of_decay = _arguments.tensors("raven", shapes, router=router, r_bias=r_bias, f=f, a=a, A_log=A_log, dt_bias=dt_bias)
    if not 1 <= _arguments.size("raven", "topk", topk if topk is not None else 0) <= r.shape[-1]:
        raise ValueError(f"families.raven: expected topk from 1 to the {r.shape[-1]} slots, got {topk}")
    assert topk is not None
    log = logsigmoid(of_decay[0]) / gate_logit_normalizer if decay == "f" else (-of_decay[1].exp() * softplus(of_decay[0] + of_decay[2]))[..., None]
    scores = torch.sigmoid(r) if router_score == "sigmoid" else torch.softmax(r, -1)
    chosen = (scores + bias).topk(topk, -1).indices
    weights = scores.gather(-1, chosen)
    if router_score == "sigmoid":
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-9)
    return Diagonal(log * torch.zeros_like(r).scatter(-1, chosen, weights), log=True, time=-2)
