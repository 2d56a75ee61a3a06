"""Class C3: a multiple of the identity and a matrix of rank one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.householder import LowRankUpdate, Updating
from spectral_kernels.api.transitions.values import Distinct
from spectral_kernels.api.transitions.vectors import frame, unit, with_phase


@dataclass(frozen=True, eq=False, repr=False)
class RankOne(Updating):
    """C3, ``A = alpha I - beta k p^T``: DeltaNet, Gated DeltaNet (``beta = alpha beta'``), Comba, PaTH, Longhorn, TTT without norm.

    Eigenvalues alpha, n - 1 times, and ``alpha - beta p^T k``, the last.  Right eigenvectors: the complement of p, and k; left ones: the
    complement of k, and p.  With p = k the matrix is symmetric; where ``p^T k = 0`` and neither is 0 it is defective, and k stands in
    the complement of p a second time: as with LAPACK the eigenvector matrix is then singular.  The condition of the last
    eigenvalue is ``|k| |p| / |p^T k|``.

    Args:
        alpha, beta: ``(...)``, real or complex.
        k: ``(..., n)``.
        p: ``(..., n)``; None: k, whose product with itself is ``k^T k``, without conjugation.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.RankOne(torch.tensor(1.0), torch.tensor(2.0), torch.tensor([0.6, 0.8, 0.0]))
    >>> t.eigvals().real.round(decimals=3).tolist()
    [1.0, 1.0, -1.0]
    """

    structure: ClassVar[str] = "rank_one"
    factors: ClassVar[dict[str, int]] = {"alpha": 0, "beta": 0, "k": 1, "p": 1}

    alpha: Tensor
    beta: Tensor
    k: Tensor
    p: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p is not None and self.p.shape != self.k.shape:
            raise ValueError(f"RankOne: expected p of the length of k, got {tuple(self.p.shape)} and {tuple(self.k.shape)}")

    @property
    def size(self) -> int:
        return self.k.shape[-1]

    @property
    def _p(self) -> Tensor:
        return self.k if self.p is None else self.p

    def dense(self) -> Tensor:
        eye = torch.eye(self.size, dtype=self.dtype, device=self.device)
        return self.alpha[..., None, None] * eye - (self.beta[..., None] * self.k)[..., :, None] * self._p[..., None, :]

    def eigvals(self) -> Tensor:
        return super().eigvals() if self.k.is_complex() else ops.rank_one_eigvals(self.alpha, self.beta, self.k, self.p)

    def distinct(self) -> Distinct:
        if not self.k.is_complex():
            values = ops.rank_one_eigvals(self.alpha, self.beta, self.k, self.p, True).real
            return Distinct(values, (self.size - 1, 1) if self.size > 1 else (1,) * self.size)
        last = self.alpha - self.beta * (self._p * self.k).sum(-1)
        return self._distinct((self.alpha[..., None], self.size - 1), (last[..., None], min(self.size, 1)))

    def eig(self, *, left: bool = False) -> EigResult:
        k, p = self.k, self._p.conj().resolve_conj()  # p^T x = 0 is orthogonality to conj(p)
        of_p = frame(p)
        updated = ((self.beta != 0) & (k != 0).any(-1) & (p != 0).any(-1))[..., None]  # else A = alpha I, of which any basis serves
        right = self._columns(of_p, torch.where(updated, unit(k), of_p[..., 0]) if self.size else k)
        if not left or (self.p is None and not k.is_complex()):
            return self._eig(right, right if left else None)
        of_k = frame(k)
        return self._eig(right, self._columns(of_k, torch.where(updated, unit(p), of_k[..., 0]) if self.size else k))

    def _columns(self, basis: Tensor, last: Tensor) -> Tensor:
        """The complement that a `frame` spans, and the last eigenvector."""
        return with_phase(torch.cat([basis[..., 1:], last[..., None]], -1)[..., : self.size])

    @property
    def rank(self) -> int:
        return 1

    def low_rank(self) -> LowRankUpdate:
        core = self.beta[..., None, None]
        right = None if self.p is None else self.p[..., None, :]
        return LowRankUpdate(self.alpha, self.k[..., None, :], core, right, valid=self.valid, multiplicity=self.multiplicity, gauge=self.gauge, time=self.time)
