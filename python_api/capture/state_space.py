"""Selective scans: the calls of transformers and of mamba_ssm, which transformers calls where it is installed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d, linear, silu

from spectral_kernels.api import families
from spectral_kernels.api.capture.calls import Call, Observation, Unsupported, function
from spectral_kernels.api.capture.replay import POSITIONS, Replay
from spectral_kernels.api.capture.scans import gated, repeated
from spectral_kernels.api.transitions import Scalar

_UNBOUNDED = (0.0, math.inf)


def _head(call: Call) -> tuple[int, int] | None:
    """Zamba scans each of its Mamba heads by a call of its own."""
    heads = getattr(call.module, "n_mamba_heads", 1)
    if heads == 1:
        return None
    done = call.memory.setdefault("heads", 0)
    call.memory["heads"] = (done + 1) % heads
    return done, heads


def _mamba(call: Call, dt: Tensor, u: Tensor, B: Tensor, C: Tensor, bias: Tensor | None, softplus: bool, state: Tensor | None, returned: Tensor) -> Observation:
    """``dt, u, returned (B, T, D)``, ``B, C (B, T, N)``, ``state (B, D, N)``."""
    A = call["A"].float()
    t = families.mamba(dt.float(), A, delta_bias=None if bias is None else bias.float(), delta_softplus=softplus)
    if not call.replayed:
        return Observation(t, "mamba", None, head=_head(call))
    D, z = call["D"], call["z"]
    if z is not None:
        z = z if z.dim() == 3 else z[..., None]  # (B, D, T)
    delta, (D_in, N) = t.delta, A.shape

    def write(s: int) -> Tensor:
        return (delta[:, s, :, None].double() * B[:, s, None, :].double() * u[:, s, :, None].double()).flatten(1)[..., None]

    def read(s: int, after: Tensor, before: Tensor) -> Tensor:
        y = (after[..., 0].unflatten(1, (D_in, N)) * C[:, s, None, :].double()).sum(-1)
        return gated(y, u[:, s], D, None if z is None else z[..., s])

    return Observation(t, "mamba", Replay(write, read, lambda s: returned[:, s], u.shape[1], None if state is None else state.flatten(1)[..., None]), head=_head(call))


def _by_position(x: Tensor) -> Tensor:
    """B or C ``(B, N, T)``, or with one group ``(B, 1, N, T)``, to ``(B, T, N)``."""
    if x.dim() == 4 and x.shape[1] == 1:
        x = x[:, 0]
    if x.dim() != 3:
        raise Unsupported(f"a selective scan with B or C of shape {tuple(x.shape)}: expected (B, N, T), input-dependent and in one group")
    return x.transpose(1, 2)


@function("mamba_selective_scan", "selective_scan_fn")
def _selective_scan(call: Call) -> Iterator[Observation]:
    u, dt = call.first("hidden_states", "u").transpose(1, 2), call.first("dt", "delta").transpose(1, 2)
    yield _mamba(call, dt, u, _by_position(call["B"]), _by_position(call["C"]), call["delta_bias"], bool(call["delta_softplus"]), None, call.output.transpose(1, 2))


@function("mamba_inner_fn")
def _inner(call: Call) -> Iterator[Observation]:
    """The fused layer of Mamba: convolution, projections and scan in one; what is inside is computed once more from its input."""
    if call["dt_rms_weight"] is not None or call["b_rms_weight"] is not None or call["B"] is not None:
        raise Unsupported("the fused Mamba layer with norms or constant B is not taken apart: in eval mode, or with a cache, its scan is called by itself")
    x = call["xz"].chunk(2, 1)[0]  # (B, D, T)
    w, T = call["conv1d_weight"], x.shape[-1]
    bias = call["conv1d_bias"]
    x = silu(conv1d(x.float(), w.float(), None if bias is None else bias.float(), padding=w.shape[-1] - 1, groups=w.shape[0])[..., :T])
    rank = call["delta_proj_weight"].shape[1]
    low = linear(x.transpose(1, 2), call["x_proj_weight"].float())[..., :rank]
    dt = linear(low, call["delta_proj_weight"].float())
    delta_bias = call["delta_bias"]
    t = families.mamba(
        dt, call["A"].float(), delta_bias=None if delta_bias is None else delta_bias.float(), delta_softplus=call.arguments.get("delta_softplus", True)
    )
    yield Observation(t, "mamba", note="computed again from the input of the fused layer")


@function("mamba_selective_state_update", "mamba2_selective_state_update", "selective_state_update", overwrites=("state",))
def _state_update(call: Call) -> Iterator[Observation]:
    """One token: of Mamba ``state (B, D, N)``, of Mamba-2 ``(B, H, P, N)``."""
    state, u, dt = call["state"], call.first("hidden_states", "x"), call["dt"]
    before = call.before.get("state")
    if state.dim() == 3:
        B, C = (x[:, 0] if x.dim() == 3 else x for x in (call["B"], call["C"]))
        yield _mamba(call, dt[:, None], u[:, None], B[:, None], C[:, None], call["dt_bias"], bool(call["dt_softplus"]), before, call.output[:, None])
        return
    # The kernels expand what a head shares over its channels: dt (B, H, P), A (H, P, N), dt_bias (H, P)
    bias, A = call["dt_bias"], call["A"]
    shared = {"dt": dt[..., 0] if dt.dim() == 3 else dt, "A": A if A.dim() == 1 else A[:, 0, 0]}
    bias = None if bias is None else bias if bias.dim() == 1 else bias[:, 0]
    limits = call.first("dt_limit") or _UNBOUNDED
    yield _mamba2(call, shared["dt"][:, None], shared["A"], u[:, None], call["B"][:, None], call["C"][:, None], bias, limits, before, call["D"], call.output[:, None])


def _mamba2(
    call: Call,
    dt: Tensor,
    A: Tensor,
    x: Tensor,
    B: Tensor,
    C: Tensor,
    bias: Tensor | None,
    limits: Any,
    state: Tensor | None,
    D: Tensor | None,
    returned: Tensor,
) -> Observation:
    """``dt (B, T, H)``, ``x, returned (B, T, H, P)``, ``B, C (B, T, G, N)``, ``state (B, H, P, N)``."""
    softplus = bool(call["dt_softplus"])
    H, (P, N) = dt.shape[-1], (x.shape[-1], B.shape[-1])
    settings: dict[str, Any] = {"dt_bias": None if bias is None else bias.float(), "dt_softplus": softplus, "dt_limit": tuple(limits), "d_state": N}
    t = families.mamba2(dt.float(), A.float(), **settings)
    t = Scalar(t.value, N, log=True, time=-2, multiplicity=P)
    if not call.replayed:
        return Observation(t, "mamba2")
    delta = -families.mamba2(dt.float(), torch.full_like(A, -1.0, dtype=torch.float32), **settings).value  # the log of exp(-delta)
    B, C = (repeated(m[:, :POSITIONS], H).double() for m in (B, C))
    z = call["z"]

    def write(s: int) -> Tensor:
        return B[:, s, :, :, None] * (x[:, s].double() * delta[:, s, :, None])[:, :, None, :]

    def read(s: int, after: Tensor, before: Tensor) -> Tensor:
        y = torch.einsum("bhn,bhnp->bhp", C[:, s], after)
        skip = None if D is None else D if D.dim() == 2 else D[:, None]
        return gated(y, x[:, s], skip, None if z is None else z.reshape(x.shape)[:, s])

    return Observation(t, "mamba2", Replay(write, read, lambda s: returned[:, s], x.shape[1], None if state is None else state.transpose(-1, -2)))


@function("mamba2_chunk_scan", "mamba_chunk_scan_combined")
def _chunk_scan(call: Call) -> Iterator[Observation]:
    limits = call["dt_limit"] or _UNBOUNDED
    x = call.first("hidden_states", "x")
    yield _mamba2(call, call["dt"], call["A"], x, call["B"], call["C"], call["dt_bias"], limits, call["initial_states"], call["D"], call.output)


@function("mamba2_split_conv1d_scan_combined", "mamba_split_conv1d_scan_combined")
def _split_scan(call: Call) -> Iterator[Observation]:
    """The fused layer of Mamba-2: the steps are the last columns of its input, and no convolution touches them."""
    A = call["A"]
    limits = call["dt_limit"] or _UNBOUNDED
    t = families.mamba2(call["zxbcdt"][..., -A.shape[0] :].float(), A.float(), dt_bias=call["dt_bias"].float(), dt_softplus=True, dt_limit=tuple(limits))
    yield Observation(t, "mamba2", note="from the input of the fused layer; n counts one number per head")


@function("mamba3_siso_combined", "mamba3_mimo_combined")
def _mamba3(call: Call) -> Iterator[Observation]:
    """``ADT, DT (B, H, T)``, ``Angles (B, T, H or 1, S)``."""
    ADT, DT, angles = call["ADT"], call["DT"], call["Angles"]
    key = call.first("K", "k", "B")
    t = families.mamba3(DT.transpose(1, 2).float(), angles.float(), key.shape[-1], ADT=ADT.transpose(1, 2).float())
    yield Observation(t, "mamba3")
