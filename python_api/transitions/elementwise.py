"""Classes C0 and C1: scalars and diagonals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels.api.transitions.base import Distinct, Transition


@dataclass(frozen=True, eq=False, repr=False)
class Scalar(Transition):
    """C0, ``A = alpha I``: softmax and linear attention, RetNet, Mamba-2.

    Args:
        value: ``(...)``, real or complex: alpha, or ``ln alpha`` where `log` is set.
        n: the order.  The state of softmax attention has no bound on n: there, and wherever one number per position is wanted, 1.
        log: keep ln alpha: it resolves alpha next to 1, and below the smallest number of the dtype.

    >>> import torch, spectral_kernels as sk
    >>> sk.transitions.Scalar(torch.tensor([0.9, 0.5])).horizon().round(decimals=2).tolist()
    [[9.489999771118164], [1.440000057220459]]
    """

    structure: ClassVar[str] = "scalar"
    factors: ClassVar[dict[str, int]] = {"value": 0}

    value: Tensor
    n: int = 1
    log: bool = False

    @property
    def size(self) -> int:
        return self.n

    @property
    def alpha(self) -> Tensor:
        return self.value.exp() if self.log else self.value

    def dense(self) -> Tensor:
        return torch.diag_embed(self.alpha[..., None].expand(*self.batch_shape, self.n))

    def distinct(self) -> Distinct:
        return Distinct(self.alpha[..., None], (self.n,))
