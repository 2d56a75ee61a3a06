"""Recurrent layers of torch, which show neither states nor gates, and `nn.MultiheadAttention`, which may fuse all it does: both are computed again from their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
            t, h = _cell(kind, layer, inputs, at, _state(initial, at, x.shape[0], call["batch_sizes"]))
            outputs.append(_reversed(h, valid) if d else h)
            found.append(Observation(t if valid is None else _masked(t, valid), kind.lower(), None, part, note="right to left" if d else ""))
        x = torch.cat(outputs, -1)
    if call.replayed:
        returned = call.output
        if isinstance(returned, PackedSequence):
            returned = nn.utils.rnn.pad_packed_sequence(returned, batch_first=True)[0]
        else:
            returned = returned[None] if returned.dim() == 2 else returned if layer.batch_first else returned.transpose(0, 1)
        compared = Comparison(x, returned, valid)
        found = [seen._replace(replay=compared) for seen in found]
    yield from found


def _state(initial: Any, at: int, batch: int, _: Any) -> tuple[Tensor, ...]:
    """h (and c) of one layer and direction, ``(B, n)``."""
    if initial is None:
        return ()
    states = initial if isinstance(initial, (tuple, list)) else (initial,)
    return tuple(s[at].reshape(batch, -1) for s in states)


def _cell(kind: str, layer: nn.RNNBase, x: Tensor, at: int, state: tuple[Tensor, ...]) -> tuple[Transition, Tensor]:
    """The Jacobians of one layer and direction, and its outputs."""
    weights = _weights(layer, at)
    names = ("h0", "c0")[: len(state)]
    options: dict[str, Any] = dict(zip(names, (s.to(x.dtype) for s in state), strict=True))
    if kind == "RNN":
        options["nonlinearity"] = layer.nonlinearity
    t = _CELLS[kind](x, *weights, **options)
    return t, _run(kind, layer, x, weights, state)


def _run(kind: str, layer: nn.RNNBase, x: Tensor, weights: list[Tensor | None], state: tuple[Tensor, ...]) -> Tensor:
    """What torch's own function for one layer gives, ``(B, T, n)``."""
    n, flat = layer.hidden_size, [w for w in weights if w is not None]
    h = [s[None].to(x.dtype) for s in state] or [x.new_zeros(1, x.shape[0], n)] * (2 if kind == "LSTM" else 1)
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
    from dataclasses import replace

    return replace(t, valid=valid.to(t.device).reshape(*valid.shape, *(1,) * (len(t.batch_shape) - 2)).expand(t.batch_shape))


@module("MultiheadAttention", covers=True)
def _multihead(call: Call) -> Iterator[Observation]:
    layer = call.module
    if not isinstance(layer, nn.MultiheadAttention):
        return
    query, key = call["query"], call["key"]
    masked = call["attn_mask"] is not None
    if query is not key or not (masked or call["is_causal"]):
        raise Unsupported("attention without an order of positions (an encoder's, or to another sequence) is no recurrence")
    if layer.bias_k is not None or layer.add_zero_attn or not layer._qkv_same_embed_dim:
        raise Unsupported("nn.MultiheadAttention with add_bias_kv, add_zero_attn, kdim or vdim is not captured")
    x = query[None] if query.dim() == 2 else query if layer.batch_first else query.transpose(0, 1)
    B, T, H = x.shape[0], x.shape[1], layer.num_heads
    q, k, v = linear(x, layer.in_proj_weight, layer.in_proj_bias).unflatten(-1, (3, H, -1)).unbind(2)
    mask = _mask(call["attn_mask"], call["key_padding_mask"], B, H, T)
    if mask is not None and attention._sees_ahead(mask, T, T, 0):
        raise Unsupported("attention without an order of positions (an encoder's, or to another sequence) is no recurrence")
    returned = call.output[None] if query.dim() == 2 else call.output if layer.batch_first else call.output.transpose(0, 1)
    yield from attention.from_projections(call, q, k, v, mask, returned, layer.out_proj, layer.dropout)


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
