"""Class C6: products of (generalised) Householder reflectors, and the updates of low rank that products of delta rules are."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectral_kernels import dispatch, ops
from spectral_kernels.api import linalg
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct


@dataclass(frozen=True, eq=False, repr=False)
class Updating(Transition):
    """A multiple of the identity and an update of rank m: what the products of such have in common."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """m, the rank of the update, or more."""

    @abstractmethod
    def low_rank(self) -> LowRankUpdate:
        """The same as a `LowRankUpdate`."""

    def _window_is_closed(self, w: int) -> bool:
        return w * self.rank < self.size

    def _times(self, earlier: Transition) -> Transition | None:
        if not isinstance(earlier, Updating) or self.rank + earlier.rank >= self.size:
            return None
        first, then = earlier.low_rank(), self.low_rank()
        below = -then.core @ (then._right @ first.left.mT) @ first.core
        above = pad(then.alpha[..., None, None] * first.core, (0, then.rank))
        core = torch.cat([above, torch.cat([below, first.alpha[..., None, None] * then.core], -1)], -2)
        left = torch.cat([first.left, then.left], -2)
        right = None if first.right is None and then.right is None else torch.cat([first._right, then._right], -2)
        return LowRankUpdate(then.alpha * first.alpha, left, core, right, time=None)


@dataclass(frozen=True, eq=False, repr=False)
class LowRankUpdate(Updating):
    """``A = alpha I - left^T core right`` of rank m below n: windows of delta rules, in compact WY form.

    The product of two is one again, of the sum of their ranks and without a quotient, so that alpha may be 0 (`Transition.window`)::

        (a2 I - L2^T C2 R2)(a1 I - L1^T C1 R1) = a2 a1 I - [L1; L2]^T [[a2 C1, 0], [-C2 (R2 L1^T) C1, a1 C2]] [R1; R2]

    Eigenvalues: alpha, n - m times, and those of the m x m matrix ``alpha I - core right left^T`` (Sylvester's determinant identity).
    Where m >= n they are those of the dense matrix.  Eigenvectors come from the dense solver.

    Args:
        alpha: ``(...)``.
        left: ``(..., m, n)``, in rows; no conjugation, as in `RankOne`.
        core: ``(..., m, m)``.
        right: ``(..., m, n)``; None: left.

    Source: Schreiber and Van Loan, A storage-efficient WY representation for products of Householder transformations (1989).

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.RankOne(torch.ones(5), torch.ones(5), torch.eye(5))
    >>> t.window(3)
    LowRankUpdate(shape=(3, 5, 5), dtype=torch.float32)
    >>> t.window(3).eigvals()[0].real.tolist()
    [1.0, 1.0, 0.0, 0.0, 0.0]
    """

    structure: ClassVar[str] = "low_rank_update"
    factors: ClassVar[dict[str, int]] = {"alpha": 0, "left": 2, "core": 2, "right": 2}

    alpha: Tensor
    left: Tensor
    core: Tensor
    right: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        m = self.left.shape[-2]
        if self.core.shape[-2:] != (m, m) or (self.right is not None and self.right.shape != self.left.shape):
            got = ", ".join(f"{f} {tuple(value.shape)}" for f, value in self._given().items())
            raise ValueError(f"LowRankUpdate: expected left and right (..., m, n) and core (..., m, m), got {got}")

    @property
    def size(self) -> int:
        return self.left.shape[-1]

    @property
    def rank(self) -> int:
        return self.left.shape[-2]

    @property
    def _right(self) -> Tensor:
        return self.left if self.right is None else self.right

    def dense(self) -> Tensor:
        eye = torch.eye(self.size, dtype=self.dtype, device=self.device)
        return self.alpha[..., None, None] * eye - self.left.mT @ (self.core @ self._right)

    def distinct(self) -> Distinct:
        if self.rank >= self.size:
            return super().distinct()
        eye = torch.eye(self.rank, dtype=self.dtype, device=self.device)
        small = linalg.eig_ex(self.alpha[..., None, None] * eye - self.core @ (self._right @ self.left.mT), right=False).eigenvalues
        return self._distinct((self.alpha[..., None].to(small.dtype), self.size - self.rank), (small, 1))

    def low_rank(self) -> LowRankUpdate:
        return self


@dataclass(frozen=True, eq=False, repr=False)
class HouseholderProduct(Updating):
    """C6, ``A = alpha P_m ... P_1`` with ``P_j = I - beta_j k_j k_j^T``: (Gated) DeltaProduct.

    Eigenvalues: alpha, n - m times, and alpha times those of ``I - T K^T K`` (m x m), where ``K = [k_1 ... k_m]`` and
    ``T = (I + Diag(beta) stril(K^T K))^{-1} Diag(beta)``, so that ``A = alpha (I - K T K^T)``; beta_j may be 0.  Where m >= n they are
    those of the dense matrix.  ``|lambda| <= |alpha|`` for beta in [0, 2] and unit k; complex pairs for m >= 2: with beta = 2 and m = 2
    a rotation by twice the angle between k_1 and k_2.  Eigenvectors come from the dense solver.

    Args:
        alpha: ``(...)``, real.
        beta: ``(..., m)``.
        k: ``(..., m, n)``; k_1 is applied first.

    Source: Bischof and Van Loan, The WY representation for products of Householder matrices (1987); Siems et al., arXiv:2502.10297.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])
    >>> sk.transitions.HouseholderProduct(torch.tensor(1.0), torch.full((2,), 2.0), k).eigvals().angle().round(decimals=3)
    tensor([ 0.0000,  1.2870, -1.2870])
    """

    structure: ClassVar[str] = "householder_product"
    factors: ClassVar[dict[str, int]] = {"alpha": 0, "beta": 1, "k": 2}

    alpha: Tensor
    beta: Tensor
    k: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k.is_complex():
            raise TypeError(f"HouseholderProduct: expected real factors, got {self.k.dtype}")
        if self.beta.shape != self.k.shape[:-1]:
            raise ValueError(f"HouseholderProduct: expected beta (..., m) and k (..., m, n), got {tuple(self.beta.shape)} and {tuple(self.k.shape)}")

    @property
    def size(self) -> int:
        return self.k.shape[-1]

    @property
    def rank(self) -> int:
        return self.k.shape[-2]

    def dense(self) -> Tensor:
        A = self.alpha[..., None, None] * torch.eye(self.size, dtype=self.dtype, device=self.device)
        for beta, k in zip(self.beta.unbind(-1), self.k.unbind(-2), strict=True):
            A = A - (beta[..., None] * k)[..., :, None] * (k[..., None, :] @ A)
        return A

    def distinct(self) -> Distinct:
        m, n = self.rank, self.size
        if m >= max(n, 2):
            return super().distinct()
        if m == 1:
            last = self.alpha * (1 - self.beta[..., 0] * self.k.square().sum((-2, -1)))
            return self._distinct((self.alpha[..., None], n - 1), (last[..., None], min(n, 1)))
        small = ops.householder_eigvals(self.beta, self.k)[0] if m <= dispatch.ANY_BATCH else linalg.eig_ex(ops.householder_core(self.beta, self.k), right=False).eigenvalues
        return self._distinct((self.alpha[..., None].to(small.dtype), n - m), (self.alpha[..., None] * small, 1))

    def low_rank(self) -> LowRankUpdate:
        below = self.beta[..., None] * (self.k @ self.k.mT).tril(-1)  # T of the class solves (I + below) T = Diag(beta)
        core = self.alpha[..., None, None] * torch.linalg.solve_triangular(below, torch.diag_embed(self.beta), upper=False, unitriangular=True)
        return LowRankUpdate(self.alpha, self.k, core, valid=self.valid, multiplicity=self.multiplicity, gauge=self.gauge, time=self.time)
