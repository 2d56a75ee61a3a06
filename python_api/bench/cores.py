"""The benchmarks of closed forms, small cores and fused Jacobians: factors for the kernels, dense matrices for the opponents."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.bench.gate import Ratios
from spectral_kernels.api.bench.opponents import Function, Opponent, batch_parallel
from spectral_kernels.api.transitions import HouseholderProduct, Jacobian, RankOne

REFLECTORS = 3  # of a DeltaProduct step


def many(n: int, threads: int) -> int:
    """As many matrices as fit the memory that a benchmark takes: the kernels need little time for each."""
    return threads * (2_900_000 // n**2) + 1


def _randn(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def rank_one_inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """alpha, beta ``(batch)``, k ``(batch, n)``, the dense matrices and, to be copied, the eigenvalues."""
    alpha = torch.sigmoid(_randn(generator, dtype, batch))
    t = RankOne(alpha, 2 * alpha * torch.sigmoid(_randn(generator, dtype, batch)), _unit(_randn(generator, dtype, batch, n)))
    return t.alpha, t.beta, t.k, t.dense(), t.eigvals()


def rank_one(alpha: Tensor, beta: Tensor, k: Tensor, A: Tensor, w: Tensor) -> Tensor:
    return RankOne(alpha, beta, k).eigvals()


def householder_inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """beta ``(batch, m)`` from 0 to 2, unit k ``(batch, m, n)`` and the dense matrices."""
    beta = 2 * torch.sigmoid(_randn(generator, dtype, batch, REFLECTORS))
    k = _unit(_randn(generator, dtype, batch, REFLECTORS, n))
    return beta, k, HouseholderProduct(beta.new_ones(batch), beta, k).dense()


def householder(beta: Tensor, k: Tensor, A: Tensor) -> Tensor:
    return HouseholderProduct(beta.new_ones(len(beta)), beta, k).eigvals()


def gru_inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """weight ``(batch, 3, n, n)``, a view of one; coefficient ``(batch, 1, 3, n)`` and diagonal ``(batch, 1, 1, n)``, in a GRU's range."""
    weight = _randn(generator, dtype, 3, n, n) / n**0.5
    return weight.expand(batch, 3, n, n), 0.5 * _randn(generator, dtype, batch, 1, 3, n), torch.sigmoid(_randn(generator, dtype, batch, 1, 1, n))


def gru(weight: Tensor, coefficient: Tensor, diagonal: Tensor) -> Tensor:
    return Jacobian(weight[0], coefficient, diagonal).eigvals()


def _gru_dense(weight: Tensor, coefficient: Tensor, diagonal: Tensor) -> Tensor:
    return Jacobian(weight[0], coefficient, diagonal).dense()


def _torch_on_gru(*factors: Tensor) -> Tensor:
    return torch.linalg.eigvals(_gru_dense(*factors))


def _backward_error(w: Tensor, A: Tensor) -> float:
    """In units of ``n ulp |A|_2``: the distance to the nearest matrix that has an eigenvalue, for up to 8 of each matrix, and the error of their
    sum; what is below one counts as one."""
    n, wide = A.shape[-1], A.double().to(torch.complex128)
    unit = n * torch.finfo(A.dtype).eps * torch.linalg.matrix_norm(wide, 2)
    some = w[:, torch.linspace(0, n - 1, min(n, 8)).long()].to(torch.complex128)
    shifted = wide[:, None] - some[..., None, None] * torch.eye(n, dtype=torch.complex128)
    nearest = torch.linalg.svdvals(shifted)[..., -1].amax(-1) / unit
    total = (w.to(torch.complex128).sum(-1) - wide.diagonal(dim1=-2, dim2=-1).sum(-1)).abs() / (unit * n)
    return max(1.0, float(nearest.max()), float(total.max()))


def _ratios(w: Tensor, A: Tensor) -> Ratios:
    some = torch.linspace(0, len(A) - 1, min(len(A), max(4, 2000 // A.shape[-1]))).long()
    return Ratios(_backward_error(w[some], A[some]), _backward_error(torch.linalg.eigvals(A[some]), A[some]))


def rank_one_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    return _ratios(function(*inputs), inputs[3])


def householder_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """Of this batch, and of equal vectors, of betas that are 0 and of rotations (beta = 2)."""
    beta, k, A = inputs
    few = min(8, len(beta))
    equal, none, rotation = k[:few, :1].expand(few, REFLECTORS, -1), beta[:few] * torch.tensor([1.0, 0.0, 1.0]).to(beta), torch.full_like(beta[:few], 2)
    worst = _ratios(function(*inputs), A)
    for hard_beta, hard_k in ((beta[:few], equal), (none, k[:few]), (rotation, k[:few])):
        dense = HouseholderProduct(hard_beta.new_ones(few), hard_beta, hard_k).dense()
        worst = worst.worst(_ratios(function(hard_beta, hard_k, dense), dense))
    return worst


def gru_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    return _ratios(function(*inputs), _gru_dense(*inputs))


def _dense_opponents(function: Function, what: str) -> tuple[Opponent, ...]:
    return (
        Opponent("torch", f"torch.linalg.eigvals on {what}", function, serial=True),
        Opponent("lapack", f"LAPACK through torch on {what}, parallel over the batch: all cores, one thread each", batch_parallel(function), serial=False),
    )


RANK_ONE_OPPONENTS = (
    *_dense_opponents(lambda alpha, beta, k, A, w: torch.linalg.eigvals(A), "the dense matrices"),
    Opponent("copy", "a copy of the eigenvalues: the memory's speed", lambda alpha, beta, k, A, w: w.clone(), serial=False),
)
HOUSEHOLDER_OPPONENTS = _dense_opponents(lambda beta, k, A: torch.linalg.eigvals(A), "the dense matrices")
GRU_OPPONENTS = (
    *_dense_opponents(_torch_on_gru, "the matrices, which it forms"),
    Opponent("dense", "linalg.eigvals of this package on the matrices, all formed first", lambda *factors: linalg.eigvals(_gru_dense(*factors)), serial=False),
)
