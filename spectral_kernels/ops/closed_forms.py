"""Closed forms whose eigenvalues are written once, at the speed of the memory: diagonals, and rank one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, implement, library, stacked_batch
from spectral_kernels.reference import diagonal as diagonal_definition
from spectral_kernels.reference import expand_exp as expand_exp_definition
from spectral_kernels.reference import rank_one as rank_one_definition

rank_one_eigvals = define("rank_one_eigvals(Tensor alpha, Tensor beta, Tensor k, Tensor? p=None, bool distinct=False) -> Tensor")
expand_exp = define("expand_exp(Tensor delta, Tensor rate) -> Tensor")
diagonal_eigvals = define("diagonal_eigvals(Tensor value, bool log) -> Tensor")

implement(diagonal_eigvals, diagonal_definition.diagonal_eigvals)
implement(rank_one_eigvals, rank_one_definition.rank_one_eigvals)
implement(expand_exp, expand_exp_definition.expand_exp)


def _rank_one_fake(alpha: Tensor, beta: Tensor, k: Tensor, p: Tensor | None = None, distinct: bool = False) -> Tensor:
    n = k.shape[-1]
    torch._check(p is None or p.shape[-1] == n, lambda: "spectral_kernels::rank_one_eigvals: expected k and p of one length")
    batch = torch.broadcast_shapes(alpha.shape, beta.shape, k.shape[:-1], *(() if p is None else (p.shape[:-1],)))
    return k.new_empty((*batch, min(n, 2) if distinct else n), dtype=k.dtype.to_complex())


def _expand_exp_fake(delta: Tensor, rate: Tensor) -> Tensor:
    torch._check(rate.dim() == 2 and delta.shape[-1] == rate.shape[0], lambda: "spectral_kernels::expand_exp: expected delta (..., D) and rate (D, N)")
    return delta.new_empty((*delta.shape[:-1], rate.shape[0] * rate.shape[1]), dtype=delta.dtype.to_complex())


def _diagonal_fake(value: Tensor, log: bool) -> Tensor:
    return value.new_empty(value.shape, dtype=value.dtype.to_complex())


def _diagonal_batched(info: Any, in_dims: tuple[int, None], value: Tensor, log: bool) -> tuple[Tensor, int]:
    return diagonal_eigvals(value.movedim(in_dims[0], 0), log), 0


def _rank_one_batched(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
    return rank_one_eigvals(*stacked_batch(in_dims, (0, 0, 1, 1), args)), 0


def _expand_exp_batched(info: Any, in_dims: tuple[int | None, int | None], delta: Tensor, rate: Tensor) -> tuple[Tensor, int]:
    of_delta, of_rate = in_dims
    deltas = delta.expand(info.batch_size, *delta.shape) if of_delta is None else delta.movedim(of_delta, 0)
    if of_rate is None:
        return expand_exp(deltas, rate), 0
    return torch.stack([expand_exp(d, r) for d, r in zip(deltas, rate.unbind(of_rate), strict=True)]), 0


torch.library.register_fake("spectral_kernels::diagonal_eigvals", _diagonal_fake, lib=library)
torch.library.register_fake("spectral_kernels::rank_one_eigvals", _rank_one_fake, lib=library)
torch.library.register_fake("spectral_kernels::expand_exp", _expand_exp_fake, lib=library)
torch.library.register_vmap("spectral_kernels::diagonal_eigvals", _diagonal_batched, lib=library)
torch.library.register_vmap("spectral_kernels::rank_one_eigvals", _rank_one_batched, lib=library)
torch.library.register_vmap("spectral_kernels::expand_exp", _expand_exp_batched, lib=library)
