"""The dense eigenproblems.

``eig`` and ``eigh`` are what users' programs hold (`torch.compile`, `torch.export`, `torch.func`): they choose the kernel at run
time (`dispatch`), differentiate (`autograd`), and raise where ``raises`` names the function to raise for.  ``eig_batched`` and
``eigh_batched`` are the kernels of the compiled extensions, for the CPU and for CUDA.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C import _LinAlgError  # type: ignore[attr-defined]
from torch._functorch.utils import enable_single_level_autograd_function

from spectral_kernels import autograd, dispatch
from spectral_kernels.ops._library import below, define, differentiated, front, library

Results = tuple[Tensor, ...]

_EIG = "(Tensor eigenvalues, Tensor right, Tensor left, Tensor info)"
_EIGH = "(Tensor eigenvalues, Tensor eigenvectors, Tensor info)"
eig_batched = define(f"eig_batched(Tensor A, bool left, bool right, bool balance) -> {_EIG}")
eigh_batched = define(f"eigh_batched(Tensor A, bool vectors, bool upper) -> {_EIGH}")
eig = define(f"eig(Tensor A, bool left, bool right, bool balance, float broadening, str? raises) -> {_EIG}")
eigh = define(f"eigh(Tensor A, bool vectors, bool upper, float broadening, str? raises) -> {_EIGH}")
inverse_from_left = define("inverse_from_left(Tensor V, Tensor U) -> Tensor")


# Implementations


def raise_if_failed(name: str, info: Tensor, n: int) -> None:
    """Raises what torch raises for the first matrix whose ``info`` is not 0; ``name`` is that of the function, linalg.eig."""
    if info.item() == 0 if info.numel() == 1 else not info.any():
        return
    failed = int(info.reshape(-1).nonzero()[0])
    code = int(info.reshape(-1)[failed])
    where = f"(Batch element {failed}): " if info.dim() else ""
    what = "The input matrix contains non-finite values."
    if code <= n:
        what = f"The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues (error code: {code})."
    raise _LinAlgError(f"torch.{name}: {where}{what}")


def _eig(A: Tensor, left: bool, right: bool, balance: bool, broadening: float, raises: str | None) -> Results:
    results = dispatch.solve("eig", A, left, right, balance)
    if raises is not None:
        raise_if_failed(raises, results[-1], A.shape[-1])
    return results


def _eigh(A: Tensor, vectors: bool, upper: bool, broadening: float, raises: str | None) -> Results:
    results = dispatch.solve("eigh", A, vectors, upper)
    if raises is not None:
        raise_if_failed(raises, results[-1], A.shape[-1])
    return results


library.impl("eig", _eig, "CompositeExplicitAutograd")
library.impl("eigh", _eigh, "CompositeExplicitAutograd")
library.impl("inverse_from_left", autograd.inverse_from_left, "CompositeExplicitAutograd")


# Fake kernels


def _check_square(name: str, A: Tensor) -> None:
    torch._check(A.dim() >= 2 and A.shape[-1] == A.shape[-2], lambda: f"spectral_kernels::{name}: expected matrices of shape (..., n, n), got {tuple(A.shape)}")


def _vectors(A: Tensor, wanted: bool, dtype: torch.dtype) -> Tensor:
    return A.new_empty(A.shape, dtype=dtype).transpose(-2, -1) if wanted else A.new_empty((0,), dtype=dtype)


def _eig_fake(A: Tensor, left: bool, right: bool, *_: Any) -> Results:
    _check_square("eig", A)
    dtype = A.dtype.to_complex()
    return A.new_empty(A.shape[:-1], dtype=dtype), _vectors(A, right, dtype), _vectors(A, left, dtype), A.new_empty(A.shape[:-2], dtype=torch.int32)


def _eigh_fake(A: Tensor, vectors: bool, *_: Any) -> Results:
    _check_square("eigh", A)
    return A.new_empty(A.shape[:-1], dtype=A.dtype.to_real()), _vectors(A, vectors, A.dtype), A.new_empty(A.shape[:-2], dtype=torch.int32)


def _inverse_from_left_fake(V: Tensor, U: Tensor) -> Tensor:
    _check_square("inverse_from_left", V)
    return V.new_empty(V.shape)


_FAKES: dict[str, Callable[..., Any]] = {
    "eig_batched": _eig_fake,
    "eigh_batched": _eigh_fake,
    "eig": _eig_fake,
    "eigh": _eigh_fake,
    "inverse_from_left": _inverse_from_left_fake,
}
for _name, _fake in _FAKES.items():
    torch.library.register_fake(f"spectral_kernels::{_name}", _fake, lib=library)


# Autograd.  The kernel ops have none: `eig` and `eigh` stand above them.


def _eig_autograd(keyset: Any, A: Tensor, left: bool, right: bool, balance: bool, broadening: float, raises: str | None) -> Results:
    solve = below(eig, keyset)
    if not differentiated(A):
        return solve(A, left, right, balance, broadening, raises)
    with enable_single_level_autograd_function():
        w, V, U, info = autograd.Eig.apply(A, balance, broadening, raises, solve)  # every derivative needs both sides
    none = w.detach().new_empty(0)
    return w, V if right else none, U if left else none.clone(), info


def _eigh_autograd(keyset: Any, A: Tensor, vectors: bool, upper: bool, broadening: float, raises: str | None) -> Results:
    solve = below(eigh, keyset)
    if not differentiated(A):
        return solve(A, vectors, upper, broadening, raises)
    with enable_single_level_autograd_function():
        w, V, info = autograd.Eigh.apply(A, upper, broadening, raises, solve)
    return w, V if vectors else V.detach().new_empty(0), info


def _inverse_from_left_autograd(keyset: Any, V: Tensor, U: Tensor) -> Tensor:
    solve = below(inverse_from_left, keyset)
    if not differentiated(V, U):
        return solve(V, U)
    with enable_single_level_autograd_function():
        return autograd.InverseFromLeft.apply(V, U, solve)


library.impl("eig", _eig_autograd, "Autograd", with_keyset=True)
library.impl("eigh", _eigh_autograd, "Autograd", with_keyset=True)
library.impl("inverse_from_left", _inverse_from_left_autograd, "Autograd", with_keyset=True)


# Batching rules: every op takes any number of leading dimensions


def _eig_vmap(op: Any, info: Any, in_dims: tuple[int | None, ...], A: Tensor, left: bool, right: bool, *args: Any) -> tuple[Results, tuple[int | None, ...]]:
    return op(front(A, in_dims[0], info.batch_size), left, right, *args), (0, 0 if right else None, 0 if left else None, 0)


def _eigh_vmap(op: Any, info: Any, in_dims: tuple[int | None, ...], A: Tensor, vectors: bool, *args: Any) -> tuple[Results, tuple[int | None, ...]]:
    return op(front(A, in_dims[0], info.batch_size), vectors, *args), (0, 0 if vectors else None, 0)


def _inverse_from_left_vmap(info: Any, in_dims: tuple[int | None, ...], V: Tensor, U: Tensor) -> tuple[Tensor, int]:
    return inverse_from_left(front(V, in_dims[0], info.batch_size), front(U, in_dims[1], info.batch_size)), 0


torch.library.register_vmap("spectral_kernels::eig_batched", partial(_eig_vmap, eig_batched), lib=library)
torch.library.register_vmap("spectral_kernels::eig", partial(_eig_vmap, eig), lib=library)
torch.library.register_vmap("spectral_kernels::eigh_batched", partial(_eigh_vmap, eigh_batched), lib=library)
torch.library.register_vmap("spectral_kernels::eigh", partial(_eigh_vmap, eigh), lib=library)
torch.library.register_vmap("spectral_kernels::inverse_from_left", _inverse_from_left_vmap, lib=library)
