"""Delta rules: the calls of transformers and of flash-linear-attention, which transformers calls where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from spectral_kernels.api import families
from spectral_kernels.api.capture.calls import Call, Observation, Unsupported, function
from spectral_kernels.api.capture.scans import initial_state, matrix_state, normed, outer, repeated, wide
from spectral_kernels.api.families._gates import strength

_FLAGS = ("use_gate_in_kernel", "use_qk_l2norm_in_kernel", "use_beta_sigmoid_in_kernel", "allow_neg_eigval")
_GATE = ("A_log", "dt_bias", "lower_bound")


def given(call: Call, *names: str) -> dict[str, Any]:
    """Of these arguments those that are there, as families take them; parameters of gates that are ready are left out."""
    found = {name: call[name] for name in names if call[name] is not None}
    if not found.get("use_gate_in_kernel"):
        found = {name: value for name, value in found.items() if name not in _GATE}
    return found


def _strength(call: Call, family: str, beta: torch.Tensor) -> torch.Tensor:
    return strength(family, beta.float(), bool(call["use_beta_sigmoid_in_kernel"]), bool(call["allow_neg_eigval"]))


def _keys(call: Call) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return call.first("q", "query"), call.first("k", "key"), call.first("v", "value")


@function(
    "torch_chunk_gated_delta_rule",
    "torch_recurrent_gated_delta_rule",
    "chunk_gated_delta_rule",
    "fused_recurrent_gated_delta_rule",
    "chunk_delta_rule",
    "fused_recurrent_delta_rule",
    overwrites=("initial_state",),
)
def _gated_delta_rule(call: Call) -> Iterator[Observation]:
    q, k, v = _keys(call)
    substeps = getattr(call.module, "num_householder", 1)
    if substeps > 1:
        yield from gated_delta_product(call, substeps)
        return
    g, beta = call["g"], call["beta"]
    if beta is None:
        beta = torch.ones(v.shape[:-1], device=v.device)
    if call["gv"] is not None or (call["gk"] is not None and g is not None):
        raise Unsupported("a delta rule with gates on its values, or with two gates, is not captured")
    if call["gk"] is not None:
        call.arguments["g"] = call["gk"]
        yield from _kda(call)
        return
    if g is None:
        family, t = "deltanet", families.deltanet(k, beta, **given(call, *_FLAGS[1:]))
    else:
        family, t = "gated_deltanet", families.gated_deltanet(g, k, beta, **given(call, *_FLAGS, "A_log", "dt_bias"))
    t = wide(t, v.shape[-1])
    if not call.replayed:
        yield Observation(t, family)
        return
    HV = v.shape[2]
    q, k = (repeated(x, HV) for x in normed(call["use_qk_l2norm_in_kernel"], q, k))
    write = _strength(call, family, beta)
    yield Observation(t, family, matrix_state(call, q, outer(k, v, write), scale=call["scale"], initial=initial_state(call)))


@function("chunk_gated_delta_product", overwrites=("initial_state",))
def _chunk_gated_delta_product(call: Call) -> Iterator[Observation]:
    yield from gated_delta_product(call, call["num_householder"])


def gated_delta_product(call: Call, m: int) -> Iterator[Observation]:
    """m delta rules per token, as one call on all T m substeps or as DeltaProduct's own kernel."""
    q, k, v = _keys(call)
    flags = given(call, *_FLAGS[1:])
    g, beta = call["g"], call["beta"]
    if g is None:
        family, t = "deltaproduct", families.deltaproduct(k, beta, m, **flags)
    else:
        family, t = "gated_deltaproduct", families.gated_deltaproduct(g, k, beta, m, **flags)
    t = wide(t, v.shape[-1])
    if not call.replayed:
        yield Observation(t, family)
        return
    q, k = normed(call["use_qk_l2norm_in_kernel"], q, k)
    write = _strength(call, family, beta)
    whole = call.output.shape[1] != k.shape[1]  # whether the kernel gives a row per token
    rows = (lambda x: x) if whole else (lambda x: x[:, m - 1 :: m])  # the last substep of each token has the output
    returned = rows(call.output)
    queries = q if q.shape[1] == returned.shape[1] else rows(q)

    def substeps(s: int) -> torch.Tensor:
        """What the m substeps of token s write: each passes through the ones behind it."""
        total: torch.Tensor | float = 0.0
        for j in range(s * m, (s + 1) * m):
            key, b = k[:, j].double(), write[:, j, :, None].double()
            if not isinstance(total, float):
                total = total - (b * key)[..., None] * (key[..., None, :] @ total)
            total = total + (b * key)[..., None] * v[:, j, :, None, :].double()
        return torch.as_tensor(total)

    yield Observation(t, family, matrix_state(replace(call, returned=returned), queries, substeps, scale=call["scale"], initial=initial_state(call)))


@function(
    "chunk_kimi_delta_attention",
    "recurrent_kimi_delta_attention",
    "chunk_kda",
    "fused_recurrent_kda",
    "fused_kda",
    overwrites=("initial_state",),
)
def _kda(call: Call) -> Iterator[Observation]:
    q, k, v = _keys(call)
    t = wide(families.kda(call["g"], k, call["beta"], **given(call, *_FLAGS, *_GATE)), v.shape[-1])
    if not call.replayed:
        yield Observation(t, "kda")
        return
    write = _strength(call, "kda", call["beta"])
    HV = v.shape[2]
    q, k = (repeated(x, HV) for x in normed(call["use_qk_l2norm_in_kernel"], q, k))
    yield Observation(t, "kda", matrix_state(call, q, outer(k, v, write), scale=call["scale"], initial=initial_state(call)))
