"""Classes C0, C1 and C2: scalars and diagonals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct, poison


@dataclass(frozen=True, eq=False, repr=False)
class _Elementwise(Transition):
    """What is diagonal: the unit vectors are eigenvectors from either side."""

    def eig(self, *, left: bool = False) -> EigResult:
        vectors = torch.eye(self.size, dtype=self.dtype, device=self.device).expand(self.shape)
        return self._eig(vectors, vectors if left else None)

    def dense(self) -> Tensor:
        values, counts = self.distinct()
        return torch.diag_embed(values.expand(*self.batch_shape, self.size) if len(counts) == 1 else values)

    def _window_is_closed(self, w: int) -> bool:
        return True


@dataclass(frozen=True, eq=False, repr=False)
class Scalar(_Elementwise):
    """C0, ``A = alpha I``: softmax and linear attention, RetNet, Mamba-2.

    Args:
        value: ``(...)``, real or complex: alpha, or ``ln alpha`` where `log` is set.
        n: the order.  The state of softmax attention has no bound on n: there, and wherever one number per position is wanted, 1.
        log: keep ln alpha: it resolves alpha next to 1, and below the smallest number of the dtype; -inf is alpha = 0.

    >>> import torch, spectral_kernels as sk
    >>> sk.transitions.Scalar(torch.tensor([0.9, 0.5])).horizon().round(decimals=2).tolist()
    [[9.489999771118164], [1.440000057220459]]
    """

    structure: ClassVar[str] = "scalar"
    factors: ClassVar[dict[str, int]] = {"value": 0}

    value: Tensor
    n: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 0:
            raise ValueError(f"Scalar: expected n >= 0, got {self.n}")

    @property
    def size(self) -> int:
        return self.n

    @property
    def alpha(self) -> Tensor:
        return self.value.exp() if self.log else self.value

    def eigvals(self) -> Tensor:
        return super().eigvals() if self.n != 1 or self.value.is_complex() else ops.diagonal_eigvals(self.value[..., None], self.log)

    def distinct(self) -> Distinct:
        if self.n == 1 and not self.value.is_complex():
            return Distinct(self.eigvals().real, (1,))
        return self._distinct((self.alpha[..., None], self.n), bad=poison(self.value, 0, self.log))

    def log_modulus(self) -> Tensor:
        if not self.log:
            return super().log_modulus()
        return (self.value.real + poison(self.value, 0, log=True))[..., None].expand(*self.batch_shape, self.n)

    def _times(self, earlier: Transition) -> Transition | None:
        if not isinstance(earlier, Scalar):
            return None
        log = self.log and earlier.log
        return Scalar(self.value + earlier.value if log else self.alpha * earlier.alpha, self.n, log, time=None)


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(_Elementwise):
    """C1 real and C2 complex, ``A = Diag(lambda)``: GLA, HGRN, RWKV-4 to 6, GSA, RG-LRU, minGRU; S4D, S5, LRU.

    Args:
        value: ``(..., n)``, real or complex: lambda, or ``ln lambda`` where `log` is set.
        log: keep ln lambda, as in `Scalar`.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.Diagonal(torch.tensor([[-1.0, -200.0], [0.0, -3.0]]), log=True)
    >>> t.eigvals()[0].real.tolist(), t.window(2).log_modulus().tolist()
    ([0.3678794503211975, 0.0], [[-1.0, -203.0]])
    """

    structure: ClassVar[str] = "diagonal"
    factors: ClassVar[dict[str, int]] = {"value": 1}

    value: Tensor
    log: bool = False

    @property
    def size(self) -> int:
        return self.value.shape[-1]

    @property
    def diagonal(self) -> Tensor:
        return self.value.exp() if self.log else self.value

    def eigvals(self) -> Tensor:
        return super().eigvals() if self.value.is_complex() else ops.diagonal_eigvals(self.value, self.log)

    def distinct(self) -> Distinct:
        if not self.value.is_complex():
            return Distinct(self.eigvals().real, (1,) * self.size)
        return self._distinct((self.diagonal, 1), bad=poison(self.value, log=self.log))

    def log_modulus(self) -> Tensor:
        return self.value.real + poison(self.value, log=True)[..., None] if self.log else super().log_modulus()

    def _times(self, earlier: Transition) -> Transition | None:
        if not isinstance(earlier, Diagonal):
            return None
        log = self.log and earlier.log
        return Diagonal(self.value + earlier.value if log else self.diagonal * earlier.diagonal, log, time=None)


@dataclass(frozen=True, eq=False, repr=False)
class ZeroOrderHold(_Elementwise):
    """C1, or C2 with complex rates, ``A = Diag(exp(delta_d rate_dn))``: Mamba, and S4D with input-dependent steps.

    n = D N eigenvalues of D + D N numbers, of which D per position: they are not formed before they are asked for.

    Args:
        delta: ``(..., D)``, or ``(..., 1)`` where all D share the step; real.
        rate: ``(D, N)``, shared by the positions; real (negative, for decay) or complex.

    Eigenvalue ``d N + n`` is ``exp(delta_d rate_dn)``.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.ZeroOrderHold(torch.ones(7, 3), -torch.arange(1.0, 5.0).expand(3, 4))
    >>> t.shape, t.horizon()[0, :4].tolist()
    (torch.Size([7, 12, 12]), [1.0, 0.5, 0.3333333432674408, 0.25])
    """

    structure: ClassVar[str] = "zero_order_hold"
    factors: ClassVar[dict[str, int]] = {"delta": 1}

    delta: Tensor
    rate: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.rate, Tensor):
            raise TypeError(f"ZeroOrderHold: rate must be Tensor, not {type(self.rate).__name__}")
        if self.rate.dim() != 2 or self.delta.shape[-1] not in (1, self.rate.shape[0]):
            raise ValueError(f"ZeroOrderHold: expected delta (..., D) or (..., 1) and rate (D, N), got {tuple(self.delta.shape)} and {tuple(self.rate.shape)}")
        if self.delta.is_complex() or self.delta.dtype != (self.rate.real.dtype if self.rate.is_complex() else self.rate.dtype) or self.delta.device != self.rate.device:
            raise TypeError(
                "ZeroOrderHold: expected real delta and rate in its precision, on its device; "
                f"got {self.delta.dtype}, {self.delta.device} and {self.rate.dtype}, {self.rate.device}"
            )

    @property
    def size(self) -> int:
        return self.rate.numel()

    @property
    def dtype(self) -> torch.dtype:
        return self.rate.dtype

    @property
    def exponent(self) -> Tensor:
        """``ln lambda``, ``(..., D N)``."""
        return (self.delta[..., None] * self.rate).flatten(-2)

    def eigvals(self) -> Tensor:
        if self.rate.is_complex():
            return super().eigvals()
        delta = self.delta + self._poison[..., None]
        return ops.expand_exp(delta, self.rate if delta.shape[-1] == self.rate.shape[0] else self.rate.reshape(1, -1))

    def distinct(self) -> Distinct:
        if not self.rate.is_complex():
            return Distinct(self.eigvals().real, (1,) * self.size)
        return self._distinct((self.exponent.exp(), 1), bad=self._poison)

    def log_modulus(self) -> Tensor:
        return (self.delta[..., None] * self.rate.real).flatten(-2) + self._poison[..., None]

    @property
    def _poison(self) -> Tensor:
        return poison(self.delta) + poison(self.rate, 2)  # exp(-inf) does not show them

    def _times(self, earlier: Transition) -> Transition | None:
        if not isinstance(earlier, ZeroOrderHold):
            return None
        if earlier.rate is self.rate:
            return ZeroOrderHold(self.delta + earlier.delta, self.rate, time=None)
        return Diagonal(self.exponent + earlier.exponent, log=True, time=None)
