"""Class C10: rank one on the keys, a matrix on the values; and class C7 over it, with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.momentum import Momentum, momentum_matrix
from spectral_kernels.api.transitions.values import Distinct
from spectral_kernels.api.transitions.vectors import frame


class _OnKeysAndValues(Transition):
    """What acts on the rows of a K x V state by ``eta k k^T (x) G``, G symmetric."""

    eta: Tensor
    k: Tensor
    G: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k.is_complex():
            raise TypeError(f"{type(self).__name__}: expected real factors, got {self.k.dtype}")
        if self.G.shape[-1] != self.G.shape[-2]:
            raise ValueError(f"{type(self).__name__}: expected G (..., V, V), got {tuple(self.G.shape)}")

    @property
    def _symmetric(self) -> Tensor:
        """G from its lower triangle: the derivative is that of the entries read."""
        return self.G.tril() + self.G.tril(-1).mT

    def _update(self) -> Tensor:
        """``eta k k^T (x) G``, ``(..., K V, K V)``."""
        order = self.k.shape[-1] * self.G.shape[-1]
        return torch.einsum("...,...i,...j,...vw->...ivjw", self.eta, self.k, self.k, self._symmetric).reshape(*self.batch_shape, order, order)


@dataclass(frozen=True, eq=False, repr=False)
class KroneckerRankOne(_OnKeysAndValues):
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

    @property
    def size(self) -> int:
        return self.k.shape[-1] * self.G.shape[-1]

    def dense(self) -> Tensor:
        return torch.eye(self.size, dtype=self.dtype, device=self.device) - self._update()

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


@dataclass(frozen=True, eq=False, repr=False)
class KroneckerMomentum(_OnKeysAndValues):
    """C7 with a matrix on the values, on two K x V states (S, M), their rows one after another: linear Titans with norm::

        A = [[a I - b eta (k k^T (x) G), -b mu I], [eta (k k^T (x) G), mu I]],  G symmetric

    of order n = 2 K V.  Eigenvalues: a and mu, (K - 1) V times each, and for each eigenvalue gamma of G, ascending, both roots of
    ``x^2 - (a + mu - b eta |k|^2 gamma) x + a mu``, as of a `Momentum` with the learning rate ``eta gamma``.

    Args:
        a, mu, b, eta: ``(...)``, real, as in `Momentum`.
        k: ``(..., K)``.
        G: ``(..., V, V)``, of which the lower triangle is read.

    >>> import torch, spectral_kernels as sk
    >>> a, mu, b, eta = torch.tensor([1.0, 0.5, 1.0, 0.5])
    >>> t = sk.transitions.KroneckerMomentum(a, mu, b, eta, torch.tensor([1.0]), torch.diag(torch.tensor([1.0, 9.0])))
    >>> t.eigvals().abs().round(decimals=2)
    tensor([0.7100, 0.7100, 2.8200, 0.1800])
    """

    structure: ClassVar[str] = "kronecker_momentum"
    factors: ClassVar[dict[str, int]] = {"a": 0, "mu": 0, "b": 0, "eta": 0, "k": 1, "G": 2}

    a: Tensor
    mu: Tensor
    b: Tensor
    eta: Tensor
    k: Tensor
    G: Tensor

    @property
    def size(self) -> int:
        return 2 * self.k.shape[-1] * self.G.shape[-1]

    def dense(self) -> Tensor:
        return momentum_matrix(self.a, self.mu, self.b, self._update())

    def _along_values(self, vectors: bool) -> tuple[Momentum, Tensor]:
        """A `Momentum` of batch ``(..., V)`` for every eigenvalue of G, and the eigenvectors of G."""
        gamma, U, _ = ops.eigh(self._symmetric, vectors, False, 0.0, None)
        a, mu, b, eta = (x[..., None] for x in (self.a, self.mu, self.b, self.eta))
        return Momentum(a, mu, b, eta * gamma, self.k[..., None, :], time=None), U

    def distinct(self) -> Distinct:
        roots = self._along_values(False)[0].distinct().values[..., -2:].flatten(-2)
        K, V = self.k.shape[-1], self.G.shape[-1]
        a, mu = (x[..., None].to(roots.dtype) for x in (self.a, self.mu))
        return self._distinct((a, (K - 1) * V), (mu, (K - 1) * V), (roots, min(K, 1)))

    def eig(self, *, left: bool = False) -> EigResult:
        along, of_values = self._along_values(True)
        _, of_keys, of_keys_left, _ = along.eig(left=left)
        return self._eig(self._combined(of_keys, of_values), None if of_keys_left is None else self._combined(of_keys_left, of_values))

    def _combined(self, of_keys: Tensor, of_values: Tensor) -> Tensor:
        """``x (x) u`` of the vectors x ``(..., V, 2 K, 2 K)`` that belong to each u, in the order of `distinct`."""
        columns = torch.einsum("...jsc,...wj->...swjc", of_keys, of_values.to(of_keys.dtype)).flatten(-4, -3)
        own = min(self.k.shape[-1], 1) * 2  # the last columns of each u, its own two roots; the others are shared by all u
        count = columns.shape[-1] - own
        return torch.cat([columns[..., :count].transpose(-2, -1).flatten(-2), columns[..., count:].flatten(-2)], -1)
