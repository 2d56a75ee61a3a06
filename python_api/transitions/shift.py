"""Class C9: shift registers and companion matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct


@dataclass(frozen=True, eq=False, repr=False)
class ShiftRegister(Transition):
    """C9, the last n inputs of a convolution, newest first: short and long convolutions, sliding buffers.

    Ones below the diagonal.  Nilpotent, whatever the taps, which belong to the read-out: all eigenvalues are 0, in one Jordan block.
    Defective for n > 1: the one eigenvector e_n stands in every column, from the left e_1.

    Args:
        n: the order: the length of the filter less 1, which is what it remembers.
        zero: ``(...)``, zeros whose shape, dtype and device are those of the transition, the eigenvalue itself; None: one float32.

    `time` is None: the register is the same at every position.

    >>> import spectral_kernels as sk
    >>> t = sk.transitions.ShiftRegister(3)
    >>> t.dense().tolist(), t.window(3).spectral_radius().item(), t.lti
    ([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 0.0, True)
    """

    structure: ClassVar[str] = "shift_register"
    factors: ClassVar[dict[str, int]] = {"zero": 0}

    n: int
    zero: Tensor = None  # type: ignore[assignment]  # __post_init__ fills it in
    time: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.zero is None:
            object.__setattr__(self, "zero", torch.zeros(()))
        super().__post_init__()
        if self.n < 0:
            raise ValueError(f"ShiftRegister: expected n >= 0, got {self.n}")

    @property
    def size(self) -> int:
        return self.n

    def dense(self) -> Tensor:
        ones = torch.ones(max(self.n - 1, 0), dtype=self.dtype, device=self.device)
        A = torch.diag_embed(self.zero[..., None].expand(*self.batch_shape, self.n))
        return A + torch.diag_embed(ones, -1) if self.n > 1 else A

    def distinct(self) -> Distinct:
        return self._distinct((self.zero[..., None], self.n))

    def eig(self, *, left: bool = False) -> EigResult:
        eye = torch.eye(self.n, dtype=self.dtype, device=self.device)
        return self._eig(eye[:, -1:].expand(self.shape), eye[:, :1].expand(self.shape) if left else None)


@dataclass(frozen=True, eq=False, repr=False)
class Companion(Transition):
    """C9 with feedback, ``x_t = c_1 x_{t-1} + ... + c_n x_{t-n} + u_t``: autoregressive and recursive (IIR) filters.

    Eigenvalues: the roots of ``x^n - c_1 x^{n-1} - ... - c_n``, from the dense solver; each has one eigenvector only, so repeated
    ones are defective.

    Args:
        coefficients: ``(..., n)``, real or complex, c_1 first.

    >>> import torch, spectral_kernels as sk
    >>> sk.transitions.Companion(torch.tensor([1.1, -0.3])).eigvals().real.sort().values.round(decimals=3)
    tensor([0.5000, 0.6000])
    """

    structure: ClassVar[str] = "companion"
    factors: ClassVar[dict[str, int]] = {"coefficients": 1}

    coefficients: Tensor

    @property
    def size(self) -> int:
        return self.coefficients.shape[-1]

    def dense(self) -> Tensor:
        n = self.size
        below = torch.eye(n, dtype=self.dtype, device=self.device)[: max(n - 1, 0)].expand(*self.batch_shape, max(n - 1, 0), n)
        return torch.cat([self.coefficients[..., None, :], below], -2)[..., :n, :]
