"""Drop-in ``torch.linalg.eig``, ``eigvals``, ``eigh`` and ``eigvalsh``, batched for real."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary

from spectral_kernels import dispatch, ops
from spectral_kernels.api import interop, sharding

_return_types: Any = torch.return_types  # built at run time: unknown to the type checker
_SYMMETRIC = frozenset({"linalg.eigh", "linalg.eigvalsh"})
_DTYPES = frozenset({torch.float32, torch.float64, torch.complex64, torch.complex128})
_HALF = frozenset({torch.float16, torch.bfloat16})
_UPPER = {"L": False, "l": False, "U": True, "u": True}


class EigResult(NamedTuple):
    """Result of `eig_ex`.  Eigenvector matrices that were not asked for are None."""

    eigenvalues: Any
    eigenvectors: Any
    left_eigenvectors: Any
    info: Any


def _check(name: str, A: Any) -> Tensor:
    """``A`` itself, or in float32 where autocast says so; raises what torch raises."""
    if not isinstance(A, Tensor):
        raise TypeError(f"{name}: A must be Tensor or an array with __dlpack__, not {type(A).__name__}")
    shape = A.shape
    if len(shape) < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions, got shape {tuple(shape)}.")
    if shape[-1] != shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} matrices")
    if A.dtype not in _DTYPES:
        if A.dtype in _HALF and torch.is_autocast_enabled(A.device.type):
            return A.float()
        kind = NotImplementedError if A.dtype.is_floating_point or name in _SYMMETRIC else RuntimeError
        raise kind(f"{name}: expected float32, float64, complex64 or complex128, got {A.dtype}")
    return A


def _is_plain(A: Any) -> bool:
    """Whether ``A`` is data on a CPU that nothing watches: the kernel runs without the layers for compile, grad and transforms."""
    return (
        not torch.compiler.is_compiling()
        and type(A) is Tensor
        and A.is_cpu
        and not (A.requires_grad and torch.is_grad_enabled())
        and forward_ad._current_level < 0
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
    )


def _solve(table: str, name: str, A: Tensor, args: tuple[bool, ...], broadening: float = 0.0, raises: bool = True) -> tuple[Tensor, ...]:
    """The op ``table`` (eig, eigh) on checked arguments: ``args`` are those of the rules of ``dispatch.TABLES[table]``."""
    A = _check(name, A)
    if not broadening >= 0:
        raise ValueError(f"{name}: broadening must be >= 0, got {broadening}")
    if _is_plain(A):
        results = dispatch.solve(table, A, *args)
        if raises:
            ops.raise_if_failed(name, results[-1], A.shape[-1])
        return results
    if type(A) is not Tensor and not torch.compiler.is_compiling():
        sharding.register_where_used()
    return (ops.eig if table == "eig" else ops.eigh)(A, *args, float(broadening), name if raises else None)


def _check_pair(name: str, out: Any) -> None:
    if not (isinstance(out, (tuple, list)) and len(out) == 2):
        got = f"{len(out)}" if isinstance(out, (tuple, list)) else type(out).__name__
        raise TypeError(f"{name}: argument 'out' must be a tuple of 2 Tensors, got {got}")


def _forbid_grad_with_out(name: str, A: Tensor) -> None:
    if A.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.")


def _write_out(name: str, result: Tensor, out: Tensor, same_dtype: bool = False) -> Tensor:
    """``result`` in ``out``, whose dtype torch wants to be the same (eigh) or one that holds it (eig)."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}: argument 'out' must be Tensor, not {type(out).__name__}")
    if same_dtype and out.dtype != result.dtype:
        raise RuntimeError(f"{name}: Expected out tensor to have dtype {result.dtype}, but got {out.dtype} instead")
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


def eig_ex(A: Any, *, left: bool = False, right: bool = True, balance: bool = True, broadening: float = 0.0) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices; never raises for the data.

    Args:
        A: ``(..., n, n)``, float32, float64, complex64 or complex128, any strides: a tensor, a numpy array, or any array with
            ``__dlpack__``; the results are of the same kind.
        left: also the left eigenvectors, ``u^H A = lambda u^H``.
        right: also the right eigenvectors, ``A v = lambda v``.
        balance: permute and scale by powers of two first (LAPACK's ``gebal``).
        broadening: of the eigenvectors' derivatives, see `eig`.

    Returns:
        eigenvalues ``(..., n)`` complex; eigenvectors and left_eigenvectors ``(..., n, n)`` complex, in columns of
        2-norm 1 whose largest component is real, or None; info ``(...)`` int32: 0, or 1..n where the iteration did not
        converge (``eigenvalues[info:]`` are right, the rest NaN), or n + 1 where the matrix holds NaN or Inf.

    Raises:
        TypeError, ValueError, RuntimeError, NotImplementedError: for the argument's type, value, shape or dtype.

    Follows LAPACK's ``geev``.  Differentiable in eigenvalues and both sides' eigenvectors.

    >>> import torch, spectral_kernels as sk
    >>> A = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]], [[float("nan"), 0.0], [0.0, 1.0]]])
    >>> r = sk.linalg.eig_ex(A)
    >>> r.info.tolist()
    [0, 3]
    >>> r.eigenvalues[0].tolist()
    [1j, -1j]
    """
    if not isinstance(A, Tensor) and interop.is_array(A):
        return interop.through(eig_ex, A, left=left, right=right, balance=balance, broadening=broadening)
    w, V, U, info = _solve("eig", "linalg.eig_ex", A, (left, right, balance), broadening, raises=False)
    return EigResult(w, V if right else None, U if left else None, info)


def eig(A: Any, *, broadening: float = 0.0, out: tuple[Tensor, Tensor] | None = None) -> Any:
    """Drop-in `torch.linalg.eig`: eigenvalues ``(..., n)`` and right eigenvectors ``(..., n, n)`` of ``A (..., n, n)``.

    Returns the same named tuple, dtypes and phase; raises the same errors, `torch.linalg.LinAlgError` for matrices that
    hold NaN or Inf.  ``A`` may be a numpy array or any array with ``__dlpack__``; the results are then of that kind.

    Differentiable to any order, in reverse and forward mode.  The derivative of an eigenvector holds 1/d for the differences
    ``d = lambda_j - lambda_i`` and has no limit where eigenvalues meet; ``broadening`` e > 0, in the eigenvalues' unit, puts the
    Lorentzian ``conj(d) / (|d|^2 + e^2)`` in its place: finite, and off by a relative e^2/|d|^2 where eigenvalues are apart.

    >>> import torch, spectral_kernels as sk
    >>> w, V = sk.linalg.eig(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    >>> w.real.tolist()
    [2.0, 3.0]
    """
    if has_torch_function_unary(A):
        return handle_torch_function(eig, (A,), A, broadening=broadening, out=out)
    if not isinstance(A, Tensor) and interop.is_array(A):
        return interop.through(eig, A, broadening=broadening, out=out)
    w, V, _, _ = _solve("eig", "linalg.eig", A, (False, True, True), broadening)
    if out is None:
        return _return_types.linalg_eig((w, V))
    _check_pair("linalg.eig", out)
    _forbid_grad_with_out("linalg.eig", A)
    return _return_types.linalg_eig_out((_write_out("linalg.eig", w, out[0]), _write_out("linalg.eig", V, out[1])))


def eigvals(A: Any, *, out: Tensor | None = None) -> Any:
    """Drop-in `torch.linalg.eigvals`: eigenvalues ``(..., n)`` of ``A (..., n, n)``, the same bits as `eig` gives.

    The gradient is ``U diag(g / conj(u^H v)) V^H`` of left and right eigenvectors, without a linear solve.

    >>> import torch, spectral_kernels as sk
    >>> sk.linalg.eigvals(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).real.tolist()
    [1.0, -1.0]
    """
    if has_torch_function_unary(A):
        return handle_torch_function(eigvals, (A,), A, out=out)
    if not isinstance(A, Tensor) and interop.is_array(A):
        return interop.through(eigvals, A, out=out)
    w: Any = _solve("eig", "linalg.eigvals", A, (False, False, True))[0]
    return w if out is None else _write_out("linalg.eigvals", w, out)


def _upper(name: str, UPLO: str) -> bool:
    if not isinstance(UPLO, str):
        raise TypeError(f"{name}: UPLO must be str, not {type(UPLO).__name__}")
    if UPLO not in _UPPER:
        raise RuntimeError(f"{name}: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return _UPPER[UPLO]


def eigh(A: Any, UPLO: str = "L", *, broadening: float = 0.0, out: tuple[Tensor, Tensor] | None = None) -> Any:
    """Drop-in `torch.linalg.eigh`: eigenvalues ``(..., n)``, real and ascending, and eigenvectors ``(..., n, n)`` of Hermitian ``A``.

    Only the triangle that ``UPLO`` names is read.  Arrays, derivatives and ``broadening`` as in `eig`, the Lorentzian being
    ``d / (d^2 + e^2)``; errors as torch's, and `torch.linalg.LinAlgError` for every matrix that holds NaN or Inf.

    >>> import torch, spectral_kernels as sk
    >>> sk.linalg.eigh(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).eigenvalues.round().tolist()
    [1.0, 3.0]
    """
    if has_torch_function_unary(A):
        return handle_torch_function(eigh, (A,), A, UPLO, broadening=broadening, out=out)
    if not isinstance(A, Tensor) and interop.is_array(A):
        return interop.through(eigh, A, UPLO, broadening=broadening, out=out)
    w, V, _ = _solve("eigh", "linalg.eigh", A, (True, _upper("linalg.eigh", UPLO)), broadening)
    if out is None:
        return _return_types.linalg_eigh((w, V))
    _check_pair("linalg.eigh", out)
    _forbid_grad_with_out("linalg.eigh", A)
    return _return_types.linalg_eigh_out((_write_out("linalg.eigh", w, out[0], True), _write_out("linalg.eigh", V, out[1], True)))


def eigvalsh(A: Any, UPLO: str = "L", *, out: Tensor | None = None) -> Any:
    """Drop-in `torch.linalg.eigvalsh`: the eigenvalues that `eigh` gives.

    >>> import torch, spectral_kernels as sk
    >>> sk.linalg.eigvalsh(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).round().tolist()
    [1.0, 3.0]
    """
    if has_torch_function_unary(A):
        return handle_torch_function(eigvalsh, (A,), A, UPLO, out=out)
    if not isinstance(A, Tensor) and interop.is_array(A):
        return interop.through(eigvalsh, A, UPLO, out=out)
    w: Any = _solve("eigh", "linalg.eigvalsh", A, (False, _upper("linalg.eigvalsh", UPLO)))[0]
    if out is None:
        return w
    _forbid_grad_with_out("linalg.eigvalsh", A)
    return _write_out("linalg.eigvalsh", w, out, True)


_REPLACED: dict[Any, Callable[..., Any]] = {torch.linalg.eig: eig, torch.linalg.eigvals: eigvals, torch.linalg.eigh: eigh, torch.linalg.eigvalsh: eigvalsh}


class drop_in(TorchFunctionMode):
    """Inside ``with drop_in():`` ``torch.linalg.eig``, ``eigvals``, ``eigh`` and ``eigvalsh`` run on these kernels.

    >>> import torch, spectral_kernels as sk
    >>> with sk.drop_in():
    ...     torch.linalg.eigvals(torch.eye(2)).real.tolist()
    [1.0, 1.0]
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _REPLACED:
            return func(*args, **kwargs)
        if "input" in kwargs:  # torch's other name for A
            kwargs = {"A": kwargs["input"], **{k: v for k, v in kwargs.items() if k != "input"}}
        return _REPLACED[func](*args, **kwargs)
