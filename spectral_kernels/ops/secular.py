"""Diagonal plus rank one, ``Diag(d) + b c^T``: the roots of the secular equation ``1 + sum_i p_i / (d_i - lambda)``, ``p = b c``.

Every root comes as an eigenvalue and as (origin, offset): the index of an entry of d near it, and ``eigenvalue - d[origin]`` to full
relative accuracy.  ``secular`` and ``secular_complex`` differentiate (`autograd`); ``secular_eig`` is a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function

from spectral_kernels import autograd
from spectral_kernels.ops._library import below, define, differentiated, front, library, serve
from spectral_kernels.reference import secular as reference

Results = tuple[Tensor, ...]

_ROOTS = "(Tensor eigenvalues, Tensor origin, Tensor offset)"
secular = define(f"secular(Tensor d, Tensor p) -> {_ROOTS}")
secular_complex = define(f"secular_complex(Tensor d, Tensor p) -> {_ROOTS}")
secular_eig = define("secular_eig(Tensor d, Tensor b, Tensor c, bool left, bool right) -> (Tensor eigenvalues, Tensor right, Tensor left, Tensor info)")

serve(secular, reference.secular)
serve(secular_complex, reference.secular_complex)
serve(secular_eig, reference.secular_eig)


# Fake kernels


def _check_same(name: str, *tensors: Tensor) -> None:
    first = tensors[0]
    torch._check(
        first.dim() >= 1 and all(t.shape == first.shape and t.dtype == first.dtype for t in tensors),
        lambda: f"spectral_kernels::{name}: expected tensors of the same shape (..., n) and dtype, got {[(tuple(t.shape), t.dtype) for t in tensors]}",
    )


def _roots_fake(d: Tensor, p: Tensor) -> Results:
    _check_same("secular", d, p)
    return d.new_empty(d.shape), d.new_empty(d.shape, dtype=torch.int64), d.new_empty(d.shape)


def _complex_roots_fake(d: Tensor, p: Tensor) -> Results:
    _check_same("secular_complex", d, p)
    dtype = d.dtype.to_complex()
    return d.new_empty(d.shape, dtype=dtype), d.new_empty(d.shape, dtype=torch.int64), d.new_empty(d.shape, dtype=dtype)


def _eig_fake(d: Tensor, b: Tensor, c: Tensor, left: bool, right: bool) -> Results:
    _check_same("secular_eig", d, b, c)
    shape = (*d.shape, d.shape[-1])
    sides = [d.new_empty(shape).transpose(-2, -1) if wanted else d.new_empty((0,)) for wanted in (right, left)]
    return d.new_empty(d.shape), sides[0], sides[1], d.new_empty(d.shape[:-1], dtype=torch.int32)


_FAKES: dict[str, Callable[..., Any]] = {"secular": _roots_fake, "secular_complex": _complex_roots_fake, "secular_eig": _eig_fake}
for _name, _fake in _FAKES.items():
    torch.library.register_fake(f"spectral_kernels::{_name}", _fake, lib=library)


# Autograd


def _secular_autograd(op: Any) -> Callable[..., Any]:
    def differentiable(keyset: Any, d: Tensor, p: Tensor) -> Any:
        solve = below(op, keyset)
        if not differentiated(d, p):
            return solve(d, p)
        with enable_single_level_autograd_function():
            return autograd.Secular.apply(d, p, solve)

    return differentiable


library.impl("secular", _secular_autograd(secular), "Autograd", with_keyset=True)
library.impl("secular_complex", _secular_autograd(secular_complex), "Autograd", with_keyset=True)


# Batching rules: every op takes any number of leading dimensions


def _secular_batched(op: Any) -> Callable[..., Any]:
    def batched(info: Any, in_dims: tuple[int | None, ...], d: Tensor, p: Tensor) -> tuple[Results, tuple[int, ...]]:
        return op(front(d, in_dims[0], info.batch_size), front(p, in_dims[1], info.batch_size)), (0, 0, 0)

    return batched


def _eig_batched(
    info: Any, in_dims: tuple[int | None, ...], d: Tensor, b: Tensor, c: Tensor, left: bool, right: bool
) -> tuple[Results, tuple[int | None, ...]]:
    factors = (front(x, dim, info.batch_size) for x, dim in zip((d, b, c), in_dims, strict=False))
    return secular_eig(*factors, left, right), (0, 0 if right else None, 0 if left else None, 0)


torch.library.register_vmap("spectral_kernels::secular", _secular_batched(secular), lib=library)
torch.library.register_vmap("spectral_kernels::secular_complex", _secular_batched(secular_complex), lib=library)
torch.library.register_vmap("spectral_kernels::secular_eig", _eig_batched, lib=library)
