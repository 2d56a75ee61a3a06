"""Drop-in ``torch.linalg.eig``, ``eigvals``, ``eigh`` and ``eigvalsh``, batched for real."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _LinAlgError  # type: ignore[attr-defined]
from torch.overrides import TorchFunctionMode

from spectral_kernels import dispatch

_return_types: Any = torch.return_types  # built at run time: unknown to the type checker
_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


class EigResult(NamedTuple):
    """Result of `eig_ex`.  Eigenvector matrices that were not asked for are None."""

    eigenvalues: Tensor
    eigenvectors: Tensor | None
    left_eigenvectors: Tensor | None
    info: Tensor


def _check(name: str, A: Any) -> None:
    if not isinstance(A, Tensor):
        raise TypeError(f"{name}: A must be Tensor, not {type(A).__name__}")
    if A.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions, got shape {tuple(A.shape)}.")
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices")
    if A.dtype not in _DTYPES:
        kind = NotImplementedError if A.dtype.is_floating_point else RuntimeError
        raise kind(f"{name}: expected float32, float64, complex64 or complex128, got {A.dtype}")


def eig_ex(A: Tensor, *, left: bool = False, right: bool = True, balance: bool = True) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices; never raises for the data.

    Args:
        A: ``(..., n, n)``, float32, float64, complex64 or complex128, any strides.
        left: also the left eigenvectors, ``u^H A = lambda u^H``.
        right: also the right eigenvectors, ``A v = lambda v``.
        balance: permute and scale by powers of two first (LAPACK's ``gebal``).

    Returns:
        eigenvalues ``(..., n)`` complex; eigenvectors and left_eigenvectors ``(..., n, n)`` complex, in columns of
        2-norm 1 whose largest component is real, or None; info ``(...)`` int32: 0, or 1..n where the iteration did not
        converge (``eigenvalues[info:]`` are right, the rest NaN), or n + 1 where the matrix holds NaN or Inf.

    Raises:
        TypeError, RuntimeError, NotImplementedError: for the argument's type, shape or dtype.

    Follows LAPACK's ``geev``.

    >>> import torch, spectral_kernels as sk
    >>> A = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]], [[float("nan"), 0.0], [0.0, 1.0]]])
    >>> r = sk.linalg.eig_ex(A)
    >>> r.info.tolist()
    [0, 3]
    >>> r.eigenvalues[0].tolist()
    [1j, -1j]
    """
    _check("linalg.eig_ex", A)
    w, V, U, info = dispatch.dense_eig(A).eig(A, left, right, balance)
    return EigResult(w, V if right else None, U if left else None, info)


def _raise_for(name: str, info: Tensor, n: int) -> None:
    failed = info.reshape(-1).nonzero()
    if failed.numel() == 0:
        return
    where = f"(Batch element {int(failed[0])}): " if info.dim() else ""
    code = int(info.reshape(-1)[failed[0]])
    what = "The input matrix contains non-finite values."
    if code <= n:
        what = f"The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues (error code: {code})."
    raise _LinAlgError(f"{name}: {where}{what}")


def _write_out(name: str, result: Tensor, out: Tensor) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}: argument 'out' must be Tensor, not {type(out).__name__}")
    if out.device != result.device:
        raise RuntimeError(f"{name}: Expected result and input tensors to be on the same device, but got result on {out.device} and input on {result.device}")
    if not torch.can_cast(result.dtype, out.dtype):
        raise RuntimeError(f"{name}: Expected result to be safely castable from {result.dtype} dtype, but got result with dtype {out.dtype}")
    if out.shape != result.shape:
        strides = result.stride()  # of an empty output; another one is made contiguous: as torch does
        if out.numel():
            warnings.warn(f"{name}: an output with shape {tuple(out.shape)} was resized to {tuple(result.shape)}", stacklevel=3)
            strides = torch.empty(result.shape, device="meta").stride()
        out.resize_(result.shape).as_strided_(result.shape, strides)
    return out.copy_(result)


def eig(A: Tensor, *, out: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """Drop-in `torch.linalg.eig`: eigenvalues ``(..., n)`` and right eigenvectors ``(..., n, n)`` of ``A (..., n, n)``.

    Returns the same named tuple, dtypes and phase; raises the same errors, `torch.linalg.LinAlgError` for matrices that
    hold NaN or Inf.  Tensors that require grad go to torch.

    >>> import torch, spectral_kernels as sk
    >>> w, V = sk.linalg.eig(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    >>> w.real.tolist()
    [2.0, 3.0]
    """
    _check("linalg.eig", A)
    if out is not None and not (isinstance(out, (tuple, list)) and len(out) == 2):
        got = f"{len(out)}" if isinstance(out, (tuple, list)) else type(out).__name__
        raise TypeError(f"linalg.eig: argument 'out' must be a tuple of 2 Tensors, got {got}")
    if A.requires_grad and torch.is_grad_enabled():
        return torch.linalg.eig(A, out=out)
    w, V, _, info = dispatch.dense_eig(A).eig(A, False, True, True)
    _raise_for("torch.linalg.eig", info, A.shape[-1])
    if out is None:
        return _return_types.linalg_eig((w, V))
    return _return_types.linalg_eig_out((_write_out("torch.linalg.eig", w, out[0]), _write_out("torch.linalg.eig", V, out[1])))


def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Drop-in `torch.linalg.eigvals`: eigenvalues ``(..., n)`` of ``A (..., n, n)``, the same bits as `eig` gives.

    >>> import torch, spectral_kernels as sk
    >>> sk.linalg.eigvals(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).real.tolist()
    [1.0, -1.0]
    """
    _check("linalg.eigvals", A)
    if A.requires_grad and torch.is_grad_enabled():
        return torch.linalg.eigvals(A, out=out) if out is not None else torch.linalg.eigvals(A)
    w, _, _, info = dispatch.dense_eig(A).eig(A, False, False, True)
    _raise_for("torch.linalg.eigvals", info, A.shape[-1])
    return w if out is None else _write_out("torch.linalg.eigvals", w, out)


def eigh(A: Tensor, UPLO: str = "L", *, out: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """`torch.linalg.eigh`, unchanged: the symmetric solver runs on torch."""
    return _torch_eigh(A, UPLO, out=out)


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """`torch.linalg.eigvalsh`, unchanged: the symmetric solver runs on torch."""
    return _torch_eigvalsh(A, UPLO, out=out)


_torch_eigh, _torch_eigvalsh = torch.linalg.eigh, torch.linalg.eigvalsh
_REPLACED: dict[Any, Callable[..., Any]] = {torch.linalg.eig: eig, torch.linalg.eigvals: eigvals}


class drop_in(TorchFunctionMode):
    """Inside ``with drop_in():`` ``torch.linalg.eig`` and ``eigvals`` run on these kernels.

    >>> import torch, spectral_kernels as sk
    >>> with sk.drop_in():
    ...     torch.linalg.eigvals(torch.eye(2)).real.tolist()
    [1.0, 1.0]
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))
