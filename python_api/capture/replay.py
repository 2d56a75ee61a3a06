"""The self check: a recurrence, run once more in float64 with the transition that was captured, against what the kernel returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from spectral_kernels.api.transitions import Diagonal, DiagonalPlusRankOne, RankOne, Scalar, Transition, ZeroOrderHold

POSITIONS = 128  # that are replayed, the first ones
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
_TOLERANCE_OF_TF32 = 5e-3  # what products of tensor cores may differ by


@dataclass
class Replay:
    """``S_t = A_t S_{t-1} + write(t)``, ``y_t = read(t, S_t, S_{t-1})``.

    Args:
        write: from the position to what is added to the state ``(B, ..., n, V)``.
        read: from the position and the states after and before it to the output ``(B, ...)``.
        returned: from the position to what the kernel returned there.
        length: T.
        initial: the state before the first position; None: zeros.
    """

    write: Callable[[int], Tensor]
    read: Callable[[int, Tensor, Tensor], Tensor]
    returned: Callable[[int], Tensor]
    length: int
    initial: Tensor | None = None


class Comparison(NamedTuple):
    """Two tensors that should be equal, ``(B, rows, ...)``, and which rows count."""

    replayed: Tensor
    returned: Tensor
    counts: Tensor | None = None


def apply(t: Transition, state: Tensor) -> Tensor:
    """``A S`` for ``S (..., n, V)``, without A where the structure allows."""
    if isinstance(t, Scalar):
        return t.alpha[..., None, None] * state
    if isinstance(t, Diagonal):
        return t.diagonal[..., None] * state
    if isinstance(t, ZeroOrderHold):
        return t.exponent.exp()[..., None] * state
    if isinstance(t, RankOne):
        return t.alpha[..., None, None] * state - t.beta[..., None, None] * t.k[..., None] * (t._p[..., None, :] @ state)
    if isinstance(t, DiagonalPlusRankOne):
        return t.d[..., None] * state + t.b[..., None] * (t.c[..., None, :] @ state)
    return t.dense() @ state


def error(t: Transition, replay: Replay | Comparison) -> float:
    """The largest deviation, relative to the largest output; NaN where either holds NaN."""
    if isinstance(replay, Comparison):
        return _relative(replay.replayed, replay.returned, replay.counts)
    t = (t if t.lti else t[:, :POSITIONS]).to(torch.float64)
    state, ours, theirs = None if replay.initial is None else replay.initial.double(), [], []
    for s in range(min(replay.length, POSITIONS)):
        write = replay.write(s).double()
        before = torch.zeros_like(write) if state is None else state
        state = apply(t if t.lti else t[:, s], before) + write
        ours.append(replay.read(s, state, before))
        theirs.append(replay.returned(s))
    return _relative(torch.stack(ours, 1), torch.stack(theirs, 1), None) if ours else 0.0


def _relative(ours: Tensor, theirs: Tensor, counts: Tensor | None) -> float:
    theirs = theirs.to(ours.device, torch.float64)
    if counts is not None:
        ours, theirs = ours[counts], theirs[counts]
    if theirs.numel() == 0:
        return 0.0
    scale = float(theirs.abs().max())
    return float((ours.double() - theirs).abs().max()) / (scale or 1.0)


def tolerance(returned: Tensor, *others: Tensor) -> float:
    """What the error may be, by the lowest precision among what the kernel was given and returned."""
    limit = max(_TOLERANCE.get(x.dtype, 0.0) for x in (returned, *others))
    return limit if returned.device.type == "cpu" else max(limit, _TOLERANCE_OF_TF32)
