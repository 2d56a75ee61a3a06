"""Softmax attention, whoever calls it: transformers' interface, `scaled_dot_product_attention`, and attention that calls `softmax` itself.

The interface of transformers is listened to under the names under which it is registered, and with them under the names of its masks: a function that is registered
under a new name gets no mask at all unless a mask function is registered beside it, and padding and windows are lost without a word.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from spectral_kernels.api.capture.calls import FUNCTIONS, Call, Kernel, Observation, Unsupported, function
from spectral_kernels.api.capture.patches import Patches
from spectral_kernels.api.capture.replay import Comparison
from spectral_kernels.api.families.attention import Normalisers, normalisers, ratio

NO_ORDER = "attention without an order of positions (an encoder's, or to another sequence) is no recurrence"
_ROWS, _SCORES = 64, 2**22  # queries that are replayed, and logits at most for it


def listen(patches: Patches, wrapped: Callable[..., Callable[..., Any]], modules: list[nn.Module]) -> None:
    """Where attention is called that is no module's global: the functions of torch, and transformers' interface."""
    for owner, name in ((torch.nn.functional, "scaled_dot_product_attention"), (torch.nn.functional, "softmax"), (torch, "softmax")):
        patches.attribute(owner, name, wrapped(FUNCTIONS[name], getattr(owner, name)))
    interface: Any = getattr(sys.modules.get("transformers.modeling_utils"), "ALL_ATTENTION_FUNCTIONS", {})
    used = {getattr(getattr(module, "config", None), "_attn_implementation", None) for module in modules}
    for name in interface.keys() & used:
        kernel = Kernel(str(name), FUNCTIONS["eager_attention_forward"].observe)
        patches.item(interface._local_mapping, name, wrapped(kernel, interface[name]))


@function("eager_attention_forward")
def _interface(call: Call) -> Iterator[Observation]:
    """transformers: ``query, key, value`` (B, H or Hk, T or S, ...), the output (B, T, H, ...)."""
    q, k, v, mask = call["query"], call["key"], call["value"], call["attention_mask"]
    T, S = q.shape[2], k.shape[2]
    causal = call["is_causal"] if call["is_causal"] is not None else getattr(call.module, "is_causal", True)
    if not causal or getattr(call.module, "is_cross_attention", False):
        raise Unsupported(NO_ORDER)
    if call["position_bias"] is not None:
        raise Unsupported("attention with a position_bias of its own is not captured")
    if mask is not None and not isinstance(mask, Tensor):
        raise Unsupported(f"attention with a mask of type {type(mask).__name__} is not captured; attn_implementation='sdpa' has one that is")
    flash = "flash" in call.kernel
    given: dict[str, Any] = {"causal": mask is None or flash}
    if flash:
        given |= {"sliding_window": call["sliding_window"], "attention_mask": mask, "cu_seqlens": call.first("cu_seq_lens_q", "cu_seqlens_q")}
    elif mask is None and S > T > 1:
        k, v = k[:, :, :T], v[:, :, :T]  # a cache that is longer than what is in it, which sdpa masks from its upper left corner
    else:
        given["attention_mask"] = mask if mask is None or mask.dim() == 4 else None
    given |= {"scale": call.first("scaling", "scale"), "softcap": call["softcap"], "s_aux": call["s_aux"]}
    yield observed(call, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), call.output, given, call.first("dropout") or 0.0)


@function("scaled_dot_product_attention")
def _sdpa(call: Call) -> Iterator[Observation]:
    """torch: ``(B, H, T, D)``, the output likewise; is_causal masks from the upper left corner."""
    q, k, v, mask = call["query"], call["key"], call["value"], call["attn_mask"]
    if q.dim() != 4:
        raise Unsupported(f"attention with queries of shape {tuple(q.shape)}: expected (B, H, T, D)")
    T, S = q.shape[2], k.shape[2]
    causal = bool(call["is_causal"])
    if causal and S > T:
        k, v = k[:, :, :T], v[:, :, :T]
    if mask is not None:
        mask = mask[(None,) * (4 - mask.dim())]
    if not causal and T > 1 and (mask is None or sees_ahead(mask, T, S, call.start)):
        raise Unsupported(NO_ORDER)
    given = {"causal": causal or mask is None, "attention_mask": mask, "scale": call["scale"]}
    yield observed(call, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), call.output.transpose(1, 2), given, call["dropout_p"] or 0.0)


@function("softmax")
def _softmax(call: Call) -> Iterator[Observation]:
    """Attention that multiplies its logits itself, ``(B, H, T, S)``: what softmax divides by is all that is needed."""
    scores = call["input"]
    names = {cls.__name__.lower() for cls in type(call.module).__mro__}
    if scores.dim() != 4 or call["dim"] not in (-1, 3) or not any("attention" in name or "attn" in name for name in names):
        return
    T, S = scores.shape[-2:]
    hidden = scores <= _hidden_below(scores.dtype)
    if S < T or (T > 1 and sees_ahead(~hidden, T, S, call.start)):
        raise Unsupported(NO_ORDER)
    dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
    lse = torch.cat([torch.logsumexp(rows.double(), -1) for rows in scores.masked_fill(hidden, -math.inf).split(max(1, _SCORES // max(1, S)), 2)], 2)
    continues = torch.ones(scores.shape[0], T, dtype=torch.bool, device=scores.device)
    continues[:, 0] = False
    now = Normalisers(lse, lse, continues & _continues(~hidden, T, S, call.start), dtype)
    compared = None
    if call.replayed:
        rows = rows_of(T, scores.shape[0] * scores.shape[1] * S, scores.device)
        compared = Comparison((scores[:, :, rows].double() - lse[:, :, rows, None]).exp().transpose(1, 2), call.output[:, :, rows].transpose(1, 2))
    yield Observation(_transition(call, now, S), "softmax_attention", compared)


def observed(call: Call, q: Tensor, k: Tensor, v: Tensor, output: Tensor, given: dict[str, Any], dropout: float) -> Observation:
    """``q (B, T, H, D)``, ``k, v (B, S, Hk, ...)``, ``output (B, T, H, ...)``; `given`: other arguments of `families.softmax_attention`."""
    T, S, mask = q.shape[1], k.shape[1], given.get("attention_mask")
    now = normalisers(q, k, **given)
    if isinstance(mask, Tensor) and mask.dim() == 4:
        seen = mask if mask.dtype == torch.bool else mask > _hidden_below(mask.dtype)
        now = now._replace(continues=now.continues & _continues(seen, T, S, call.start).expand_as(now.continues))
    compared = _attended(call, q, k, v, output, given, now) if call.replayed and not (dropout and call.module.training) else None
    note = "eta over the keys of the window" if given.get("sliding_window") else ""
    return Observation(_transition(call, now, S), "softmax_attention", compared, note=note)


def _transition(call: Call, now: Normalisers, S: int) -> Any:
    """The ratios of these queries, of which the first continues the last one of the call before where there are earlier keys."""
    earlier, T = call.memory.get("normalisers"), now.lse.shape[-1]
    call.memory["normalisers"] = Normalisers(now.unsunk[..., -1:], now.lse[..., -1:], now.continues[..., -1:], now.dtype)
    if earlier is not None and call.start and S > T and earlier.lse.shape[:2] == now.lse.shape[:2]:
        return ratio(now.behind(earlier))[:, 1:]
    return ratio(now)


def _hidden_below(dtype: torch.dtype) -> float:
    """Logits and biases that say "not seen": the smallest number, or what is left of it where the logits are divided after they are masked."""
    least: float = torch.finfo(dtype).min
    return least / (16 if least > -1e30 else 1000)


def _own_key(T: int, S: int, start: int) -> int:
    """Which key is that of the first query: the last T of S, unless the cache is longer than what is in it."""
    return min(start, S - T)


def _continues(seen: Tensor, T: int, S: int, start: int) -> Tensor:
    """``(B, T)``: whether query t sees its own key and the one in front, which neither is padding nor belongs to another document; of ``seen (B, H, T, S)``, any head."""
    own = _own_key(T, S, start)
    keys = torch.arange(own, own + T, device=seen.device)
    index = torch.stack([keys, (keys - 1).clamp(min=0)], -1).expand(*seen.shape[:2], T, 2)
    found: Tensor = seen.expand(*seen.shape[:2], T, S).gather(-1, index).all(-1).any(1)
    if own == 0:
        found[:, 0] = False
    return found


def sees_ahead(mask: Tensor, T: int, S: int, start: int) -> bool:
    """Whether the first query sees a key behind its own."""
    row = mask[..., :1, min(_own_key(T, S, start) + 1, S) :]
    return bool((row if row.dtype == torch.bool else row > _hidden_below(row.dtype)).any()) if row.shape[-1] else False


def rows_of(T: int, logits_per_query: int, device: torch.device) -> Tensor:
    count = max(2, min(T, _ROWS, _SCORES // max(1, logits_per_query)))
    return torch.linspace(0, T - 1, count, device=device).long().unique()


def _attended(call: Call, q: Tensor, k: Tensor, v: Tensor, output: Tensor, given: dict[str, Any], of: Normalisers) -> Comparison:
    """A sample of queries, head by head: the output from their logits and normalisers."""
    B, T, H, D = q.shape
    S, rows = k.shape[1], rows_of(T, B * H * k.shape[1], q.device)
    scale = D**-0.5 if given.get("scale") is None else given["scale"]
    bias = _bias(given, rows, T, S, q.device)
    heads = []
    for h in range(H):
        group = h // (H // k.shape[2])
        logits = scale * torch.einsum("btd,bsd->bts", q[:, rows, h].double(), k[:, :, group].double())
        if cap := given.get("softcap"):
            logits = cap * torch.tanh(logits / cap)
        if bias is not None:
            logits = logits + bias[:, h if bias.shape[1] > 1 else 0]
        heads.append(torch.einsum("bts,bsv->btv", (logits - of.lse[:, h, rows, None]).exp(), v[:, :, group].double()))
    return Comparison(torch.stack(heads, 2), output[:, rows], (of.unsunk != -math.inf)[:, 0, rows])


def _bias(given: dict[str, Any], rows: Tensor, T: int, S: int, device: torch.device) -> Tensor | None:
    """What is added to the logits of these queries, ``(B or 1, H or 1, rows, S)`` float64: -inf where a key is not seen."""
    mask, zero = given.get("attention_mask"), torch.zeros((), dtype=torch.float64, device=device)
    if given["causal"]:
        keys, position = torch.arange(S, device=device), (rows + S - T)[:, None]
        hidden = keys > position
        if window := given.get("sliding_window"):
            hidden = hidden | (keys <= position - window)
        if isinstance(mask, Tensor) and mask.dim() == 2:
            hidden = hidden | (mask == 0)[:, None]
        if (ends := given.get("cu_seqlens")) is not None:
            document = torch.searchsorted(ends, keys.to(ends.dtype), right=True)
            hidden = hidden | (document != document[position])
        return zero.expand(hidden.shape).masked_fill(hidden, -math.inf).reshape(-1, 1, *hidden.shape[-2:])
    if not isinstance(mask, Tensor):
        return None
    part = mask.expand(*mask.shape[:2], T, S)[:, :, rows]
    return zero.expand(part.shape).masked_fill(~part, -math.inf) if part.dtype == torch.bool else part.double()
