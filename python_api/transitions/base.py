"""The structure classes: what a transition ``A_t`` is made of, and how its eigenvalues follow from that.

A transition is immutable and holds its factors, one set per position; the n x n matrices exist only where `dense` is
called, or a few at a time inside a solver.  A subclass declares its factors, `size` and `dense`, and overrides `distinct` and
`eig` where its structure allows more than the dense solver.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.linalg import EigResult

Self = TypeVar("Self", bound="Transition")
Gauge = Literal["raw", "normalised", "rotated"]

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


class Distinct(NamedTuple):
    """Eigenvalues that a structure tells apart: ``values (..., m)``, of which number j stands ``counts[j]`` times in the spectrum."""

    values: Tensor
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Transition(ABC):
    """What the state is multiplied by at every position: a batch of n x n matrices, held as factors.

    Indexing selects positions, heads or sequences: ``t[index]`` indexes the batch axes (integers, slices, ``...``, None,
    index and boolean tensors, as on a tensor) and shares what the positions share.

    Args:
        valid: boolean, ``batch_shape``: False where a position is padding or the start of a segment, whose transition means
            nothing.  `Spectrum` leaves those out; `eigvals` still gives them.  None: all are valid.
        multiplicity: how often the spectrum stands in that of the whole state: V where A_t acts on the K axis of a K x V state.
        gauge: the choice of state coordinates: "raw" the recurrence as computed, "normalised" with the normaliser inside the state,
            "rotated" with rotary positions undone.
    """

    structure: ClassVar[str]  # the name that dispatch and reports know the class by
    factors: ClassVar[dict[str, int]]  # fields (*batch_shape, ...), with the number of axes behind the batch; all others are shared by the positions

    valid: Tensor | None = field(default=None, kw_only=True)
    multiplicity: int = field(default=1, kw_only=True)
    gauge: Gauge = field(default="raw", kw_only=True)

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

        Differentiable with respect to the factors.
        """
        values, counts = self.distinct()
        values = values if values.is_complex() else torch.complex(values, torch.zeros_like(values))
        if all(count == 1 for count in counts):
            return values
        return torch.cat([v[..., None].expand(*v.shape, count) for v, count in zip(values.unbind(-1), counts, strict=True)], -1)

    def distinct(self) -> Distinct:
        """The eigenvalues without the repetitions that the structure implies; real where the structure's spectrum is."""
        eigenvalues = self._solve(left=False, right=False).eigenvalues
        return Distinct(eigenvalues, (1,) * eigenvalues.shape[-1])

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
        """A copy whose factors are ``function(value, core)``, and `valid` likewise; what is shared stays shared."""
        valid = None if self.valid is None else function(self.valid, 0)
        changed: dict[str, Any] = {name: function(getattr(self, name), core) for name, core in self.factors.items()}
        return replace(self, valid=valid, **changed)

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        """What `eigvals` and `eig` return; here by the dense solver, on `_CHUNK_BYTES` of matrices at a time."""
        batch, count = self.batch_shape, math.prod(self.batch_shape)
        flat = self._map(lambda value, core: value.reshape(count, *value.shape[value.dim() - core :]))
        step = max(1, _CHUNK_BYTES // max(1, self.size**2 * self.dtype.itemsize))
        chunks = [linalg.eig_ex(flat[i : i + step].dense(), left=left, right=right) for i in range(0, max(count, 1), step)]
        parts = ([p for p in field if p is not None] for field in zip(*chunks, strict=True))
        return EigResult(*(torch.cat(p).reshape(*batch, *p[0].shape[1:]) if p else None for p in parts))


