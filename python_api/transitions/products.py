"""Products of transitions: of two, over windows of positions; and sequences one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from spectral_kernels.api.transitions import base
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.dense import Dense


def multiply(later: Transition, earlier: Transition) -> Transition:
    """``later @ earlier``: see `Transition`."""
    for name in ("size", "multiplicity", "gauge"):
        if getattr(later, name) != getattr(earlier, name):
            raise ValueError(f"transitions: expected a product of the same {name}, got {getattr(later, name)} @ {getattr(earlier, name)}")
    if not (later.lti or earlier.lti or later.time == earlier.time):
        raise ValueError(f"transitions: expected a product along the same time axis, got {later.time} @ {earlier.time}")
    batch = torch.broadcast_shapes(later.batch_shape, earlier.batch_shape)
    both = [t._map(lambda value, core: value.expand((*batch, *value.shape[value.dim() - core :])), time=None) for t in (later, earlier)]
    product = both[0]._times(both[1])
    if product is None:
        product = Dense(both[0].dense() @ both[1].dense(), time=None)
    valid = [t.valid for t in (later, earlier) if t.valid is not None]
    time = earlier.time if later.lti else later.time
    return replace(product, valid=valid[0] & valid[-1] if valid else None, multiplicity=later.multiplicity, gauge=later.gauge, time=time)


def window(t: Transition, w: int) -> Transition:
    """`Transition.window` for w > 1 and a transition with positions, or an LTI one."""
    bare = replace(t, valid=None)
    return replace(_products(bare, w) if t._window_is_closed(w) else _dense_products(bare, w), valid=_valid(t, w))


def _valid(t: Transition, w: int) -> Tensor | None:
    if t.valid is None or not t.time:
        return t.valid
    if t.valid.shape[t.time] < w:
        return t.valid.narrow(t.time, 0, 0)
    return t.valid.unfold(t.time, w, 1).all(-1)


def _narrow(t: Transition, start: int, length: int) -> Transition:
    """``length`` positions from ``start`` on; all there is of an LTI transition."""
    if t.time is None:
        return t
    place = t.time
    return t._map(lambda value, core: value.narrow(value.dim() - core + place, min(start, value.shape[value.dim() - core + place]), length))


def _products(block: Transition, w: int) -> Transition:
    """Products of w consecutive transitions, the w-th power of an LTI one, by the binary digits of w.

    ``block`` holds the products of 1, 2, 4 ... positions from every start on, and a window is put together from these, the
    earliest first.  Every factor is used once in a window: no quotients, no differences of long sums, and NaN reaches no further.
    """
    T = block.batch_shape[block.time] if block.time else 0
    result: Transition | None = None
    offset, length = 0, 1
    while True:
        if w & length:
            part = _narrow(block, offset, max(0, T - w + 1))
            result = part if result is None else multiply(part, result)
            offset += length
        if 2 * length > w:
            assert result is not None  # the highest digit is 1
            return result
        left = max(0, T - 2 * length + 1)
        block, length = multiply(_narrow(block, length, left), _narrow(block, 0, left)), 2 * length


def _dense_products(t: Transition, w: int) -> Dense:
    """Windows by dense products, formed from about `base._CHUNK_BYTES` of matrices at a time: some sequences, or some positions of one."""
    meta: dict[str, Any] = {"multiplicity": t.multiplicity, "gauge": t.gauge, "time": t.time}
    if t.time is None:
        return Dense(_products(Dense(t.dense(), time=None), w).dense(), **meta)
    place, others, n = t.time, list(t.batch_shape), t.size
    T = others.pop(place)
    rows, count = math.prod(others), max(0, T - w + 1)

    def by_rows(value: Tensor, core: int) -> Tensor:
        batch = value.dim() - core
        return value.movedim(batch + place, batch - 1).reshape(rows, T, *value.shape[batch:])

    flat = t._map(by_rows, time=-1)
    room = max(1, base._CHUNK_BYTES // max(1, n**2 * t.dtype.itemsize))
    positions = max(1, min(count, max(w, room - w + 1)))  # at least w: no more than half of a chunk is formed twice
    step = max(1, room // (positions + w - 1))
    pieces = [
        torch.cat([_products(Dense(flat[r : r + step, p : p + positions + w - 1].dense()), w).dense() for p in range(0, count, positions)], 1)
        for r in range(0, rows if count else 0, step)
    ]
    A = torch.cat(pieces) if pieces else flat[:, :0].dense()
    return Dense(A.reshape(*others, count, n, n).movedim(len(others), len(others) + 1 + place), **meta)


def cat(transitions: Sequence[Transition]) -> Transition:
    """One sequence after the other, along `time`: the parts of a long sequence, or a prompt and what was generated.

    Args:
        transitions: of one class, whose shared fields, batch axes besides time, gauge and multiplicity are the same.

    Raises:
        ValueError: where they are not, or where a transition has no time axis.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.Scalar(torch.rand(2, 5, 3), time=-2)
    >>> sk.transitions.cat([t[:, :2], t[:, 2:]])
    Scalar(shape=(2, 5, 3, 1, 1), dtype=torch.float32)
    """
    if not transitions:
        raise ValueError("transitions.cat: expected at least one transition")
    first, place = transitions[0], transitions[0].time
    if not place:
        raise ValueError(f"transitions.cat: expected transitions with a time axis, got time = {place}")
    if other := next((t for t in transitions if type(t) is not type(first)), None):
        raise ValueError(f"transitions.cat: expected transitions of one class, got {type(first).__name__} and {type(other).__name__}")
    if any(t.valid is not None for t in transitions):
        transitions = [t if t.valid is not None else replace(t, valid=torch.ones(t.batch_shape, dtype=torch.bool, device=t.device)) for t in transitions]
    changed: dict[str, Any] = {}
    for name in (f.name for f in fields(first)):
        values = [getattr(t, name) for t in transitions]
        if all(isinstance(value, Tensor) for value in values) and (name in first.factors or name == "valid"):
            changed[name] = torch.cat(values, values[0].dim() - first.factors.get(name, 0) + place)
        elif all(isinstance(value, Transition) for value in values):
            changed[name] = cat(values)
        elif not all(_same(values[0], value) for value in values):
            raise ValueError(f"transitions.cat: expected the same {name} in all transitions, got {' and '.join(map(str, values))}")
    return replace(first, **changed)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b))
    return bool(a == b)
