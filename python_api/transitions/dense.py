"""Class C8 without structure: the matrices themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition


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
        super().__post_init__()
        if self.A.shape[-1] != self.A.shape[-2]:
            raise ValueError(f"Dense: expected matrices A of shape (..., n, n), got {tuple(self.A.shape)}")

    @property
    def size(self) -> int:
        return self.A.shape[-1]

    def dense(self) -> Tensor:
        return self.A

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        return linalg.eig_ex(self.A, left=left, right=right)  # the matrices are in memory already: no chunks
