"""Class C7 over C10: momentum on the keys, a matrix on the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.transitions.base import Distinct, Transition
from spectral_kernels.api.transitions.momentum import Momentum


@dataclass(frozen=True, eq=False, repr=False)
class KroneckerMomentum(Transition):
    """C7 with a matrix on the values, on two K x V states (S, M), their rows one after another: linear Titans with norm::

        A = [[a I - b eta (k k^T (x) G), -b mu I], [eta (k k^T (x) G), mu I]],  G symmetric

    of order n = 2 K V.  Eigenvalues: a and mu, (K - 1) V times each, and for each eigenvalue gamma of G, ascending, both roots of
    ``x^2 - (a + mu - b eta |k|^2 gamma) x + a mu``, as of a `Momentum` with the learning rate ``eta gamma``.

    Args:
        a, mu, b, eta: ``(...)``, real, as in `Momentum`.
        k: ``(..., K)``.
        G: ``(..., V, V)``, of which the lower triangle is read.

    >>> import torch, spectral_kernels as sk
    >>> a, mu, b, eta = torch.tensor([1.0, 0.0, 1.0, 0.5])
    >>> sk.transitions.KroneckerMomentum(a, mu, b, eta, torch.tensor([1.0]), torch.diag(torch.tensor([1.0, 3.0]))).eigvals().real.tolist()
    [0.5, 0.0, -0.5, -0.0]
    """

    structure: ClassVar[str] = "kronecker_momentum"
    factors: ClassVar[dict[str, int]] = {"a": 0, "mu": 0, "b": 0, "eta": 0, "k": 1, "G": 2}

    a: Tensor
    mu: Tensor
    b: Tensor
    eta: Tensor
    k: Tensor
    G: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k.is_complex():
            raise TypeError(f"KroneckerMomentum: expected real factors, got {self.k.dtype}")
        if self.G.shape[-1] != self.G.shape[-2]:
            raise ValueError(f"KroneckerMomentum: expected G (..., V, V), got {tuple(self.G.shape)}")

    @property
    def size(self) -> int:
        return 2 * self.k.shape[-1] * self.G.shape[-1]

    def dense(self) -> Tensor:
        G = self.G.tril() + self.G.tril(-1).mT
        half = self.size // 2
        update = torch.einsum("...,...i,...j,...vw->...ivjw", self.eta, self.k, self.k, G).reshape(*self.batch_shape, half, half)
        eye = torch.eye(half, dtype=self.dtype, device=self.device)
        a, mu, b = (x[..., None, None] for x in (self.a, self.mu, self.b))
        return torch.cat([torch.cat([a * eye - b * update, -b * mu * eye], -1), torch.cat([update, mu * eye], -1)], -2)

    def distinct(self) -> Distinct:
        gamma = ops.eigh(self.G, False, False, 0.0, None)[0]
        a, mu, b, eta = (x[..., None] for x in (self.a, self.mu, self.b, self.eta * self.k.square().sum(-1)))
        roots = Momentum(a, mu, b, eta * gamma, torch.ones_like(gamma)[..., None], time=None).distinct().values.flatten(-2)
        K, V = self.k.shape[-1], self.G.shape[-1]
        return self._distinct((a.to(roots.dtype), (K - 1) * V), (mu.to(roots.dtype), (K - 1) * V), (roots, min(K, 1)))
