r"""The eigenproblem of one general matrix after another, in double precision.

For ``A`` of shape ``(n, n)``, real or complex, the eigenvalues are the n roots (with multiplicity) of
:math:`\det(A - \lambda I) = 0`.  To each belong a right eigenvector v and a left eigenvector u, both non-zero:

.. math::  A v = \lambda v, \qquad u^H A = \lambda u^H .

The conjugate transpose of the second equation, :math:`A^H u = \bar\lambda u`, says that u is a right eigenvector of
:math:`A^H`, whose eigenvalues are the conjugates: so the left vectors come from a second solve, matched by eigenvalue.
(:math:`V^{-H}` would give them too, but not of a defective matrix, whose V is singular.)

Scale and phase are free: with v also :math:`c\,v` is an eigenvector.  LAPACK's ``geev`` fixes ``|v|_2 = 1`` and turns v so that its
component of largest modulus is real: for a complex matrix positive; for a real matrix, eigenvalues that are real keep a real v,
of either sign, and a conjugate pair gets conjugate vectors.  Balancing, ``D^{-1} A D``, changes the rounding errors and not the problem.

Reference: Anderson et al., LAPACK Users' Guide, 3rd ed., section 2.4.5; ``dgeev.f``, ``zgeev.f``.  Golub and Van Loan, Matrix
Computations, 4th ed., section 7.1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _normalize(V: Tensor, real_matrix: bool) -> Tensor:
    """Columns of ``V (n, n)`` with 2-norm 1, the component of largest modulus real."""
    V = V / torch.linalg.vector_norm(V, dim=-2, keepdim=True)
    k = V.abs().argmax(-2, keepdim=True)
    largest = V.gather(-2, k)
    phase = largest / largest.abs()
    if real_matrix:  # the sign of the real part stays, as LAPACK's plane rotation leaves it
        phase = torch.where(largest.real < 0, -phase, phase)
    V = torch.where(largest.imag == 0, V, V / phase) if real_matrix else V / phase
    return V.scatter(-2, k, V.gather(-2, k).real.to(V.dtype))


def _left_vectors(A: Tensor, w: Tensor) -> Tensor:
    """Right eigenvectors of ``A^H (n, n)``, column j for the eigenvalue nearest to the conjugate of ``w[j]`` that is not taken yet."""
    mu, U = torch.linalg.eig(A.mH)
    free = torch.ones(len(w), dtype=torch.bool, device=A.device)
    columns = []
    for target in w.conj():
        j = int(torch.where(free, (mu - target).abs(), torch.inf).argmin())
        free[j] = False
        columns.append(U[:, j])
    return torch.stack(columns, -1)


def eig_matrix(A: Tensor, left: bool, right: bool) -> tuple[Tensor, Tensor, Tensor, int]:
    """One matrix ``(n, n)`` of any of the four dtypes -> eigenvalues ``(n,)``, V and U ``(n, n)`` complex128, info."""
    n = A.shape[-1]
    nan = torch.full((n, n), complex("nan+nanj"), dtype=torch.complex128, device=A.device)
    if not bool(A.isfinite().all()):
        return nan.diagonal(), nan, nan, n + 1
    wide = A.to(torch.complex128 if A.is_complex() else torch.float64)
    try:
        w, V = torch.linalg.eig(wide)
        U = _left_vectors(wide, w) if left and n else V
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return nan.diagonal(), nan, nan, n
    real_matrix = not A.is_complex()
    return w, _normalize(V, real_matrix) if n and right else V, _normalize(U, real_matrix) if n and left else U, 0


def eig(A: Tensor, left: bool, right: bool, balance: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The contract of the op ``spectral_kernels::eig_batched``, for every device, dtype and size.

    Args:
        A: ``(..., n, n)``, float32, float64, complex64 or complex128.
        left, right: whether left and right eigenvectors are wanted.
        balance: without effect here.

    Returns:
        eigenvalues ``(..., n)``; right and left eigenvectors ``(..., n, n)``, or ``(0,)`` where not wanted, all in the complex
        dtype of ``A``; info ``(...)`` int32: 0, or n where LAPACK did not converge, or n + 1 where the matrix holds NaN or
        Inf; in both cases that matrix's results are NaN.

    >>> import torch
    >>> w, V, U, info = eig(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), True, True, True)
    >>> w.tolist(), info.item()
    ([1j, -1j], 0)
    """
    del balance
    n, batch, dtype = A.shape[-1], A.shape[:-2], A.dtype.to_complex()
    solved = [eig_matrix(a, left, right) for a in A.detach().reshape(-1, n, n)] if A.numel() else []
    w, V, U = (torch.stack([s[i] for s in solved]).to(dtype) if solved else A.new_empty(0, dtype=dtype) for i in range(3))  # type: ignore[misc]
    info = torch.tensor([s[3] for s in solved] or [0] * batch.numel(), dtype=torch.int32, device=A.device)
    none = w.new_empty(0)
    return w.reshape(*batch, n), V.reshape(A.shape) if right else none, U.reshape(A.shape) if left else none, info.reshape(batch)
