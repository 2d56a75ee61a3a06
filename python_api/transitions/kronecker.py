"""Class C10: rank one on the keys, a matrix on the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Distinct, Transition
from spectral_kernels.api.transitions.vectors import frame


@dataclass(frozen=True, eq=False, repr=False)
class KroneckerRankOne(Transition):
    """C10, ``A = I - eta k k^T (x) G`` with symmetric G, on the rows of a K x V state one after another: TTT-linear with norm.

    Symmetric, of order n = K V.  Eigenvalues: 1, (K - 1) V times, and ``1 - eta |k|^2 gamma_j`` of the eigenvalues gamma_j of G, ascending.

    Args:
        eta: ``(...)``, real.
        k: ``(..., K)``.
        G: ``(..., V, V)``, of which the lower triangle is read.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.KroneckerRankOne(torch.tensor(0.5), torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    >>> t.eigvals().real.tolist()
    [1.0, 1.0, 0.5, -0.5]
    """

    structure: ClassVar[str] = "kronecker_rank_one"
    factors: ClassVar[dict[str, int]] = {"eta": 0, "k": 1, "G": 2}

    eta: Tensor
    k: Tensor
    G: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k.is_complex():
            raise TypeError(f"KroneckerRankOne: expected real factors, got {self.k.dtype}")
        if self.G.shape[-1] != self.G.shape[-2]:
            raise ValueError(f"KroneckerRankOne: expected G (..., V, V), got {tuple(self.G.shape)}")

    @property
    def size(self) -> int:
        return self.k.shape[-1] * self.G.shape[-1]

    @property
    def _symmetric(self) -> Tensor:
        """G from its lower triangle: the derivative is that of the entries read."""
        return self.G.tril() + self.G.tril(-1).mT

    def dense(self) -> Tensor:
        update = torch.einsum("...,...i,...j,...vw->...ivjw", self.eta, self.k, self.k, self._symmetric).reshape(self.shape)
        return torch.eye(self.size, dtype=self.dtype, device=self.device) - update

    def distinct(self) -> Distinct:
        gamma, K = ops.eigh(self._symmetric, False, False, 0.0, None)[0], self.k.shape[-1]
        last = 1 - (self.eta * self.k.square().sum(-1))[..., None] * gamma
        return self._distinct((torch.ones_like(self.eta)[..., None], (K - 1) * self.G.shape[-1]), (last, min(K, 1)))

    def eig(self, *, left: bool = False) -> EigResult:
        basis, of_values = frame(self.k), ops.eigh(self._symmetric, True, False, 0.0, None)[1]
        eye = torch.eye(self.G.shape[-1], dtype=self.dtype, device=self.device).expand_as(of_values)
        parts = [torch.einsum("...ij,...vw->...ivjw", *pair).flatten(-4, -3).flatten(-2) for pair in ((basis[..., 1:], eye), (basis[..., :1], of_values))]
        V = torch.cat(parts, -1)
        return self._eig(V, V if left else None)
