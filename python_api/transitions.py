"""The structure classes: what a transition ``A_t`` is made of, and how its eigenvalues follow from that.

A transition is immutable and holds its factors, one set per position; the n x n matrices exist only where `dense` is
called, or a few at a time inside a solver.  A subclass declares its factors, `size` and `dense`, and overrides `_solve` where
its structure allows more than the dense solver.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.linalg import EigResult

Self = TypeVar("Self", bound="Transition")

_CHUNK_BYTES = 64 * 2**20  # of dense matrices in memory at once while a structure runs on the dense solver


def spectral_radius(eigenvalues: Tensor) -> Tensor:
    """``max |lambda|`` over the last axis: ``(..., n)`` to ``(...)`` real; NaN where any is NaN, 0 where n = 0."""
    magnitude = eigenvalues.abs()
    return magnitude.amax(-1) if magnitude.shape[-1] else magnitude.sum(-1)


def horizon(eigenvalues: Tensor) -> Tensor:
    """``-1 / ln|lambda|``: after how many tokens a mode has decayed to 1/e; ``(..., n)`` real, of the same shape.

    0 where lambda is 0, and inf where ``|lambda| >= 1``: that mode never decays.

    >>> import torch
    >>> horizon(torch.tensor([0.0, 0.9, -1.0, 1.5])).round(decimals=2)
    tensor([0.0000, 9.4900,    inf,    inf])
    """
    magnitude = eigenvalues.abs()
    return torch.where(magnitude >= 1, math.inf, -1 / magnitude.log())  # ln 0 = -inf gives 0


@dataclass(frozen=True, eq=False, repr=False)
class Transition(ABC):
    """What the state is multiplied by at every position: a batch of n x n matrices, held as factors.

    Indexing selects positions, heads or sequences: ``t[index]`` indexes the batch axes (integers, slices, ``...``, None,
    index and boolean tensors, as on a tensor) and shares what the positions share.
    """

    structure: ClassVar[str]  # the name that dispatch and reports know the class by
    factors: ClassVar[dict[str, int]]  # fields (*batch_shape, ...), with the number of axes behind the batch; all others are shared by the positions

    @property
    @abstractmethod
    def size(self) -> int:
        """n, the order of the matrix."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The matrices, ``(*batch_shape, n, n)``.  They act on columns: ``dh_t = A_t dh_{t-1}``."""

    @property
    def batch_shape(self) -> torch.Size:
        """Axes in front of the matrix: ``(..., T)``, with heads ``(..., T, H)``."""
        name, core = next(iter(self.factors.items()))
        value: Tensor = getattr(self, name)
        return value.shape[: value.dim() - core]

    @property
    def dtype(self) -> torch.dtype:
        """Of the factors, and of `dense`."""
        return getattr(self, next(iter(self.factors))).dtype

    @property
    def shape(self) -> torch.Size:
        """Shape of `dense`, without forming it."""
        return torch.Size((*self.batch_shape, self.size, self.size))

    def eigvals(self) -> Tensor:
        """Eigenvalues, ``(*batch_shape, n)`` complex; NaN for a matrix that holds NaN or Inf, never an error for the data.

        The result carries no gradient: ``sk.linalg.eigvals(t.dense())`` does.
        """
        return self._solve(left=False, right=False).eigenvalues

    def eig(self, *, left: bool = False) -> EigResult:
        """Eigenvalues, right eigenvectors, on request left ones, and `info`: the contract of `sk.linalg.eig_ex`."""
        return self._solve(left=left, right=True)

    def spectral_radius(self) -> Tensor:
        """``max |lambda|`` at every position, ``batch_shape``.  Solves: with eigenvalues at hand call the function of this name."""
        return spectral_radius(self.eigvals())

    def horizon(self) -> Tensor:
        """``-1 / ln|lambda|`` in tokens, ``(*batch_shape, n)``.  Solves: with eigenvalues at hand call the function of this name."""
        return horizon(self.eigvals())

    def __getitem__(self: Self, index: Any) -> Self:
        """The transitions at `index` of the batch axes."""
        index = index if isinstance(index, tuple) else (index,)
        rest = () if any(i is Ellipsis for i in index) else (Ellipsis,)
        return self._map(lambda value, core: value[(*index, *rest, *(slice(None),) * core)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={tuple(self.shape)}, dtype={self.dtype})"

    def _map(self: Self, function: Callable[[Tensor, int], Tensor]) -> Self:
        """A copy whose factors are ``function(value, core)``; what is shared stays shared."""
        return replace(self, **{name: function(getattr(self, name), core) for name, core in self.factors.items()})

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        """What `eigvals` and `eig` return; here by the dense solver, on `_CHUNK_BYTES` of matrices at a time."""
        batch, count = self.batch_shape, math.prod(self.batch_shape)
        flat = self._map(lambda value, core: value.reshape(count, *value.shape[value.dim() - core :]))
        step = max(1, _CHUNK_BYTES // max(1, self.size**2 * self.dtype.itemsize))
        with torch.no_grad():
            chunks = [linalg.eig_ex(flat[i : i + step].dense(), left=left, right=right) for i in range(0, max(count, 1), step)]
        parts = ([p for p in field if p is not None] for field in zip(*chunks, strict=True))
        return EigResult(*(torch.cat(p).reshape(*batch, *p[0].shape[1:]) if p else None for p in parts))


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Transition):
    """The matrices themselves, ``(..., n, n)``: for a transition without structure.

    >>> import torch, spectral_kernels as sk
    >>> sk.transitions.Dense(torch.tensor([[0.0, 2.0], [0.5, 0.0]])).spectral_radius().item()
    1.0
    """

    structure: ClassVar[str] = "dense"
    factors: ClassVar[dict[str, int]] = {"A": 2}

    A: Tensor

    def __post_init__(self) -> None:
        if self.A.dim() < 2 or self.A.shape[-1] != self.A.shape[-2]:
            raise ValueError(f"Dense: expected matrices A of shape (..., n, n), got {tuple(self.A.shape)}")

    @property
    def size(self) -> int:
        return self.A.shape[-1]

    def dense(self) -> Tensor:
        return self.A

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        return linalg.eig_ex(self.A.detach(), left=left, right=right)  # the matrices are in memory already: no chunks


@dataclass(frozen=True, eq=False, repr=False)
class Jacobian(Transition):
    """Jacobian of one step of a gated recurrent cell, whose state has S parts of n units (RNN and GRU 1: h; LSTM 2: h, c).

    In n x n blocks over the parts, with ``W_g`` the recurrent weights of gate g, which act on the first part, h:

        J_ij = Diag(diagonal_ij) + [j = 0] sum_g Diag(coefficient_ig) W_g

    Args:
        weight: ``(G, n, n)``, the recurrent weights of G gates, shared by all positions; from `families`, views of the cell's own.
        coefficient: ``(..., S, G, n)``, what each gate's pre-activation does to each part of the state.
        diagonal: ``(..., S, S, n)``, what each unit's parts do to each other directly.

    `dense` is ``(..., S n, S n)``.  The eigenvalues come from the dense solver.
    """

    structure: ClassVar[str] = "jacobian"
    factors: ClassVar[dict[str, int]] = {"coefficient": 3, "diagonal": 3}

    weight: Tensor
    coefficient: Tensor
    diagonal: Tensor

    def __post_init__(self) -> None:
        W, c, d = self.weight, self.coefficient, self.diagonal
        if W.dim() != 3 or W.shape[1] != W.shape[2]:
            raise ValueError(f"Jacobian: expected weight of shape (G, n, n), got {tuple(W.shape)}")
        if c.dim() < 3 or c.shape[-2:] != W.shape[:2]:
            raise ValueError(f"Jacobian: expected coefficient of shape (..., S, {W.shape[0]}, {W.shape[1]}), got {tuple(c.shape)}")
        if d.shape != (*c.shape[:-2], c.shape[-3], W.shape[1]):
            raise ValueError(f"Jacobian: expected diagonal of shape {(*c.shape[:-2], c.shape[-3], W.shape[1])}, got {tuple(d.shape)}")

    @property
    def size(self) -> int:
        return self.coefficient.shape[-3] * self.weight.shape[-1]

    def dense(self) -> Tensor:
        parts, n = self.coefficient.shape[-3], self.weight.shape[-1]
        J = self.coefficient.new_zeros(*self.batch_shape, parts, n, parts, n)
        J[..., 0, :] = torch.einsum("...ign,gnm->...inm", self.coefficient, self.weight)
        J.diagonal(dim1=-3, dim2=-1).add_(self.diagonal)  # the view is (..., S, S, n)
        return J.reshape(self.shape)
