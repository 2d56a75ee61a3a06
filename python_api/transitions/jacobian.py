"""Class C8 from its gates: Jacobians of recurrent cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from spectral_kernels import dispatch
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.transitions.base import Transition
from spectral_kernels.ops import differentiated, jacobian_eig
from spectral_kernels.reference.gated_jacobian import gated_jacobian


@dataclass(frozen=True, eq=False, repr=False)
class Jacobian(Transition):
    """Jacobian of one step of a gated recurrent cell, whose state has S parts of n units (RNN and GRU 1: h; LSTM 2: h, c).

    In n x n blocks over the parts, with ``W_g`` the recurrent weights of gate g, which act on the first part, h:

        J_ij = Diag(diagonal_ij) + [j = 0] sum_g Diag(coefficient_ig) W_g

    Args:
        weight: ``(G, n, n)``, the recurrent weights of G gates, shared by all positions; from `families`, views of the cell's own.
        coefficient: ``(..., S, G, n)``, what each gate's pre-activation does to each part of the state.
        diagonal: ``(..., S, S, n)``, what each unit's parts do to each other directly.

    `dense` is ``(..., S n, S n)``.  The eigenvalues come from the dense solver, which forms the matrices itself where it holds
    them: up to S n = 128 on a CPU none is written to memory.
    """

    structure: ClassVar[str] = "jacobian"
    factors: ClassVar[dict[str, int]] = {"coefficient": 3, "diagonal": 3}

    weight: Tensor
    coefficient: Tensor
    diagonal: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
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
        return gated_jacobian(self.weight, self.coefficient, self.diagonal)

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        """By the kernel that forms the matrices lane group by lane group, where it serves; a derivative of vectors takes the dense path.

        A second solve gives eigenvectors that may differ in sign, so their derivative cannot be taken from the factors alone.
        """
        vectors = left or right
        fused = not self.weight.is_complex() and dispatch.rule("eig", self.weight.device.type, self.dtype, self.size).name != "lapack"
        if not fused or (vectors and differentiated(self.weight, self.coefficient, self.diagonal)):
            return super()._solve(left=left, right=right)
        w, V, U, info = jacobian_eig(self.weight, self.coefficient, self.diagonal, left, right)
        return EigResult(w, V if right else None, U if left else None, info)
