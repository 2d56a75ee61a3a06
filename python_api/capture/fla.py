"""flash-linear-attention: the kernels of its layers, but for the delta rules that transformers calls too.

Layers call ``chunk_*`` on whole sequences, ``fused_recurrent_*`` on short ones; both take the same tensors, a few under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spectral_kernels.api import families
from spectral_kernels.api.capture.attention import observed
from spectral_kernels.api.capture.calls import Call, Observation, Unsupported, function
from spectral_kernels.api.capture.delta_rules import given
from spectral_kernels.api.capture.replay import POSITIONS, Comparison, Replay
from spectral_kernels.api.capture.scans import initial_state, matrix_state, normed, outer, repeated, wide
from spectral_kernels.api.transitions import Diagonal, Scalar, Transition

_ROTATED = "keys are rotated by their positions: in coordinates at rest the eigenvalues turn by the rotary angles"
_OF_LAYER = {"HGRN2Attention": "hgrn2", "RodimusAttention": "rodimus", "Raven": "raven"}


def _name(call: Call, default: str) -> str:
    """The family of a layer that uses the kernel of another."""
    return next((_OF_LAYER[cls.__name__] for cls in type(call.module).__mro__ if cls.__name__ in _OF_LAYER), default)


def _replayed(call: Call, t: Transition, family: str, k: Tensor, v: Tensor, **options: Any) -> Observation:
    """``S_t = A_t S_{t-1} + k_t v_t^T``, read by q."""
    replay = matrix_state(call, call.first("q", "r"), outer(k, v), scale=call["scale"], initial=initial_state(call), heads=v.shape[2])
    return Observation(wide(t, v.shape[-1]), family, replay, **options)


@function("chunk_gla", "fused_chunk_gla", "fused_recurrent_gla", overwrites=("initial_state",))
def _gla(call: Call) -> Iterator[Observation]:
    if call["gv"] is not None:
        raise Unsupported("gated linear attention with gates on its values is not captured")
    family, gk = _name(call, "gla"), call.first("gk", "g")
    yield _replayed(call, Diagonal(families.gla(gk.float()).value, log=True, time=-2), family, call["k"], call["v"])


@function("chunk_simple_gla", "fused_recurrent_simple_gla", overwrites=("initial_state",))
def _simple_gla(call: Call) -> Iterator[Observation]:
    k, v, K = call["k"], call["v"], call["k"].shape[-1]
    if call["g"] is not None:
        t = families.simple_gla(call["g"].float() + (0.0 if call["g_gamma"] is None else call["g_gamma"].float()), K)
        yield _replayed(call, t, "simple_gla", k, v)
    elif call["g_gamma"] is not None:
        yield _constant(call, Scalar(call["g_gamma"].float(), K, log=True, time=None), "simple_gla")
    else:
        yield _replayed(call, Scalar(k.new_zeros(v.shape[:3], dtype=torch.float32), K, log=True, time=-2), "simple_gla", k, v)


def _constant(call: Call, t: Transition, family: str, note: str = "") -> Observation:
    return _replayed(call, t, family, call["k"], call["v"], positions=tuple(call["v"].shape[:2]), note=note)


@function("chunk_retention", "fused_chunk_retention", "fused_recurrent_retention", "parallel_retention", overwrites=("initial_state",))
def _retention(call: Call) -> Iterator[Observation]:
    yield _constant(call, families.retnet(call["q"].shape[2], call["k"].shape[-1]), "retnet", _ROTATED)


@function("chunk_lightning_attn", "fused_recurrent_lightning_attn", overwrites=("initial_state",))
def _lightning(call: Call) -> Iterator[Observation]:
    yield _constant(call, families.lightning_attention(call["q"].shape[2], call["layer_idx"], call["num_layers"], call["k"].shape[-1]), "lightning_attention")


@function("chunk_hgrn", "fused_recurrent_hgrn", overwrites=("initial_state",))
def _hgrn(call: Call) -> Iterator[Observation]:
    x, initial = call["x"], call.before.get("initial_state")
    replay = Replay(
        lambda s: x[:, s, :, None],
        lambda s, after, before: after[..., 0],
        lambda s: call.output[:, s],
        x.shape[1] if call["cu_seqlens"] is None else int(call["cu_seqlens"][1]),
        None if initial is None else initial[: x.shape[0], :, None],
    )
    yield Observation(families.hgrn(call["g"].float()), "hgrn", replay)


@function("chunk_rwkv6", "fused_recurrent_rwkv6", overwrites=("initial_state",))
def _rwkv6(call: Call) -> Iterator[Observation]:
    k, v, bonus = call["k"], call["v"], call["u"]
    t = wide(families.rwkv6(call["w"].float()), v.shape[-1])
    write = outer(k, v)
    replay = matrix_state(
        call, call["r"], write, scale=call["scale"], initial=initial_state(call), read_before=lambda s: bonus.double()[..., None] * write(s)
    )
    yield Observation(t, "rwkv6", replay)


@function("chunk_rwkv7", "fused_mul_recurrent_rwkv7", overwrites=("initial_state",))
def _rwkv7(call: Call) -> Iterator[Observation]:
    by_key = {"b": call["b"].float()} if call["kk"] is None else {"kk": call["kk"].float()}
    t = families.rwkv7(call["w"].float(), call["a"].float(), **by_key)
    call.arguments["scale"] = 1.0 if call["scale"] is None else call["scale"]
    yield _replayed(call, t, "rwkv7", call["k"], call["v"])


@function("chunk_dplr_delta_rule", "fused_recurrent_dplr_delta_rule", overwrites=("initial_state",))
def _dplr(call: Call) -> Iterator[Observation]:
    yield _replayed(call, families.dplr_delta_rule(call["gk"].float(), call["a"].float(), call["b"].float()), "dplr_delta_rule", call["k"], call["v"])


@function("chunk_iplr_delta_rule", "fused_recurrent_iplr_delta_rule", overwrites=("initial_state",))
def _iplr(call: Call) -> Iterator[Observation]:
    yield _replayed(call, families.iplr_delta_rule(call["a"].float(), call["b"].float()), "iplr_delta_rule", call["k"], call["v"])


@function("chunk_gsa", "fused_recurrent_gsa", "chunk_abc", overwrites=("initial_state",))
def _slots(call: Call) -> Iterator[Observation]:
    """Two memories with one decay on their slots: state ``(B, H, M, K + V)``, read by a softmax over what the first answers."""
    q, k, v, s, g = (call[name] for name in ("q", "k", "v", "s", "g"))
    if g is None:
        if call["initial_state"] is not None:
            raise Unsupported("slot attention in pieces, whose normaliser the kernel keeps to itself, is not captured")
        family, t = "abc", families.abc(s.float())
        weights = (s.double() - s.double().logcumsumexp(1)).exp()
    else:
        family, t, weights = _name(call, "gsa"), families.gsa(g.float()), s
    K, V, H = k.shape[-1], v.shape[-1], q.shape[2]
    t = wide(t if s.shape[2] == H else replace(t, value=repeated(t.value, H), valid=None if t.valid is None else repeated(t.valid, H)), K + V)
    if not call.replayed:
        yield Observation(t, family)
        return
    scale = K**-0.5 if call["scale"] is None else call["scale"]
    weights, both, queries = repeated(weights, H), repeated(torch.cat([k, v], -1), H), scale * q.double()
    initial = call.before.get("initial_state")
    if initial is not None:
        initial = torch.cat([initial[0].transpose(-1, -2), initial[1]], -1)[: q.shape[0]].repeat_interleave(H // initial[0].shape[1], 1)

    def read(i: int, after: Tensor, before: Tensor) -> Tensor:
        answers = torch.softmax(torch.einsum("bhk,bhmk->bhm", queries[:, i], after[..., :K]), -1)
        return torch.einsum("bhm,bhmv->bhv", answers, after[..., K:])

    length = q.shape[1] if call["cu_seqlens"] is None else int(call["cu_seqlens"][1])
    yield Observation(t, family, Replay(outer(weights, both), read, lambda i: call.output[:, i], length, initial))


@function("chunk_lightnet", "fused_recurrent_lightnet", overwrites=("initial_state",))
def _lightnet(call: Call) -> Iterator[Observation]:
    if call["initial_state"] is not None:
        raise Unsupported("LightNet in pieces, whose normaliser the kernel keeps to itself, is not captured")
    k = call["k"].float()
    yield _replayed(call, families.lightnet(k), "lightnet", (k - k.logcumsumexp(1)).exp(), call["v"])


@function("chunk_comba", "fused_recurrent_comba", overwrites=("initial_state",))
def _comba(call: Call) -> Iterator[Observation]:
    k, v, g, beta, p = (call[name] for name in ("k", "v", "g", "beta", "p"))
    unit = bool(call["use_qk_l2norm_in_kernel"])
    t = wide(families.comba(g.float(), k, beta, p, use_qk_l2norm_in_kernel=unit), v.shape[-1])
    q, k = normed(unit, call["q"], k)
    replay = matrix_state(call, q, outer(repeated(k, v.shape[2]), v, beta), scale=call["scale"], initial=initial_state(call), heads=v.shape[2])
    yield Observation(t, "comba", replay)


@function("chunk_gdn2", "fused_recurrent_gdn2", overwrites=("initial_state",))
def _gdn2(call: Call) -> Iterator[Observation]:
    k, v = call["k"], call["v"]
    options = given(call, "use_gate_in_kernel", "use_qk_l2norm_in_kernel", "A_log", "dt_bias", "lower_bound")
    t = wide(families.gated_deltanet2(call["g"].float(), k, call["b"], **options), v.shape[-1])
    q, k = normed(call["use_qk_l2norm_in_kernel"], call["q"], k)
    replay = matrix_state(call, q, outer(repeated(k, v.shape[2]), call["w"] * v), scale=call["scale"], initial=initial_state(call), heads=v.shape[2])
    yield Observation(t, "gated_deltanet2", replay)


@function("chunk_precond_gated_delta_rule", "fused_recurrent_precond_gated_delta_rule", overwrites=("initial_state", "initial_A_state"))
def _precond_gated_deltanet(call: Call) -> Iterator[Observation]:
    unit = call.arguments.get("use_qk_l2norm_in_kernel", True)
    tensors = [call[name] for name in ("k", "g_atk", "g", "beta_atk", "beta")]
    options = {name: call[name] for name in ("x", "eps", "log_atk_scale", "initial_A_state") if call[name] is not None}
    t = families.precond_gated_deltanet(*tensors, use_qk_l2norm_in_kernel=unit, **options)
    yield _preconditioned(call, t, "precond_gated_deltanet", t.k, unit)


@function("chunk_precond_kda", "fused_recurrent_precond_kda", overwrites=("initial_state", "initial_A_state"))
def _precond_kda(call: Call) -> Iterator[Observation]:
    tensors = [call[name] for name in ("k", "g", "g_atk", "beta_atk", "beta")]
    options = {name: call[name] for name in ("x", "eps", "log_atk_scale", "initial_A_state") if call[name] is not None}
    options |= given(call, "use_gate_in_kernel", "A_log", "dt_bias", "lower_bound")
    if not options.get("use_gate_in_kernel"):
        options = {name: value for name, value in options.items() if name != "lower_bound"}
    t = families.precond_kda(*tensors, use_qk_l2norm_in_kernel=True, **options)
    yield _preconditioned(call, t, "precond_kda", -t.b / call["beta"][..., None], True)


def _preconditioned(call: Call, t: Transition, family: str, key: Tensor, unit: bool) -> Observation:
    """What is written is ``beta (M k) v^T``."""
    v = call["v"]
    (q,) = normed(unit, call["q"])
    replay = matrix_state(call, q, outer(key, v, call["beta"]), scale=call["scale"], initial=initial_state(call), heads=v.shape[2])
    return Observation(wide(t, v.shape[-1]), family, replay)


@function("chunk_momentum_delta_rule", "fused_recurrent_momentum_delta_rule", overwrites=("initial_state",))
def _momentum(call: Call) -> Iterator[Observation]:
    """State (S, M) ``(B, H, 2 K, V)``."""
    k, v, beta, eta = (call[name] for name in ("k", "v", "beta", "eta"))
    flags = {name: call.arguments.get(name, True) for name in ("use_qk_l2norm_in_kernel", "use_p_times_alpha")}
    t = wide(families.momentum_deltanet(k, call["log_alpha"], call["log_mu"], beta, eta, call["p"], **flags), v.shape[-1])
    if not call.replayed or call["initial_state"] is not None:
        yield Observation(t, "momentum_deltanet")
        return
    q, k = normed(flags["use_qk_l2norm_in_kernel"], call["q"], k)
    one = torch.ones_like(call["log_mu"])
    momentum = outer(k, v, one if eta is None else eta)
    step = (one if beta is None else beta).double()

    def write(s: int) -> Tensor:
        m = momentum(s)
        return torch.cat([step[:, s, :, None, None] * m, -m], -2)

    yield Observation(t, "momentum_deltanet", matrix_state(call, q, write, scale=call["scale"]))


@function("chunk_mesa_net")
def _mesa_net(call: Call) -> Iterator[Observation]:
    """Two states with one decay, ``(B, H, K, K + V)``, read by the solution of a linear system, which the kernel finds by conjugate gradients."""
    q, k, v, g, beta, damping = (call[name] for name in ("q", "k", "v", "g", "beta", "lamb"))
    K = k.shape[-1]
    t = wide(families.mesa_net(g.float(), K), K + v.shape[-1])
    q, k = normed(call["use_qk_l2norm_in_kernel"], q, k)
    initial = None if call["h_kk_init"] is None else torch.cat([call["h_kk_init"], call["h_kv_init"]], -1)

    def read(s: int, after: Tensor, before: Tensor) -> Tensor:
        found = torch.linalg.solve(after[..., :K] + torch.diag_embed(damping.double()), q[:, s].double())
        return torch.einsum("bhk,bhkv->bhv", found, after[..., K:])

    length = q.shape[1] if call["cu_seqlens"] is None else int(call["cu_seqlens"][1])
    yield Observation(t, "mesa_net", Replay(outer(k, torch.cat([k, v.to(k.dtype)], -1), beta), read, lambda s: call.output[:, s], length, initial))


@function("mesa_net_decoding_one_step")
def _mesa_net_step(call: Call) -> Iterator[Observation]:
    """``g (B, H)``."""
    yield Observation(wide(families.mesa_net(call["g"].float()[:, None], call["k"].shape[-1]), call["k"].shape[-1] + call["v"].shape[-1]), "mesa_net")


@function("chunk_linear_attn", "fused_chunk_linear_attn", "fused_recurrent_linear_attn", overwrites=("initial_state",))
def _linear(call: Call) -> Iterator[Observation]:
    """q and k have their feature map already."""
    q, k, v = call["q"], call["k"], call["v"]
    normalised = call.arguments.get("normalize", "recurrent" not in call.kernel)
    if normalised and call["initial_state"] is not None:
        raise Unsupported("normalised linear attention in pieces, whose normaliser the kernel does not keep, is not captured")
    t = wide(families.linear_attention(q, k, feature_map="identity", normalize=normalised), v.shape[-1])
    if not normalised:
        yield _replayed(call, t, "linear_attention", k, v)
        return
    eta = (q.double() * k.double().cumsum(1)).sum(-1)
    replay = matrix_state(call, q, outer(k, v, 1 / eta), scale=1.0)
    yield Observation(t, "linear_attention", replay)


@function("parallel_based")
def _based(call: Call) -> Iterator[Observation]:
    if call["use_norm"] is False:
        raise Unsupported("Based without its normaliser is not captured")
    scale = call["q"].shape[-1] ** -0.5 if call["scale"] is None else call["scale"]
    yield Observation(families.based(call["q"], call["k"], scale=scale), "based", _polynomial(call, scale, lambda x: 1 + x + x * x / 2))


@function("parallel_rebased")
def _rebased(call: Call) -> Iterator[Observation]:
    if call["use_normalize"] is False:
        raise Unsupported("ReBased without its normaliser is not captured")
    scale = 1.0 if call["use_scale"] is False else call["q"].shape[-1] ** -0.5
    yield Observation(families.rebased(call["q"] * scale, call["k"]), "rebased", _polynomial(call, scale, torch.square))


def _polynomial(call: Call, scale: float, phi: Callable[[Tensor], Tensor]) -> Comparison | None:
    if not call.replayed:
        return None
    q, k, v = (call[name][:, :POSITIONS].double() for name in ("q", "k", "v"))
    weights = phi(scale * torch.einsum("bthd,bshd->bhts", q, k)).tril()
    weights = weights / (weights.sum(-1, keepdim=True) + (1e-6 if call["eps"] is None else call["eps"]))
    return Comparison(torch.einsum("bhts,bshv->bthv", weights, v), call.output[:, :POSITIONS])


@function("chunk_log_linear_attn")
def _log_linear(call: Call) -> Iterator[Observation]:
    yield Observation(families.log_linear_mamba2(call["g"].float(), call["k"].shape[-1]), "log_linear_mamba2")


@function("parallel_attn", "flash_attn_func", "flash_attn_varlen_func")
def _attention(call: Call) -> Iterator[Observation]:
    """``(B, T, H, D)``, or packed ``(T, H, D)`` with `cu_seqlens`."""
    q, k, v, returned = call["q"], call["k"], call["v"], call.output
    if call["g"] is not None:
        yield from _forgetting(call)
        return
    if "flash" in call.kernel and not call["causal"]:
        raise Unsupported("attention without an order of positions (an encoder's, or to another sequence) is no recurrence")
    if q.dim() == 3:
        q, k, v, returned = (x[None] for x in (q, k, v, returned))
    window = call["window_size"]
    if isinstance(window, (tuple, list)):
        window = None if window[0] < 0 else window[0] + 1
    options = {"causal": True, "scale": call.first("scale", "softmax_scale"), "softcap": call["softcap"], "sliding_window": window}
    options["cu_seqlens"] = call.first("cu_seqlens", "cu_seqlens_q")
    yield observed(call, q, k, v, returned, options, call["dropout_p"] or 0.0)


@function("parallel_forgetting_attn")
def _forgetting(call: Call) -> Iterator[Observation]:
    q, k, v, g = call["q"], call["k"], call["v"], call["g"]
    t = families.forgetting_attention(q, k, g.float(), scale=call["scale"], window_size=call["window_size"], cu_seqlens=call["cu_seqlens"])
    compared = None
    if call.replayed and call["cu_seqlens"] is None and call["window_size"] is None and q.shape[1] == k.shape[1]:
        T, D, H = min(q.shape[1], POSITIONS), q.shape[-1], q.shape[2]
        k, v = (repeated(x[:, :T], H).double() for x in (k, v))
        gates = g[:, :T].double().cumsum(1).transpose(1, 2)
        logits = torch.einsum("bthd,bshd->bhts", q[:, :T].double(), k) * (D**-0.5 if call["scale"] is None else call["scale"])
        logits = logits + gates[..., :, None] - gates[..., None, :]
        hidden = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
        compared = Comparison(torch.einsum("bhts,bshd->bthd", logits.masked_fill(hidden, -torch.inf).softmax(-1), v), call.output[:, :T])
    yield Observation(t, "forgetting_attention", compared)


@function("parallel_path_attn")
def _path(call: Call) -> Iterator[Observation]:
    """Two recurrences: of the map that carries the keys along, and of the normalised attention."""
    q, k, w, beta = (call[name].float() for name in ("q", "k", "w", "beta"))
    g = None if call["g"] is None else call["g"].float()
    if call["cu_seqlens"] is not None and len(call["cu_seqlens"]) > 2:
        raise Unsupported("PaTH attention on packed documents is not captured")
    found = families.path_attention(q, k, w, beta, g, scale=call["scale"])
    compared = _path_replayed(call, found.path, q, k, g) if call.replayed else None
    yield Observation(found.path, "path_attention", compared, "path")
    yield Observation(found.attention, "path_attention", compared, "attention")


def _path_replayed(call: Call, path: Transition, q: Tensor, k: Tensor, g: Tensor | None) -> Comparison:
    """Keys walk along with the queries."""
    T, H, v = min(q.shape[1], POSITIONS), q.shape[2], call["v"]
    t, keys, out = path[:, :T].to(torch.float64), k[:, :0].double(), []
    scale = q.shape[-1] ** -0.5 if call["scale"] is None else call["scale"]
    gates = q.new_zeros(q.shape[0], T, H, dtype=torch.float64) if g is None else g[:, :T].double().cumsum(1)
    for s in range(T):
        if s:
            H_t = t[:, s].dense()
            keys = torch.einsum("bhij,bshj->bshi", H_t, keys)
        keys = torch.cat([keys, k[:, s : s + 1].double()], 1)
        logits = torch.einsum("bhd,bshd->bhs", q[:, s].double(), repeated(keys, H)) + (gates[:, s, None] - gates[:, : s + 1]).transpose(1, 2)
        out.append(torch.einsum("bhs,bshv->bhv", (scale * logits).softmax(-1), repeated(v[:, : s + 1], H).double()))
    return Comparison(torch.stack(out, 1), call.output[:, :T])


_SELECTED = "attention over keys that each query selects has a normaliser over another set at every position: it is no recurrence with one transition"
_REFUSED = {
    "parallel_stickbreaking_attn": "stick-breaking attention weighs keys by what lies between, seen from each query: there is no transition",
    "parallel_nsa": _SELECTED,
    "parallel_moba": _SELECTED,
    "deltaformer_attn": "DeltaFormer corrects what attention returns: its softmax alone is no recurrence of the layer",
    "parallel_parallax": "Parallax corrects what attention returns: its softmax alone is no recurrence of the layer",
    "parallel_wall_attn": "wall attention decays inside of the logits, channel by channel: its transition is not a matrix of the state",
    "attn_decoding_one_step": "attention of one token over a packed cache is not captured; a whole sequence is",
}


@function(*_REFUSED)
def _refused(call: Call) -> Iterator[Observation]:
    raise Unsupported(_REFUSED[call.kernel])
    yield
