r"""The eigenproblem of one symmetric or Hermitian matrix after another, in double precision.

For :math:`A = A^H` of shape ``(n, n)`` there is a unitary V with :math:`A = V\,\mathrm{diag}(w)\,V^H` and real, ascending w (the spectral
theorem): the columns of V are orthonormal eigenvectors, each free up to a sign (real) or a phase (complex), and where eigenvalues are
equal up to a rotation of their subspace.  A is given by one triangle: the other one is not read, nor the imaginary part of the diagonal.

Reference: LAPACK ``dsyev.f``, ``zheev.f``.  Golub and Van Loan, Matrix Computations, 4th ed., section 8.1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def from_triangle(A: Tensor, upper: bool) -> Tensor:
    """The Hermitian ``(n, n)`` matrix that the upper or lower triangle of ``A`` stands for."""
    strict = A.triu(1) if upper else A.tril(-1)
    diagonal = A.diagonal()
    return strict + strict.mH + torch.diag(diagonal.real.to(A.dtype) if A.is_complex() else diagonal)


def eigh(A: Tensor, vectors: bool, upper: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Same contract as the op ``spectral_kernels::eigh_batched``; every matrix on its own, in double precision.

    ``A (..., n, n)`` of any of the four dtypes -> eigenvalues ``(..., n)``, eigenvectors ``(..., n, n)`` or ``(0,)``, info ``(...)``: 0, or
    n + 1 and NaN for a matrix whose triangle holds NaN or Inf.
    """
    n, batch = A.shape[-1], A.shape[:-2]
    wide = A.to(torch.complex128 if A.is_complex() else torch.float64).reshape(batch.numel(), n, n)
    w = torch.full((len(wide), n), torch.nan, dtype=torch.float64, device=A.device)
    V = torch.full_like(wide, torch.nan)
    info = torch.full((len(wide),), n + 1, dtype=torch.int32, device=A.device)
    for b, triangle in enumerate(wide):
        matrix = from_triangle(triangle, upper)
        if bool(matrix.isfinite().all()):
            w[b], V[b] = torch.linalg.eigh(matrix)
            info[b] = 0
    w = w.to(A.dtype.to_real()).reshape(*batch, n)
    return w, V.to(A.dtype).reshape(A.shape) if vectors else A.new_empty(0), info.reshape(batch)
