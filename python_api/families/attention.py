"""Softmax attention: the eigenvalue of its recurrence is a ratio of normalisers.

With ``eta_t`` the sum of ``exp(s_tj)`` over the keys that query t sees, and phi the features of the exponential kernel, attention is the
recurrence ``h_t = f_t eta_{t-1} / eta_t h_{t-1} + phi(k_t) v_t^T / eta_t``, read by ``y_t = phi(q_t)^T h_t``, with f_t the decay of its
past logits (1 but for ALiBi and the forgetting attention).  So ``lambda_t = f_t exp(L_{t-1} - L_t)`` with ``L = log eta``, in float64: 1 - lambda
is about 1/t, and float32 logarithms would leave little of it.

The sequence may come in pieces: with more keys than queries, the queries are the last ones.  The eigenvalue of a position takes
the query before it, so a piece begins with the last query of the piece before.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectral_kernels import ops
from spectral_kernels.api.families._arguments import size, tensors
from spectral_kernels.api.families._sight import Sight, padding_and_bias, segments, sight
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import RankOne, Scalar

_PATH_CHUNK = 64


def _log_normaliser(q: Tensor, k: Tensor, seen: Sight, bias: Tensor | None, key_bias: Tensor | None, scale: float, softcap: float) -> Tensor:
    """``(B, T, H, D)`` and ``(B, S, Hk, D)`` to ``(B, H, T)`` float64; key_bias ``(B or 1, H or 1, S)`` float64."""
    if seen.hidden is not None:
        zero = torch.zeros(1, 1, k.shape[1], dtype=torch.float64, device=k.device) if key_bias is None else key_bias
        key_bias = zero.masked_fill(seen.hidden[:, None], -math.inf)
    return ops.attention_lse(q.transpose(1, 2), k.transpose(1, 2), seen.start, seen.end, bias, key_bias, scale, softcap)


def _checked_heads(name: str, q: Tensor, k: Tensor) -> None:
    if k.shape[2] == 0 or q.shape[2] % k.shape[2]:
        raise ValueError(f"families.{name}: expected a number of query heads that is a multiple of the number of key heads, got {q.shape[2]} and {k.shape[2]}")


class Normalisers(NamedTuple):
    """``ln eta``, of which `softmax_attention` is a ratio, for those who have the sequence in pieces."""

    unsunk: Tensor  # (B, H, T) float64, without the attention sink: -inf where a query sees no key
    lse: Tensor  # (B, H, T) float64
    continues: Tensor  # (B, T), whether the position in front is its predecessor
    dtype: torch.dtype  # of the eigenvalues

    def behind(self, earlier: Normalisers) -> Normalisers:
        """These with the last position of an earlier piece in front: T + 1 positions, of which the second continues the first."""
        unsunk, lse, continues = (torch.cat([a[..., -1:], b], -1) for a, b in zip(earlier[:3], self[:3], strict=True))
        continues[:, 1] = True
        return Normalisers(unsunk, lse, continues, self.dtype)


def normalisers(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = True,
    scale: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    sliding_window: int | None = None,
    alibi_slopes: Tensor | None = None,
    attention_mask: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    seq_idx: Tensor | None = None,
) -> Normalisers:
    """The normalisers of `softmax_attention`, whose arguments these are."""
    name = "softmax_attention"
    q, k, sink, slopes = tensors(name, {"q": "B T H D", "k": "B S Hk D", "s_aux": "H ?", "alibi_slopes": "H ?"}, q=q, k=k, s_aux=s_aux, alibi_slopes=alibi_slopes)
    _checked_heads(name, q, k)
    (B, T, H, D), S = q.shape, k.shape[1]
    if alibi_slopes is not None and not causal:
        raise ValueError(f"families.{name}: expected alibi_slopes with causal attention only: without it |t - j| is no decay")
    if sliding_window is not None:
        size(name, "sliding_window", sliding_window, 1)
    padding, bias = padding_and_bias(name, attention_mask, (B, H, T, S), q.dtype)
    documents = segments(name, B, S, cu_seqlens, seq_idx)
    seen = sight(name, (B, T, S), q.device, causal=causal, window=sliding_window, padding=padding, segments=documents)
    position = torch.arange(S, dtype=torch.float64, device=q.device)
    key_bias = None if alibi_slopes is None else (slopes.double()[:, None] * position)[None]
    unsunk = lse = _log_normaliser(q, k, seen, bias, key_bias, D**-0.5 if scale is None else scale, softcap or 0.0)
    if s_aux is not None:  # in units of eta e^{slope t}, as lse is
        lse = torch.logaddexp(lse, sink.double()[:, None] + (0.0 if key_bias is None else key_bias[..., S - T :]))
    return Normalisers(unsunk, lse, seen.continues, q.dtype)


def ratio(of: Normalisers) -> Scalar:
    """``lambda_t = exp(lse_{t-1} - lse_t)`` as a transition ``(B, T, H)``; 0, and not valid, where a position has no predecessor."""
    some = of.unsunk != -math.inf
    valid = of.continues[:, None] & some & pad(some[..., :-1], (1, 0))
    before = pad(of.lse[..., :-1], (1, 0))
    log = (before.masked_fill(~valid, 0.0) - of.lse.masked_fill(~valid, 0.0)).masked_fill(~valid, -math.inf)
    return Scalar(log.to(of.dtype).transpose(1, 2), log=True, time=-2, gauge="normalised", valid=valid.transpose(1, 2))


@family(
    "softmax attention (Llama, GPT-2, Qwen, Gemma, gpt-oss, MLA)",
    "C0",
    cost="O(T d), O(T) memory",
    range="(0, inf)",
    gauge="normalised",
    source="arXiv:1706.03762; as a recurrence arXiv:2405.15731, arXiv:2510.09379",
)
def softmax_attention(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = True,
    scale: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    sliding_window: int | None = None,
    alibi_slopes: Tensor | None = None,
    attention_mask: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    seq_idx: Tensor | None = None,
    paper_compat: bool = False,
) -> Scalar:
    """Causal softmax attention, ``lambda_t = f_t eta_{t-1} / eta_t``, ``eta_t = e^{s_aux} + sum_j exp(c tanh(scale q_t^T k_j / c) + bias_tj)``.

    Args:
        q: ``(B, T, H, D)``, as the model multiplies it: after norm and rotary embedding.
        k: ``(B, S, Hk, D)``, likewise, H a multiple of Hk (grouped queries); with S > T the queries are the last T positions.
        causal: query t sees the keys up to its own.  False where `attention_mask` says what is seen; an encoder's eigenvalues mean something
            only in an order that one imposes.
        scale: None: ``D ** -0.5``.
        softcap: c of the cap on the logits (Gemma 2); None or 0: no cap.
        s_aux: ``(H,)``, the logit of the attention sink (gpt-oss); in softmax with one more in the denominator, 0.
        sliding_window: how many keys a query sees, its own included.  What leaves the window is an input term; A_t is unchanged.
        alibi_slopes: ``(H,)``: bias ``-slope (t - j)``, whose decay ``f_t = exp(-slope)`` is part of the eigenvalue.
        attention_mask: ``(B, S)``, 0 or False where a token is padding, left or right; or, with axes of 1 or ``(B, H, T, S)``, True
            where a key is seen, or a bias on the logits (smallest number or -inf: not seen), whose decay is not known: f_t = 1.
        cu_seqlens: ``(N + 1,)``, where the N documents of one packed row begin, and its end.
        seq_idx: ``(B, S)``, the number of each token's document; attention stays in a run of equal ones.
        paper_compat: the routine released with arXiv:2510.09379, which multiplies the mask into the logits before the exponential and does
            not scale: every future key counts ``exp(0)``.  The maxima it subtracts cancel, so it is attention with a sink of
            ``log(T - 1 - t)`` and scale 1.  Takes q and k alone, T = S.

    Returns:
        `Scalar` ``(B, T, H)`` of order 1 (the features have no bound), as a logarithm.  Eigenvalues real, in (0, inf): above 1 where the query turns
        away from the keys so far.  Gauge: normalised.  `valid` is False, and the eigenvalue 0, where a position has no predecessor: the
        first one, that of a document, behind padding, and where a query sees nothing.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for arguments that do not go together.

    Source: Vaswani et al., arXiv:1706.03762; the recurrence: arXiv:2405.15731.

    >>> import torch, spectral_kernels as sk
    >>> q = torch.zeros(1, 4, 2, 8, dtype=torch.float64)  # uniform attention
    >>> sk.families.softmax_attention(q, q).eigvals().real[0, :, 0, 0].round(decimals=4).tolist()
    [0.0, 0.5, 0.6667, 0.75]
    """
    name = "softmax_attention"
    if paper_compat:
        q, k = tensors(name, {"q": "B T H D", "k": "B S Hk D"}, q=q, k=k)
        _checked_heads(name, q, k)
        (B, T), S = q.shape[:2], k.shape[1]
        given = (scale, softcap, s_aux, sliding_window, alibi_slopes, attention_mask, cu_seqlens, seq_idx)
        if not causal or T != S or any(argument is not None for argument in given):
            raise ValueError(f"families.{name}: expected q and k of equal length alone with paper_compat: the released routine knows no other argument")
        seen = sight(name, (B, T, S), q.device)
        lse = _log_normaliser(q, k, seen, None, None, 1.0, 0.0)
        future = torch.arange(T - 1, -1, -1, dtype=torch.float64, device=q.device).log()
        return ratio(Normalisers(lse, torch.logaddexp(lse, future), seen.continues, q.dtype))
    options: dict[str, Any] = {"scale": scale, "softcap": softcap, "s_aux": s_aux, "sliding_window": sliding_window, "alibi_slopes": alibi_slopes}
    of_masks: dict[str, Any] = {"causal": causal, "attention_mask": attention_mask, "cu_seqlens": cu_seqlens, "seq_idx": seq_idx}
    return ratio(normalisers(q, k, **options, **of_masks))


@family(
    "forgetting attention (FoX)",
    "C0",
    cost="O(T d), O(T) memory",
    range="(0, inf)",
    gauge="normalised",
    source="arXiv:2503.02130; fla forgetting_attn",
)
def forgetting_attention(
    q: Tensor,
    k: Tensor,
    g: Tensor,
    *,
    scale: float | None = None,
    window_size: int | None = None,
    attention_mask: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
) -> Scalar:
    """Softmax attention whose past decays: ``s_tj = scale q_t^T k_j + g_{j+1} + ... + g_t``, so that ``lambda_t = exp(g_t) eta_{t-1} / eta_t``.

    Args:
        q, k: ``(B, T, H, D)`` and ``(B, S, Hk, D)`` as in `softmax_attention`.
        g: ``(B, S, H)``, the logarithm of the forget gate, ``logsigmoid`` of the layer's projection.
        scale: of the dot products alone; None: ``D ** -0.5``.
        window_size: how many keys a query sees; None: all before it.
        attention_mask: ``(B, S)``, 0 where a token is padding.
        cu_seqlens: ``(N + 1,)``, where the documents of one packed row begin, and its end.

    Returns:
        `Scalar` ``(B, T, H)`` as `softmax_attention` gives it.  Eigenvalues real, in (0, inf).  Gauge: normalised.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of an argument.

    Source: Lin et al., arXiv:2503.02130; fla ``forgetting_attn``.

    >>> import torch, spectral_kernels as sk
    >>> q, g = torch.zeros(1, 3, 1, 8, dtype=torch.float64), torch.full((1, 3, 1), 0.5).log()
    >>> sk.families.forgetting_attention(q, q, g).eigvals().real.flatten().round(decimals=4).tolist()  # eta = 1, 3/2, 7/4
    [0.0, 0.3333, 0.4286]
    """
    name = "forgetting_attention"
    q, k, g = tensors(name, {"q": "B T H D", "k": "B S Hk D", "g": "B S H"}, q=q, k=k, g=g)
    _checked_heads(name, q, k)
    (B, T, H, D), S = q.shape, k.shape[1]
    if window_size is not None:
        size(name, "window_size", window_size, 1)
    padding, bias = padding_and_bias(name, attention_mask, (B, H, T, S), q.dtype)
    seen = sight(name, (B, T, S), q.device, window=window_size, padding=padding, segments=segments(name, B, S, cu_seqlens, None))
    gates = -g.double().cumsum(1).transpose(1, 2)  # the decay cancels against f_t: see the definition of the op
    lse = _log_normaliser(q, k, seen, bias, gates, D**-0.5 if scale is None else scale, 0.0)
    return ratio(Normalisers(lse, lse, seen.continues, q.dtype))


class PathAttention(NamedTuple):
    """Two spectra of one layer: of the map that carries the keys to the next position, and of the normalised recurrence."""

    path: RankOne  # (B, T, Hk)
    attention: Scalar  # (B, T, H)


def _path_log_normaliser(q: Tensor, k: Tensor, w: Tensor, beta: Tensor, key_bias: Tensor, scale: float) -> Tensor:
    """``log sum_{j <= i} exp(scale q_i^T H_i ... H_{j+1} k_j + key_bias_j)``: ``(B, H, T, D)``, beta and key_bias ``(B, H, T)``.

    In chunks: within one, its keys walk along with the queries; keys of earlier chunks come carried to its beginning, where each query meets
    them by ``(H_i ... H_first)^T q_i``.
    """
    T, D, C = q.shape[2], q.shape[3], _PATH_CHUNK
    missing = -T % C
    q, k, w = (pad(x, (0, 0, 0, missing)).unflatten(2, (-1, C)) for x in (q, k, w))
    beta = pad(beta, (0, missing)).unflatten(2, (-1, C))
    bias = pad(key_bias, (0, missing)).unflatten(2, (-1, C))
    product = torch.eye(D, dtype=q.dtype, device=q.device).expand(*q.shape[:3], D, D)
    keys, carried_queries, local = k[..., :0, :], [], []
    for i in range(C):
        w_i, step, q_i = w[..., i, :, None], beta[..., i, None, None], q[..., i, :, None]
        keys = torch.cat([keys - step * (keys @ w_i) @ w_i.mT, k[..., i : i + 1, :]], -2)
        product = product - step * w_i @ (w_i.mT @ product)
        carried_queries.append(product.mT @ q_i)
        local.append(torch.logsumexp((scale * (keys @ q_i)[..., 0]).double() + bias[..., : i + 1], -1))
    lse, q = torch.stack(local, -1), torch.cat(carried_queries, -1).mT
    past, results = keys[:, :, 0], [lse[:, :, 0]]
    start = torch.zeros(1, 1, dtype=torch.int64, device=q.device)
    for c in range(1, lse.shape[2]):
        before = ops.attention_lse(q[:, :, c], past, start, start + c * C, None, key_bias[..., : c * C], scale, 0.0)
        results.append(torch.logaddexp(lse[:, :, c], before))
        past = torch.cat([past @ product[:, :, c].mT, keys[:, :, c]], 2)
    return torch.cat(results, -1)[..., :T]


@family(
    "PaTH attention",
    "C0, C3",
    cost="O(T d), O(T) memory",
    range="path: 1 and 1 - beta in (-1, 1); attention: (0, inf)",
    gauge="raw, normalised",
    source="arXiv:2505.16381; fla path_attn",
)
def path_attention(q: Tensor, k: Tensor, w: Tensor, beta: Tensor, g: Tensor | None = None, *, scale: float | None = None) -> PathAttention:
    """Attention whose positions are products of Householder-like maps ``H_t = I - beta_t w_t w_t^T``.

    The logits are ``scale (q_t^T H_t ... H_{j+1} k_j + g_{j+1} + ... + g_t)``: as in fla, the scale multiplies the gates too.  The keys of the past
    move by ``H_t``, and the recurrence of softmax attention on them has ``lambda_t = exp(scale g_t) eta_{t-1} / eta_t``.

    Args:
        q: ``(B, T, H, D)``.
        k, w: ``(B, T, Hk, D)``, H a multiple of Hk; w of length 1, as the layer normalises it.
        beta: ``(B, T, Hk)``, in (0, 2).
        g: ``(B, T, H)``, the logarithm of the forget gate; None: 0.
        scale: None: ``D ** -0.5``.

    Returns:
        `PathAttention`: `path`, a `RankOne` ``(B, T, Hk)``, and `attention`, a `Scalar` ``(B, T, H)`` as `softmax_attention` gives it.
        Eigenvalues real: of the path 1, D - 1 times, and ``1 - beta |w|^2`` in (-1, 1); of the attention in (0, inf).  Gauge: raw, and normalised.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Yang et al., arXiv:2505.16381; fla ``path_attn``.

    >>> import torch, spectral_kernels as sk
    >>> q, beta = torch.zeros(1, 3, 1, 4), torch.full((1, 3, 1), 1.5)
    >>> t = sk.families.path_attention(q, q, torch.eye(4)[:3].reshape(1, 3, 1, 4), beta)
    >>> t.path.eigvals()[0, 0, 0].real.tolist(), t.attention.eigvals()[0, 2, 0].real.round(decimals=3).tolist()
    ([1.0, 1.0, 1.0, -0.5], [0.6669999957084656])
    """
    name = "path_attention"
    shapes = {"q": "B T H D", "k": "B T Hk D", "w": "B T Hk D", "beta": "B T Hk", "g": "B T H ?"}
    q, k, w, beta, gates = tensors(name, shapes, q=q, k=k, w=w, beta=beta, g=g)
    _checked_heads(name, q, k)
    (B, T, H, D), groups = q.shape, q.shape[2] // k.shape[2]
    scale = D**-0.5 if scale is None else scale
    wide_k, wide_w, wide_beta = (x.repeat_interleave(groups, 2).transpose(1, 2) for x in (k, w, beta))
    key_bias = -scale * gates.double().expand(B, T, H).cumsum(1).transpose(1, 2)
    lse = _path_log_normaliser(q.transpose(1, 2), wide_k, wide_w, wide_beta, key_bias, scale) if T else q.new_zeros(B, H, 0, dtype=torch.float64)
    seen = sight(name, (B, T, T), q.device)
    return PathAttention(RankOne(torch.ones_like(beta), beta, w, time=-2), ratio(Normalisers(lse, lse, seen.continues, q.dtype)))


class PaperDifference(NamedTuple):
    """What the released routine of arXiv:2510.09379 makes of the spectrum of an attention layer."""

    edges: tuple[float, ...]  # of the bins of lambda
    exact: Tensor  # (H, bins), share of the positions, half-open bins
    released: Tensor  # (H, bins), closed on both sides, as the released routine counts: a value on an edge stands in two
    deviation: Tensor  # (H,), median of |released - exact| / exact


_EDGES = (0.0, 0.1, 0.5, 0.9, 1.0, 10.0, 100.0, math.inf)


def paper_difference(q: Tensor, k: Tensor, **options: Any) -> PaperDifference:
    """The spectrum by the definition beside that of the released routine (`paper_compat`), over all positions that both know.

    Args:
        q, k: as for `softmax_attention`, T = S.
        options: of `softmax_attention`, for the exact one: what the model does, and the released routine leaves out.

    >>> import torch, spectral_kernels as sk
    >>> d = sk.families.attention.paper_difference(torch.zeros(1, 65, 1, 8), torch.zeros(1, 65, 1, 8))  # uniform: t / (t + 1); the routine says 1
    >>> d.exact[0].count_nonzero().item(), d.released[0].tolist(), d.deviation.round(decimals=4).tolist()
    (2, [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], [0.0303])
    """
    exact, released = softmax_attention(q, k, **options), softmax_attention(q, k, paper_compat=True)
    assert exact.valid is not None and released.valid is not None
    rows = []
    for h in range(q.shape[2]):
        both = exact.valid[..., h] & released.valid[..., h]
        a, b = (t.alpha[..., h][both].double() for t in (exact, released))
        edges = torch.tensor(_EDGES, dtype=torch.float64, device=a.device)
        low, high = edges[:-1, None], edges[1:, None]
        rows.append((((a >= low) & (a < high)).double().mean(1), ((b >= low) & (b <= high)).double().mean(1), ((b - a).abs() / a).median()))
    return PaperDifference(_EDGES, *(torch.stack(column) for column in zip(*rows, strict=True)))
