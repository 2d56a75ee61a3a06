"""Classes C4, C5 and C11: a diagonal plus a rank-one matrix, and S4's bilinear form of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api import sharding
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.api.transitions.values import Distinct, as_complex


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalPlusRankOne(Transition):
    """C4 and C5, ``A = Diag(d) + b c^T``: RWKV-7, KDA, Gated DeltaNet-2 and the general diagonal-plus-low-rank rule of rank one.

    The spectrum depends on d and ``p = b c`` (element by element) alone: the roots of ``1 + sum_i p_i / (d_i - lambda)``.  Where d is
    real and p has one sign it is real, ascending and interlaced with d, and costs O(n^2); otherwise the roots are complex and found by
    Ehrlich-Aberth iteration.

    Args:
        d, b, c: ``(..., n)``.
        sign: -1 or 1 where the family guarantees ``p <= 0`` or ``p >= 0`` in every entry: `distinct` is real, `eig` takes O(n^2), and a matrix
            that breaks the promise comes out as NaN.  None: looked at matrix by matrix.

    >>> import torch, spectral_kernels as sk
    >>> k = torch.tensor([0.6, 0.8])
    >>> t = sk.transitions.DiagonalPlusRankOne(torch.tensor([0.9, 0.5]), -0.5 * k, torch.tensor([0.9, 0.5]) * k, sign=-1)  # KDA, beta = 1/2
    >>> t.distinct().values.round(decimals=4)
    tensor([0.2830, 0.7950])
    """

    structure: ClassVar[str] = "diagonal_plus_rank_one"
    factors: ClassVar[dict[str, int]] = {"d": 1, "b": 1, "c": 1}

    d: Tensor
    b: Tensor
    c: Tensor
    sign: Literal[-1, 1] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        d, b, c = self.d, self.b, self.c
        if not d.shape == b.shape == c.shape:
            raise ValueError(f"DiagonalPlusRankOne: expected d, b and c of one length, got {tuple(d.shape)}, {tuple(b.shape)} and {tuple(c.shape)}")
        if self.sign not in (-1, 1, None):
            raise ValueError(f"DiagonalPlusRankOne: expected sign -1, 1 or None, got {self.sign!r}")
        if self.sign is not None and d.is_complex():
            raise TypeError(f"DiagonalPlusRankOne: expected real d, b and c where sign is given, got {d.dtype}")

    @property
    def size(self) -> int:
        return self.d.shape[-1]

    def dense(self) -> Tensor:
        return torch.diag_embed(self.d) + self.b.unsqueeze(-1) * self.c.unsqueeze(-2)

    def distinct(self) -> Distinct:
        sharding.register_where_used()
        solve = ops.secular_complex if self.sign is None else ops.secular
        return Distinct(solve(self.d, self.b * self.c)[0], (1,) * self.size)

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        differentiated = torch.is_grad_enabled() and any(x.requires_grad for x in (self.d, self.b, self.c))
        if self.sign is None or differentiated:
            return super()._solve(left=left, right=right)
        sharding.register_where_used()
        values, V, U, info = ops.secular_eig(self.d, self.b, self.c, left, right)
        return EigResult(as_complex(values), as_complex(V) if right else None, as_complex(U) if left else None, info)


@dataclass(frozen=True, eq=False, repr=False)
class BilinearLowRank(Transition):
    """C11, S4: the bilinear transform ``A = (I - delta/2 M)^-1 (I + delta/2 M)`` of ``M = Diag(Lambda) - P P^*``.

    With the eigenvalues mu of M those of A are ``(1 + delta mu / 2) / (1 - delta mu / 2)``, with the same eigenvectors: inside the unit circle
    where Re mu < 0.  The eigenvalues of HiPPO-LegS, where training starts, are so ill-conditioned that no double-precision method finds
    them beyond n = 16: look at `condition`.

    Args:
        Lambda: ``(..., n)`` complex, the diagonal part; of a real state space with conjugate pairs, both of each pair.
        P: ``(..., n)`` complex, the low-rank part, of rank one.
        delta: ``(...)`` real, the step.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.transitions.BilinearLowRank(torch.tensor([-0.5 + 1j]), torch.tensor([0.5 + 0j]), torch.tensor(0.1))
    >>> t.eigvals().abs().item() < 1, t.condition().item()
    (True, 1.0)
    """

    structure: ClassVar[str] = "bilinear_low_rank"
    factors: ClassVar[dict[str, int]] = {"Lambda": 1, "P": 1, "delta": 0}

    Lambda: Tensor
    P: Tensor
    delta: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.Lambda.shape != self.P.shape:
            raise ValueError(f"BilinearLowRank: expected Lambda and P of one length, got {tuple(self.Lambda.shape)} and {tuple(self.P.shape)}")

    def _check_tensors(self, given: dict[str, Tensor]) -> None:
        super()._check_tensors({name: value for name, value in given.items() if name != "delta"})
        super()._check_tensors({"delta": self.delta})
        if not self.Lambda.is_complex() or self.delta.dtype != self.Lambda.dtype.to_real():
            raise TypeError(f"BilinearLowRank: expected complex Lambda and P, and delta of their real dtype, got {self.Lambda.dtype} and {self.delta.dtype}")

    @property
    def size(self) -> int:
        return self.Lambda.shape[-1]

    def dense(self) -> Tensor:
        M = torch.diag_embed(self.Lambda) - self.P.unsqueeze(-1) * self.P.conj().unsqueeze(-2)
        half, eye = (self.delta / 2)[..., None, None] * M, torch.eye(self.size, dtype=M.dtype, device=M.device)
        return torch.linalg.solve(eye - half, eye + half)

    def _continuous(self) -> tuple[Tensor, Tensor, Tensor]:
        sharding.register_where_used()
        return ops.secular_complex(self.Lambda, as_complex(-self.P.abs() ** 2))

    def distinct(self) -> Distinct:
        half = (self.delta / 2).unsqueeze(-1) * self._continuous()[0]
        return Distinct((1 + half) / (1 - half), (1,) * self.size)

    def condition(self) -> Tensor:
        """Condition numbers of the eigenvalues, ``(*batch_shape, n)`` real, >= 1, in the order of `eigvals`: ``|x| |y| / |y^* x|``.

        A change of M by a small E moves an eigenvalue mu by up to ``condition |E|``; with E the rounding error ``eps |M|``, mu has no correct digit where
        ``condition * eps * |M|`` reaches ``|mu|``.
        """
        _, origin, offset = self._continuous()
        distance = (self.Lambda.unsqueeze(-1) - self.Lambda.gather(-1, origin).unsqueeze(-2)) - offset.unsqueeze(-2)
        unit = torch.where(offset == 0, 1, offset).unsqueeze(-2)
        s = unit / torch.where(distance == 0, unit, distance)
        p = self.P.abs().unsqueeze(-1) ** 2
        condition = (p * s.abs() ** 2).sum(-2) / (p * s**2).sum(-2).abs()
        return torch.where(offset == 0, 1, condition)  # deflated: the vectors are orthogonal to P, the same on both sides
