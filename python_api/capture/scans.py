"""How the recurrences of matrix states are replayed; what the observers of several libraries share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import silu

from spectral_kernels.api.capture.calls import Call
from spectral_kernels.api.capture.replay import POSITIONS, Replay
from spectral_kernels.api.transitions import Transition

Structure = TypeVar("Structure", bound=Transition)


def normed(on: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Each with rows of length 1 where the kernel was asked to normalise them itself."""
    return tuple(l2norm(x.float()) if on else x for x in tensors)


def l2norm(x: Tensor) -> Tensor:
    """As the kernels of the delta rules normalise."""
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()


def repeated(x: Tensor, heads: int) -> Tensor:
    """``(B, T, H, ...)`` to that many heads, each consecutive ``heads / H`` alike."""
    return x if x.shape[2] == heads else x.repeat_interleave(heads // x.shape[2], 2)


def matrix_state(
    call: Call,
    q: Tensor,
    write: Callable[[int], Tensor],
    *,
    scale: float | None = None,
    initial: Tensor | None = None,
    heads: int | None = None,
    read_before: Callable[[int], Tensor] | None = None,
) -> Replay | None:
    """``S_t = A_t S_{t-1} + write(t)`` with S (B, H, K, V), read as ``scale q_t^T S_t``; None unless a replay is wanted.

    Args:
        q: ``(B, T, Hq, K)``.
        scale: None: ``K ** -0.5``.
        initial: ``(B, H, K, V)``; None: zeros.
        heads: H where q has fewer.
        read_before: what is added to a reading of ``S_{t-1}`` in place of ``S_t``: RWKV-6 reads before it writes.
    """
    if not call.replayed:
        return None
    documents = call.first("cu_seqlens")
    length = q.shape[1] if documents is None else int(documents[1])  # the first document: behind it the state begins anew
    initial = None if initial is None else initial[: q.shape[0]]
    length, returned = min(length, POSITIONS), call.output
    q = repeated(q[:, :length], heads or q.shape[2]).double() * (q.shape[-1] ** -0.5 if scale is None else scale)

    def read(s: int, after: Tensor, before: Tensor) -> Tensor:
        state = after if read_before is None else before + read_before(s)
        return torch.einsum("bhk,bhkv->bhv", q[:, s], state[..., : q.shape[-1], :])

    return Replay(write, read, lambda s: returned[:, s], length, initial)


def outer(k: Tensor, v: Tensor, strength: Tensor | None = None) -> Callable[[int], Tensor]:
    """``strength_t k_t v_t^T`` of ``k (B, T, H, K)``, ``v (B, T, H, V)`` and ``strength (B, T, H)`` at a position."""

    def write(s: int) -> Tensor:
        key = k[:, s].double() if strength is None else k[:, s].double() * strength[:, s, :, None].double()
        return key[..., None] * v[:, s, :, None, :].double()

    return write


def initial_state(call: Call, name: str = "initial_state") -> Tensor | None:
    """``(B, H, K, V)``, as it was before the call."""
    initial: Tensor | None = call.before.get(name)
    return initial.transpose(-1, -2) if initial is not None and (call["state_v_first"] or call["transpose_state_layout"]) else initial


def wide(t: Structure, V: int) -> Structure:
    """A transition whose state has V columns."""
    return replace(t, multiplicity=V)


def gated(y: Tensor, u: Tensor, D: Tensor | None, z: Tensor | None) -> Tensor:
    """A scan's output with what it does behind the recurrence: ``(y + D u) silu(z)``."""
    y = y if D is None else y + u.double() * D.double()
    return y if z is None else y * silu(z.double())
