"""Class C12: states on levels that are merged as a binary counter carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectral_kernels.api.transitions.base import Self, Transition
from spectral_kernels.api.transitions.values import Distinct


@dataclass(frozen=True, eq=False, repr=False)
class LevelMerge(Transition):
    """C12, ``A = M_l (x) A_inner``: log-linear attention, whose state is one inner state per level, level by level.

    At position t, with l the number of trailing zeros of t, the states of the levels 0 to l are added up in level l + 1 and
    cleared: ``M[l+1, 0..l] = 1``, the rows 0 to l are 0, above level l + 1 M is the identity; level l + 1 was empty, and ``M[l+1, l+1] = 0``.
    M has min(l + 2, L) eigenvalues 0, in a Jordan chain, and else 1: the spectrum is 0, l + 2 times, and that of the inner transition, L - l - 2 times.
    Which are which differs from position to position, so `distinct` gives the inner values level by level, 0 where a level is merged.
    Eigenvectors come from the dense solver: M is defective.

    Args:
        inner: the transition of one level.
        level: ``(...)``, integers l >= -2, broadcast against the batch axes of `inner`; -2: nothing is merged.
        levels: L.

    `valid`, `multiplicity`, `gauge` and `time` are those given here, whatever the inner transition's own are.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.LevelMerge(sk.transitions.Scalar(torch.tensor([0.9, 0.9])), torch.tensor([0, 1]), 4)
    >>> t.eigvals().real.round(decimals=1).tolist()
    [[0.0, 0.0, 0.8999999761581421, 0.8999999761581421], [0.0, 0.0, 0.0, 0.8999999761581421]]
    """

    structure: ClassVar[str] = "level_merge"
    factors: ClassVar[dict[str, int]] = {"level": 0}
    integral: ClassVar[frozenset[str]] = frozenset({"level"})

    inner: Transition
    level: Tensor
    levels: int

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Transition):
            raise TypeError(f"LevelMerge: inner must be Transition, not {type(self.inner).__name__}")
        if self.levels < 1:
            raise ValueError(f"LevelMerge: expected levels >= 1, got {self.levels}")
        inner = replace(self.inner, valid=None, time=None)
        if isinstance(self.level, Tensor):
            try:
                batch = torch.broadcast_shapes(self.level.shape, inner.batch_shape)
            except RuntimeError:
                raise ValueError(f"LevelMerge: expected level to broadcast with the batch shape of inner, {tuple(inner.batch_shape)}, got {tuple(self.level.shape)}") from None
            object.__setattr__(self, "level", self.level.expand(batch))
            inner = inner._map(lambda value, core: value.expand((*batch, *value.shape[value.dim() - core :])))
        super().__post_init__()
        object.__setattr__(self, "inner", replace(inner, time=self.time))

    @property
    def size(self) -> int:
        return self.levels * self.inner.size

    @property
    def dtype(self) -> torch.dtype:
        return self.inner.dtype

    def _merge(self) -> Tensor:
        """M, ``(..., L, L)``."""
        place = torch.arange(self.levels, device=self.device)
        level, row, column = self.level[..., None, None], place[:, None], place
        return (((row == column) & (row > level + 1)) | ((row == level + 1) & (column <= level))).to(self.dtype)

    def dense(self) -> Tensor:
        return torch.einsum("...lm,...ij->...limj", self._merge(), self.inner.dense()).reshape(self.shape)

    def distinct(self) -> Distinct:
        values, counts = self.inner.distinct()
        kept = torch.arange(self.levels, device=self.device) > self.level[..., None] + 1
        return Distinct((kept[..., None] * values[..., None, :]).flatten(-2), counts * self.levels)

    def _map(self: Self, function: Callable[[Tensor, int], Tensor], **changes: Any) -> Self:
        inner: Transition = self.inner  # type: ignore[attr-defined]
        return super()._map(function, inner=inner._map(function, **changes), **changes)
