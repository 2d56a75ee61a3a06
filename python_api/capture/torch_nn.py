"""Recurrent layers of torch, which show neither states nor gates, and `nn.MultiheadAttention`, which may fuse all it does: both are computed again from their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from spectral_kernels.api import families
from spectral_kernels.api.capture import attention
from spectral_kernels.api.capture.calls import Call, Observation, Unsupported, module
from spectral_kernels.api.capture.replay import Comparison
from spectral_kernels.api.transitions import Transition

_CELLS: dict[str, Callable[..., Transition]] = {"RNN": families.rnn, "GRU": families.gru, "LSTM": families.lstm}


def _weights(layer: nn.RNNBase, at: int) -> list[Tensor | None]:
    """W_ih, W_hh, b_ih, b_hh of one layer and direction."""
    given = list(layer.all_weights[at])
    return [*given[:2], *(given[2:4] if layer.bias else (None, None))]


@module("RNN", "GRU", "LSTM")
def _recurrent(call: Call) -> Iterator[Observation]:
    layer = call.module
    if not isinstance(layer, nn.RNNBase):
        return
    if getattr(layer, "proj_size", 0):
        raise Unsupported("an LSTM with a projection (proj_size) is not captured")
    if layer.training and layer.dropout and layer.num_layers > 1:
        raise Unsupported("dropout between recurrent layers cannot be run again: call model.eval()")
    x, lengths = call["input"], None
    if isinstance(x, PackedSequence):
        x, lengths = nn.utils.rnn.pad_packed_sequence(x, batch_first=True)
    elif x.dim() == 2:
        x = x[None]
    elif not layer.batch_first:
        x = x.transpose(0, 1)
    valid = None if lengths is None else torch.arange(x.shape[1]) < lengths[:, None]
    yield from _layers(call, layer, x, valid)


def _layers(call: Call, layer: nn.RNNBase, x: Tensor, valid: Tensor | None) -> Iterator[Observation]:
    """Layer by layer, and direction by direction; the output of the last ones is what the module returned."""
    kind = next(name for name in _CELLS if isinstance(layer, getattr(nn, name)))
    directions = 2 if layer.bidirectional else 1
    initial = call["hx"]
    found: list[Observation] = []
    for i in range(layer.num_layers):
        outputs = []
        for d in range(directions):
            at = i * directions + d
            part = f"l{i}" + ("_reverse" if d else "")
            inputs = _reversed(x, valid) if d else x
            t, h = _cell(kind, layer, inputs, at, _state(initial, at, x.shape[0]))
            outputs.append(_reversed(h, valid) if d else h)
            found.append(Observation(t if valid is None else _masked(t, valid), kind.lower(), None, part, note="right to left" if d else ""))
        x = torch.cat(outputs, -1)
    if call.replayed:
        returned = call.returned[0]
        if isinstance(returned, PackedSequence):
            returned = nn.utils.rnn.pad_packed_sequence(returned, batch_first=True)[0]
        else:
            returned = returned[None] if returned.dim() == 2 else returned if layer.batch_first else returned.transpose(0, 1)
        compared = Comparison(x, returned, valid)
        found = [seen._replace(replay=compared) for seen in found]
    yield from found


def _state(initial: Any, at: int, batch: int) -> tuple[Tensor, ...]:
    """h (and c) of one layer and direction, ``(B, n)``."""
    if initial is None:
        return ()
    states = initial if isinstance(initial, (tuple, list)) else (initial,)
    return tuple(s[at].reshape(batch, -1) for s in states)


def _cell(kind: str, layer: nn.RNNBase, x: Tensor, at: int, state: tuple[Tensor, ...]) -> tuple[Transition, Tensor]:
    """The Jacobians of one layer and direction, and its outputs."""
    weights = _weights(layer, at)
    dtype = next(layer.parameters()).dtype
    names = ("h0", "c0")[: len(state)]
    options: dict[str, Any] = dict(zip(names, (s.to(dtype) for s in state), strict=True))
    if kind == "RNN":
        options["nonlinearity"] = layer.nonlinearity
    t = _CELLS[kind](x.to(dtype), *weights, **options)
    return t, _run(kind, layer, x, weights, state)


def _run(kind: str, layer: nn.RNNBase, x: Tensor, weights: list[Tensor | None], state: tuple[Tensor, ...]) -> Tensor:
    """What torch's own function for one layer gives in float64, ``(B, T, n)``."""
    n, flat = layer.hidden_size, [w.double() for w in weights if w is not None]
    x = x.double()
    h = [s[None].double() for s in state] or [x.new_zeros(1, x.shape[0], n)] * (2 if kind == "LSTM" else 1)
    name = "lstm" if kind == "LSTM" else "gru" if kind == "GRU" else f"rnn_{layer.nonlinearity}"
    out: Tensor = getattr(torch._VF, name)(x, h if kind == "LSTM" else h[0], flat, layer.bias, 1, 0.0, False, False, True)[0]
    return out


def _reversed(x: Tensor, valid: Tensor | None) -> Tensor:
    """Every sequence from its end to its beginning, padding where it was."""
    if valid is None:
        return x.flip(1)
    lengths = valid.sum(1)
    at = torch.arange(x.shape[1])
    index = torch.where(valid, lengths[:, None] - 1 - at, at).to(x.device)
    return x.gather(1, index[..., None].expand_as(x))


def _masked(t: Transition, valid: Tensor) -> Transition:
    return replace(t, valid=valid.to(t.device).reshape(*valid.shape, *(1,) * (len(t.batch_shape) - 2)).expand(t.batch_shape))


@module("MultiheadAttention", covers=True)
def _multihead(call: Call) -> Iterator[Observation]:
    layer = call.module
    if not isinstance(layer, nn.MultiheadAttention):
        return
    query, key = call["query"], call["key"]
    if (query.data_ptr(), query.shape) != (key.data_ptr(), key.shape):
        raise Unsupported(attention.NO_ORDER)
    x, returned = (_batch_first(y, query.dim() == 3, layer.batch_first) for y in (query, call.output))
    seen, rows = _self_attention(call, layer, x, call["attn_mask"], call["key_padding_mask"], call["is_causal"])
    yield seen if seen.replay is None else seen._replace(replay=seen.replay._replace(returned=returned[:, rows]))


@module("TransformerEncoderLayer", covers=True)
def _encoder_layer(call: Call) -> Iterator[Observation]:
    """The whole layer may be one fused kernel, which shows nothing of its attention."""
    layer = call.module
    if not isinstance(layer, nn.TransformerEncoderLayer):
        return
    src = call["src"]
    x, returned = (_batch_first(y, src.dim() == 3, layer.self_attn.batch_first) for y in (src, call.output))
    inputs = layer.norm1(x) if layer.norm_first else x
    seen, rows = _self_attention(call, layer.self_attn, inputs, call["src_mask"], call["src_key_padding_mask"], call["is_causal"])
    if seen.replay is not None:
        h = x[:, rows] + seen.replay.replayed.to(x.dtype)
        y = h + layer._ff_block(layer.norm2(h)) if layer.norm_first else layer.norm2((h := layer.norm1(h)) + layer._ff_block(h))
        seen = seen._replace(replay=Comparison(y, returned[:, rows], seen.replay.counts))
    yield seen._replace(part=".self_attn", replay=None if layer.training else seen.replay)


def _batch_first(x: Tensor, batched: bool, batch_first: bool) -> Tensor:
    return x[None] if not batched else x if batch_first else x.transpose(0, 1)


def _self_attention(call: Call, layer: nn.MultiheadAttention, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool | None) -> tuple[Any, Tensor]:
    """Of ``x (B, T, E)``; the comparison holds what is behind the output projection, for the queries whose indices stand beside it."""
    if mask is None and not is_causal:
        raise Unsupported(attention.NO_ORDER)
    if layer.bias_k is not None or layer.add_zero_attn or not layer._qkv_same_embed_dim:
        raise Unsupported("nn.MultiheadAttention with add_bias_kv, add_zero_attn, kdim or vdim is not captured")
    B, T, H = x.shape[0], x.shape[1], layer.num_heads
    q, k, v = linear(x, layer.in_proj_weight, layer.in_proj_bias).unflatten(-1, (3, H, -1)).unbind(2)
    mask = _mask(mask, padding, B, H, T)
    if mask is not None and attention.sees_ahead(mask, T, T, 0):
        raise Unsupported(attention.NO_ORDER)
    seen = attention.observed(call, q, k, v, q, {"causal": mask is None, "attention_mask": mask}, layer.dropout)
    if isinstance(seen.replay, Comparison):
        out = layer.out_proj
        replayed = linear(seen.replay.replayed.flatten(2), out.weight.double(), None if out.bias is None else out.bias.double())
        seen = seen._replace(replay=seen.replay._replace(replayed=replayed))
    return seen, attention.rows_of(T, B * H * T, x.device)


def _mask(mask: Tensor | None, padding: Tensor | None, B: int, H: int, T: int) -> Tensor | None:
    """As a boolean ``(B or 1, H or 1, T, T)``, True where a key is seen, or a bias: torch's boolean masks are True where it is not."""
    if mask is not None:
        mask = ~mask if mask.dtype == torch.bool else mask
        mask = mask[None, None] if mask.dim() == 2 else mask.unflatten(0, (B, H))
    if padding is None:
        return mask
    seen = ~padding if padding.dtype == torch.bool else padding > torch.finfo(padding.dtype).min / 2
    seen = seen.reshape(B, 1, 1, T)
    if mask is None:
        mask = torch.ones(T, T, dtype=torch.bool, device=padding.device).tril()[None, None]
    return mask & seen if mask.dtype == torch.bool else mask.masked_fill(~seen, float("-inf"))
