"""Sinks: what adds eigenvalues to a sketch in place, from the eigenvalues themselves or from factors (`reference.sketch`).

The last arguments are the tables of the definition, for the kernels: the edges for the dtype, the directions and the rings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, library, serve
from spectral_kernels.ops.closed_forms import rank_one_eigvals
from spectral_kernels.ops.householder import householder_eigvals
from spectral_kernels.ops.secular import secular
from spectral_kernels.reference import sketch as reference

_AT_ONCE = 1 << 21
_STATE = "Tensor(a!) counts, Tensor(b!) sums, Tensor(c!) extremes, Tensor rows"
_TABLES = "Tensor edges, Tensor directions, Tensor rings"
sketch = define(f"sketch({_STATE}, Tensor values, Tensor? valid, Tensor? suspect, Tensor repeats, {_TABLES}, bool log) -> ()")
sketch_zero_order_hold = define(f"sketch_zero_order_hold({_STATE}, Tensor delta, Tensor rate, Tensor? valid, int repeat, {_TABLES}) -> ()")
sketch_rank_one = define(f"sketch_rank_one({_STATE}, Tensor alpha, Tensor beta, Tensor k, Tensor? valid, int repeat, {_TABLES}) -> ()")
sketch_secular = define(f"sketch_secular({_STATE}, Tensor d, Tensor b, Tensor c, Tensor? valid, int repeat, {_TABLES}) -> ()")
sketch_householder = define(f"sketch_householder({_STATE}, Tensor alpha, Tensor beta, Tensor k, Tensor? valid, int repeat, {_TABLES}) -> ()")


def sketch_tables(dtype: torch.dtype, log: bool, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What the ops take last for values of ``dtype``, or logarithms."""
    return reference.edges(dtype, log).to(device), reference.directions().to(device), reference.rings().to(device)


def _pieces(count: int, values: Tensor, *others: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Tensors ``(G, ...)`` along their second axis, such that the definition has about `_AT_ONCE` of `count` eigenvalues in memory."""
    if values.dim() < 3 or count <= _AT_ONCE:
        yield values, *others
        return
    step = max(1, _AT_ONCE * values.shape[1] // count)
    for i in range(0, values.shape[1], step):
        yield values[:, i : i + step], *(None if t is None else t[:, i : i + step] for t in others)


def _sketch(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, values: Tensor, valid: Tensor | None, suspect: Tensor | None, repeats: Tensor, *rest: Any
) -> None:
    for v, ok, marks in _pieces(values.numel(), values, valid, suspect):
        reference.sketch(counts, sums, extremes, rows, v, ok, marks, repeats, rest[-1])


def _sketch_zero_order_hold(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, delta: Tensor, rate: Tensor, valid: Tensor | None, repeat: int, *rest: Any
) -> None:
    for d, ok in _pieces(delta.numel() * rate.shape[-1], delta, valid):
        reference.zero_order_hold(counts, sums, extremes, rows, d, rate, ok, repeat)


def _sketch_rank_one(*args: Any) -> None:
    """The eigenvalues of ``alpha I - beta k k^T``: ``alpha, beta (G, ...)``, ``k (G, ..., n)``, each counted ``repeat`` times."""
    (*state, alpha, beta, k, valid, repeat), tables = args[:-3], args[-3:]
    n = k.shape[-1]
    repeats = torch.tensor([n - 1, 1] if n > 1 else [1] * n, dtype=torch.int64, device=k.device) * repeat
    for ki, ai, bi, ok in _pieces(k.numel(), k, alpha, beta, valid):
        sketch(*state, rank_one_eigvals(ai, bi, ki, None, True).real, ok, None, repeats, *tables, False)


def _sketch_secular(*args: Any) -> None:
    """The eigenvalues of ``Diag(d) + b c^T``, b c of one sign: ``d``, ``b``, ``c (G, ..., n)``, each counted ``repeat`` times."""
    (*state, d, b, c, valid, repeat), tables = args[:-3], args[-3:]
    repeats = torch.full((d.shape[-1],), repeat, device=d.device)
    for di, bi, ci, ok in _pieces(d.numel(), d, b, c, valid):
        sketch(*state, secular(di, bi * ci)[0], ok, None, repeats, *tables, False)


def _sketch_householder(*args: Any) -> None:
    """The eigenvalues of ``alpha P_m ... P_1``: ``alpha (G, ...)``, ``beta (G, ..., m)``, ``k (G, ..., m, n)``, ``2 <= m < n``, each ``repeat`` times.

    Where one of a position's eigenvalues is not finite, none is.
    """
    (*state, alpha, beta, k, valid, repeat), tables = args[:-3], args[-3:]
    m, n = k.shape[-2:]
    repeats = torch.tensor([n - m] + [1] * m, device=k.device) * repeat
    for ki, bi, ai, ok in _pieces(k.numel(), k, beta, alpha[..., None], valid):
        values = torch.cat([ai, ai * householder_eigvals(bi, ki)[0]], -1)
        bad = ~torch.view_as_real(values).isfinite().all(-1).all(-1, keepdim=True)
        sketch(*state, values.masked_fill(bad, torch.nan), ok, None, repeats, *tables, False)


serve(sketch, _sketch)
serve(sketch_zero_order_hold, _sketch_zero_order_hold)
serve(sketch_rank_one, _sketch_rank_one)
serve(sketch_secular, _sketch_secular)
serve(sketch_householder, _sketch_householder)


def _nothing(*_: Any) -> None:
    """The fake kernels: all that the ops give is in their arguments."""


for _op in (sketch, sketch_zero_order_hold, sketch_rank_one, sketch_secular, sketch_householder):
    torch.library.register_fake(_op.name(), _nothing, lib=library)
