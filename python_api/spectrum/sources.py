"""From a transition's factors to a sketch, without its eigenvalues in memory, or with those of a few positions at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.spectrum.spectrum import BUCKET, Spectrum
from spectral_kernels.api.spectrum.suspect import near_defective
from spectral_kernels.api.transitions import Diagonal, DiagonalPlusRankOne, HouseholderProduct, RankOne, Scalar, Transition, ZeroOrderHold
from spectral_kernels.api.transitions.values import poison
from spectral_kernels.dispatch import ANY_BATCH

_CHUNK_BYTES = 4 * 2**20  # of factors and intermediate results at a time, in the caches of a CPU
_CHUNK_BYTES_ELSEWHERE = 256 * 2**20  # a launch should be worth its time
_LEAST = 64  # positions at a time: full lane groups for every thread


def add(into: Spectrum, transition: Transition, axes: Mapping[str, int] | None, at: Mapping[str, int] | None, start: int) -> None:
    """Adds the eigenvalues of every valid position, `multiplicity` times; `axes` are axes of the batch shape."""
    t = transition.detach()
    dims = len(t.batch_shape)
    axes = {name: axis + dims if axis < 0 else axis for name, axis in (axes or {}).items()}
    if into.buckets and BUCKET not in axes:
        if not t.time:
            raise ValueError(f"{type(t).__name__}.spectrum: position buckets need an axis of positions, got time = {t.time}")
        axes[BUCKET] = dims + t.time
    places = into._places(t.batch_shape, axes, at)
    if (sink := _sink(t)) is not None:
        op, factors, shared = sink
        state, tables = into._state_on(t.device), ops.sketch_tables(*_kind(t), t.device)
        for rows, *own, valid in state._slices(places, start, None, dims, *factors, t.valid):
            op(*state._rows(), rows, *own, *shared, valid, t.multiplicity, *tables)
        into._merge(state)
        return
    limit = _CHUNK_BYTES if t.device.type == "cpu" else _CHUNK_BYTES_ELSEWHERE
    for block in _blocks(t.batch_shape, max(_LEAST, limit // _bytes_per_position(t))):
        part = t[block]
        values, counts, log = _values(part)
        repeats = torch.tensor(counts, dtype=torch.int64, device=values.device) * t.multiplicity
        into._sketch(values.resolve_conj(), part.valid, _suspect(part, values), repeats, log, places, start, block)


def _sink(t: Transition) -> tuple[Any, tuple[Tensor, ...], tuple[Tensor, ...]] | None:
    """The op that takes the factors of `t` to a sketch, those with batch axes and those without; None where only eigenvalues can go."""
    if isinstance(t, ZeroOrderHold) and not t.rate.is_complex():
        return ops.sketch_zero_order_hold, (t.delta,), (t.rate,)
    if isinstance(t, RankOne) and t.p is None and not t.k.is_complex():
        return ops.sketch_rank_one, (t.alpha, t.beta, t.k), ()
    if isinstance(t, DiagonalPlusRankOne) and t.sign is not None:
        return ops.sketch_secular, (t.d, t.b, t.c), ()
    if isinstance(t, HouseholderProduct) and 2 <= t.rank < min(t.size, ANY_BATCH + 1):
        return ops.sketch_householder, (t.alpha, t.beta, t.k), ()
    return None


def _kind(t: Transition) -> tuple[torch.dtype, bool]:
    """The dtype of what a fused sink counts, and whether it is logarithms."""
    return t.dtype.to_complex() if isinstance(t, HouseholderProduct) else t.dtype, isinstance(t, ZeroOrderHold)


def _values(t: Transition) -> tuple[Tensor, tuple[int, ...], bool]:
    """Eigenvalues, how often each stands in the spectrum, and whether they are given as logarithms; NaN for a position with bad factors."""
    if isinstance(t, Scalar):
        return t.value[..., None], (t.n,), t.log
    if isinstance(t, Diagonal):
        return t.value + poison(t.value, log=t.log)[..., None], (1,) * t.size, t.log
    if isinstance(t, ZeroOrderHold):
        return t.exponent + t._poison[..., None], (1,) * t.size, True
    values, counts = t.distinct()
    return values, counts, False


def _suspect(t: Transition, values: Tensor) -> Tensor | None:
    """Eigenvalues that may be defective: of a rank-one update by ``p^T k``, where the dense solver knows no structure by their distance."""
    if isinstance(t, RankOne) and t.p is not None and values.shape[-1] == 2:
        changed = (t.beta != 0) & (t.k != 0).any(-1) & (t.p != 0).any(-1)
        return near_defective(values) & changed[..., None]
    return near_defective(values) if type(t).distinct is Transition.distinct else None


def _bytes_per_position(t: Transition) -> int:
    factors = sum(value.shape[value.dim() - t.factors[name] :].numel() for name, value in t._given().items())
    dense = 3 * t.size**2 if type(t).distinct is Transition.distinct else 0  # matrix, tile, and the distances of the eigenvalues
    return max(1, (4 * (factors + t.size) + dense) * t.dtype.itemsize)


def _blocks(shape: torch.Size, limit: int) -> Iterator[tuple[slice, ...]]:
    """Blocks of at most `limit` positions, consecutive in row-major order, that cover a shape."""
    steps, inner = [], shape.numel()
    for size in shape:
        inner //= max(size, 1)
        steps.append(min(max(1, size), max(1, limit // max(1, inner))))
    if shape.numel():
        yield from itertools.product(*([slice(i, min(i + step, size)) for i in range(0, size, step)] for size, step in zip(shape, steps, strict=True)))

