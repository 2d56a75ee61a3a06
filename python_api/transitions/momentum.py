"""Class C7: delta rules with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct, as_complex
from spectral_kernels.api.transitions.vectors import frame, unit


@dataclass(frozen=True, eq=False, repr=False)
class Momentum(Transition):
    """C7, on the state (S, M): ``M_t = mu M + eta k (p^T S - v)``, ``S_t = a S - b M_t``; momentum DeltaNet, linear Titans::

        A = [[a I - b eta k p^T, -b mu I], [eta k p^T, mu I]]

    of order n = 2 K.  Eigenvalues: a and mu, K - 1 times each, and the roots of ``x^2 - (a + mu - b eta p^T k) x + a mu``, whichever of
    them is the larger in modulus first; a complex pair where ``(a + mu - b eta p^T k)^2 < 4 a mu``.  The eigenvectors are x (x) y of the
    complement of p (left ones: of k) and of k (left: p).  Defective where a = mu and b mu is not 0, and at a double root.

    Args:
        a, mu, b, eta: ``(...)``, real: the decay of S, that of M, the step, the learning rate.
        k: ``(..., K)``.
        p: ``(..., K)``; None: k.

    The derivative of a double root is infinite; here it is that of the mean of both.

    >>> import torch, spectral_kernels as sk
    >>> a, mu, b, eta = torch.tensor([0.9, 0.8, 1.0, 0.3])
    >>> sk.transitions.Momentum(a, mu, b, eta, torch.tensor([0.6, 0.8])).eigvals().abs().round(decimals=3).tolist()
    [0.8999999761581421, 0.800000011920929, 0.8489999771118164, 0.8489999771118164]
    """

    structure: ClassVar[str] = "momentum"
    factors: ClassVar[dict[str, int]] = {"a": 0, "mu": 0, "b": 0, "eta": 0, "k": 1, "p": 1}

    a: Tensor
    mu: Tensor
    b: Tensor
    eta: Tensor
    k: Tensor
    p: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k.is_complex():
            raise TypeError(f"Momentum: expected real factors, got {self.k.dtype}")
        if self.p is not None and self.p.shape != self.k.shape:
            raise ValueError(f"Momentum: expected p of the length of k, got {tuple(self.p.shape)} and {tuple(self.k.shape)}")

    @property
    def size(self) -> int:
        return 2 * self.k.shape[-1]

    @property
    def _p(self) -> Tensor:
        return self.k if self.p is None else self.p

    def _block(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``[[a - b s, -b mu], [s, mu]]`` with ``s = eta p^T k``: A on ``k (x) (S, M)``."""
        s = self.eta * (self._p * self.k).sum(-1)
        return self.a - self.b * s, -self.b * self.mu, s, self.mu

    def dense(self) -> Tensor:
        return momentum_matrix(self.a, self.mu, self.b, (self.eta[..., None] * self.k)[..., :, None] * self._p[..., None, :])

    def _roots(self) -> Tensor:
        """Both roots, ``(..., 2)`` complex."""
        a11, a12, a21, a22 = self._block()
        mean, half = (a11 + a22) / 2, (a11 - a22) / 2
        discriminant = half.square() + a12 * a21  # the difference of the diagonal, not the trace, as in LAPACK's lanv2
        real, double = discriminant >= 0, discriminant == 0
        root = discriminant.abs().masked_fill(double, 1).sqrt().masked_fill(double, 0)
        large = mean + torch.where(mean < 0, -root, root)
        small = torch.where(large == 0, large, self.a * self.mu / large.masked_fill(large == 0, 1))  # the product of the roots: no cancellation
        zero = torch.zeros_like(root)
        first = torch.complex(torch.where(real, large, mean), torch.where(real, zero, root))
        second = torch.complex(torch.where(real & ~double, small, mean), torch.where(real, zero, -root))
        return torch.stack([first, second], -1)

    def distinct(self) -> Distinct:
        roots, K = self._roots(), self.k.shape[-1]
        a, mu = (as_complex(x)[..., None] for x in (self.a, self.mu))
        return self._distinct((a, K - 1), (mu, K - 1), (roots, min(K, 1)))

    def eig(self, *, left: bool = False) -> EigResult:
        return self._eig(self._vectors(False), self._vectors(True) if left else None)

    def _vectors(self, left: bool) -> Tensor:
        """Eigenvectors ``(..., 2 K, 2 K)`` from bases of R^K and of the two-by-two blocks, in the order of `distinct`.

        On the complement of p, A is ``[[a, -b mu], [0, mu]]``; the left vectors are those of the transposed blocks, with k for p.
        """
        k, p = (self._p, self.k) if left else (self.k, self._p)
        basis, K = frame(p), k.shape[-1]
        if K == 0:
            return basis
        updated = ((self.eta != 0) & (k != 0).any(-1) & (p != 0).any(-1))[..., None]
        last = torch.where(updated, unit(k), basis[..., 0])
        a11, a12, a21, a22 = self._block()
        zero = torch.zeros_like(self.a)
        roots, a, mu = self._roots(), as_complex(self.a), as_complex(self.mu)
        rest, own = ((self.a, zero, a12, self.mu), (a11, a21, a12, a22)) if left else ((self.a, a12, zero, self.mu), (a11, a12, a21, a22))
        first, second = _vector_of_block(rest, a, True), _vector_of_block(rest, mu, False)
        columns = [_kronecker(pair, basis[..., 1:]) for pair in (first, second)]
        columns += [_kronecker(_vector_of_block(own, roots[..., i], i == 0), last[..., None]) for i in range(2)]
        V = torch.cat(columns, -1)
        return V.conj().resolve_conj() if left else V  # u^H A = lambda u^H: of A^T the eigenvector is conj(u)


def momentum_matrix(a: Tensor, mu: Tensor, b: Tensor, update: Tensor) -> Tensor:
    """``[[a I - b U, -b mu I], [U, mu I]]`` of an update U ``(..., m, m)``; a, mu, b ``(...)``."""
    eye = torch.eye(update.shape[-1], dtype=update.dtype, device=update.device)
    a, mu, b = (x[..., None, None] for x in (a, mu, b))
    return torch.cat([torch.cat([a * eye - b * update, -b * mu * eye], -1), torch.cat([update, mu * eye], -1)], -2)


def _vector_of_block(block: tuple[Tensor, Tensor, Tensor, Tensor], root: Tensor, first: bool) -> Tensor:
    """The unit eigenvector ``(..., 2)`` of a real two-by-two block for one of its eigenvalues.

    Of ``(a12, root - a11)`` and ``(root - a22, a21)`` the longer one; of a multiple of the identity e_1 or e_2, as `first` says.
    """
    a11, a12, a21, a22 = (x.to(root.dtype) for x in block)
    x, y = torch.stack([a12, root - a11], -1), torch.stack([root - a22, a21], -1)
    norms = [torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (x, y)]
    v = torch.where(norms[0] >= norms[1], x, y)
    scale = torch.maximum(*norms)
    unit_vector = torch.tensor([1, 0] if first else [0, 1], dtype=root.dtype, device=root.device)
    v = torch.where(scale == 0, unit_vector, v / scale.masked_fill(scale == 0, 1))
    largest = torch.where(v[..., :1].abs() >= v[..., 1:].abs(), v[..., :1], v[..., 1:])
    return torch.where((root.imag == 0)[..., None], v, v * torch.sgn(largest).conj())


def _kronecker(pair: Tensor, columns: Tensor) -> Tensor:
    """``pair (..., 2) (x) columns (..., K, m)``: ``(..., 2 K, m)``."""
    return (pair[..., :, None, None] * columns[..., None, :, :]).flatten(-3, -2)
