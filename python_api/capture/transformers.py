"""What only transformers has: recurrences that are written out in a layer's own methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import linear

from spectral_kernels.api import families
from spectral_kernels.api.capture import replay
from spectral_kernels.api.capture.calls import Call, Observation, function, method, module
from spectral_kernels.api.capture.replay import Comparison, Replay
from spectral_kernels.api.transitions import Diagonal


@method("RecurrentGemmaRglru._rnn_scan")
def _rg_lru(call: Call) -> Iterator[Observation]:
    """``recurrent_gate (B, T, D)`` is a_t already; ``reset (B, T, 1)``."""
    reset, inputs = call["reset"], call["hidden_states"]
    a = call["recurrent_gate"].float().masked_fill(reset, 0.0)
    t = Diagonal(a, valid=~reset[..., 0])
    if not call.replayed:
        yield Observation(t, "rg_lru")
        return
    initial = call["recurrent_states"]
    yield Observation(
        t,
        "rg_lru",
        Replay(
            lambda s: inputs[:, s, :, None],
            lambda s, after, before: after[..., 0],
            lambda s: call.output[:, s],
            inputs.shape[1],
            None if initial is None else initial[..., None],
        ),
    )


@module("MiniMaxLightningAttention")
def _lightning(call: Call) -> Iterator[Observation]:
    layer, x = call.module, call["hidden_states"]
    heads, size = int(layer.num_attention_heads), int(layer.head_dim)
    t = replace(families.minimax_lightning_attention(layer.slope_rate.float(), size), multiplicity=size)
    compared = None
    if call.replayed and call.start == 0:
        B, T = x.shape[0], min(x.shape[1], replay.POSITIONS)
        qkv = layer.act_fn(linear(x[:, :T], layer.qkv_proj.weight))
        mask = call["attention_mask"]
        if isinstance(mask, Tensor) and mask.dim() == 2 and mask.shape[0] == B and x.shape[1] > 1 and B > 1:
            qkv = qkv * mask[:, :T, None]
        q, k, v = qkv.reshape(B, T, heads, 3 * size).double().split(size, -1)
        state, out = torch.zeros(B, heads, size, size, dtype=torch.float64, device=x.device), []
        for s in range(T):
            state = replay.apply(t.to(torch.float64), state) + k[:, s, :, :, None] * v[:, s, :, None, :]
            out.append(torch.einsum("bhk,bhkv->bhv", q[:, s], state))
        y = layer.norm(torch.stack(out, 1).flatten(2).to(x.dtype))
        y = linear(torch.sigmoid(linear(x[:, :T], layer.output_gate.weight)) * y, layer.out_proj.weight)
        compared = Comparison(y, call.output[:, :T])
    yield Observation(t, "minimax_lightning_attention", compared, positions=(x.shape[0], x.shape[1]))


@function("rwkv_linear_attention")
def _rwkv4(call: Call) -> Iterator[Observation]:
    """``key, value (B, T, D)``; num and den are kept in units of ``exp(max_state)``."""
    key, value = call["key"], call["value"]
    t = families.rwkv4(call["time_decay"].float())
    if not call.replayed:
        yield Observation(t, "rwkv4", positions=(key.shape[0], key.shape[1]))
        return
    bonus, initial = call["time_first"].double(), None
    if call["state"] is not None:
        num, den, top = (x.double() for x in call["state"])
        initial = torch.stack([num, den], -1) * top.exp()[..., None]

    def write(s: int) -> Tensor:
        return key[:, s, :, None].double().exp() * torch.stack([value[:, s].double(), torch.ones_like(value[:, s], dtype=torch.float64)], -1)

    def read(s: int, after: Tensor, before: Tensor) -> Tensor:
        now = (key[:, s].double() + bonus).exp()
        return (before[..., 0] + now * value[:, s].double()) / (before[..., 1] + now)

    yield Observation(
        t, "rwkv4", Replay(write, read, lambda s: call.output[:, s], key.shape[1], initial), positions=(key.shape[0], key.shape[1])
    )


@module("xLSTMBackend", "mLSTMBackend")
def _mlstm(call: Call) -> Iterator[Observation]:
    """``query, key, value (B, H, T, ...)``, gates ``(B, H, T)``, after their soft cap."""
    q, k, v = (call.first(*names).transpose(1, 2) for names in (("query", "q"), ("key", "k"), ("value", "v")))
    i, f = (call.first(*names).transpose(1, 2).float() for names in (("igate", "i"), ("fgate", "f")))
    t = replace(families.mlstm(f, head_k_dim=k.shape[-1]), multiplicity=v.shape[-1])
    yield Observation(t, "mlstm", _mlstm_replayed(call, t.value.double(), i.double(), q.double(), k.double(), v.double()) if call.replayed else None)


def _mlstm_replayed(call: Call, log_f: Tensor, i: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Comparison:
    """Numerator and normaliser as one state ``(B, H, K, V + 1)``, in units of exp(m): the least denominator, and what is added to it, are in these units."""
    eps, T = float(getattr(getattr(call.module, "config", None), "eps", 1e-6)), min(q.shape[1], replay.POSITIONS)
    state, m = k.new_zeros(*k[:, 0].shape, v.shape[-1] + 1), torch.zeros_like(log_f[:, 0])
    if call["c_initial"] is not None:
        state = torch.cat([call["c_initial"], call["n_initial"].reshape(*k[:, 0].shape, 1)], -1).double()
        m = call["m_initial"].double().reshape(m.shape)
    both, out = torch.cat([v, torch.ones_like(v[..., :1])], -1), []
    for s in range(T):
        now = torch.maximum(log_f[:, s] + m, i[:, s])
        keep, write, m = (log_f[:, s] + m - now).exp(), (i[:, s] - now).exp(), now
        state = keep[..., None, None] * state + write[..., None, None] * k[:, s, :, :, None] * both[:, s, :, None, :]
        y = torch.einsum("bhk,bhkv->bhv", q[:, s] * q.shape[-1] ** -0.5, state)
        out.append(y[..., :-1] / (torch.maximum(y[..., -1].abs(), (-m).exp()) + eps)[..., None])
    return Comparison(torch.stack(out, 1), call.output.transpose(1, 2)[:, :T])


@module("Lfm2ShortConv", "Lfm2MoeShortConv", "Lfm3ShortConv")
def _short_conv(call: Call) -> Iterator[Observation]:
    x = call["hidden_states"] if call["hidden_states"] is not None else call["x"]
    weight = call.module.conv.weight
    t = families.short_conv(weight.float())
    yield Observation(replace(t[0], multiplicity=t.batch_shape[0]), "short_conv", positions=(x.shape[0], x.shape[1]))
