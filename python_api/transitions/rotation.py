"""Class C2 in real form: rotations with decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct, as_complex, poison


@dataclass(frozen=True, eq=False, repr=False)
class Rotation(Transition):
    """C2, ``A = alpha blockdiag(R(theta_1), ..., R(theta_m), I)``: Mamba-3, RetNet with its rotary positions undone.

    ``R(theta) = [[cos, -sin], [sin, cos]]`` acts on the coordinates 2i and 2i + 1.  Eigenvalues ``alpha exp(+-i theta_i)``, pair by
    pair, the + first, then alpha for what is not rotated.  Normal: the left eigenvectors are the right ones.

    Args:
        alpha: ``(...)``, real, or ``ln alpha`` where `log` is set.
        theta: ``(..., m)``, radians.
        n: the order, at least 2 m; None: 2 m.
        log: keep ln alpha, as in `Scalar`.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.Rotation(torch.tensor(0.5), torch.tensor([torch.pi / 2]), 3)
    >>> t.dense().round(decimals=3).tolist()
    [[-0.0, -0.5, 0.0], [0.5, -0.0, 0.0], [0.0, 0.0, 0.5]]
    >>> t.eigvals().imag.tolist()
    [0.5, -0.5, 0.0]
    """

    structure: ClassVar[str] = "rotation"
    factors: ClassVar[dict[str, int]] = {"alpha": 0, "theta": 1}

    alpha: Tensor
    theta: Tensor
    n: int | None = None
    log: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.theta.is_complex():
            raise TypeError(f"Rotation: expected real alpha and theta, got {self.theta.dtype}")
        if self.n is None:
            object.__setattr__(self, "n", 2 * self.theta.shape[-1])
        if self.size < 2 * self.theta.shape[-1]:
            raise ValueError(f"Rotation: expected n >= 2 m = {2 * self.theta.shape[-1]}, got {self.n}")

    @property
    def size(self) -> int:
        assert self.n is not None  # __post_init__ fills it in
        return self.n

    @property
    def scale(self) -> Tensor:
        """alpha itself, whose sign is any: ``(...)``."""
        return self.alpha.exp() if self.log else self.alpha

    def dense(self) -> Tensor:
        alpha, m = self.scale[..., None], self.theta.shape[-1]
        c, s = alpha * self.theta.cos(), alpha * self.theta.sin()
        A = torch.diag_embed(torch.cat([c.repeat_interleave(2, -1), alpha.expand(*self.batch_shape, self.size - 2 * m)], -1))
        off = torch.stack([s, torch.zeros_like(s)], -1).flatten(-2)[..., :-1]
        corner = (0, self.size - 2 * m, 0, self.size - 2 * m)
        return A + torch.nn.functional.pad(torch.diag_embed(off, -1) - torch.diag_embed(off, 1), corner) if m else A

    def distinct(self) -> Distinct:
        alpha, m = self.scale[..., None], self.theta.shape[-1]
        c, s = alpha * self.theta.cos(), alpha * self.theta.sin()
        pairs = torch.stack([torch.complex(c, s), torch.complex(c, -s)], -1).flatten(-2)
        return self._distinct((pairs, 1 if m else 0), (as_complex(alpha), self.size - 2 * m), bad=self._poison)

    def eig(self, *, left: bool = False) -> EigResult:
        turned = self.scale[..., None] * self.theta.sin() != 0  # elsewhere the pair is real and double
        half = math.sqrt(0.5)
        eye = as_complex(torch.eye(self.size, device=self.device, dtype=self.dtype))
        pair = torch.tensor([[half, half], [-half * 1j, half * 1j]], device=self.device, dtype=eye.dtype)
        blocks = torch.where(turned[..., None, None], pair, torch.eye(2, device=self.device, dtype=eye.dtype))
        V = eye.repeat(*self.batch_shape, 1, 1)
        for i in range(self.theta.shape[-1]):
            V[..., 2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = blocks[..., i, :, :]
        return self._eig(V, V if left else None)

    def log_modulus(self) -> Tensor:
        log = self.alpha if self.log else self.alpha.abs().log()
        return (log + self._poison)[..., None].expand(*self.batch_shape, self.size)

    @property
    def _poison(self) -> Tensor:
        return poison(self.alpha, 0, self.log) + poison(self.theta)

    def _window_is_closed(self, w: int) -> bool:
        return True

    def _times(self, earlier: Transition) -> Transition | None:
        if not isinstance(earlier, Rotation) or earlier.theta.shape[-1] != self.theta.shape[-1]:
            return None
        log = self.log and earlier.log
        alpha = self.alpha + earlier.alpha if log else self.scale * earlier.scale
        return Rotation(alpha, self.theta + earlier.theta, self.n, log, time=None)
