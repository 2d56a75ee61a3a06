"""The benchmark of diagonal plus rank one: the matrices of Kimi Delta Attention as factors, and dense for the opponents."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.bench.gate import Ratios
from spectral_kernels.api.bench.opponents import Function, Opponent, batch_parallel
from spectral_kernels.api.transitions import DiagonalPlusRankOne
from spectral_kernels.reference import secular as reference


def _factors(n: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """d, b and c ``(batch, n)`` in double precision: decays from e^-3 to 1, unit keys, beta from 0 to 1."""
    k = torch.nn.functional.normalize(torch.randn(batch, n, dtype=torch.float64, generator=generator), dim=-1)
    d = torch.exp(-3 * torch.rand(batch, n, dtype=torch.float64, generator=generator))
    return d, -torch.rand(batch, 1, dtype=torch.float64, generator=generator) * k, d * k


def _with_dense(*factors: Tensor) -> tuple[Tensor, ...]:
    return *factors, DiagonalPlusRankOne(*factors).dense()


def inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """d, b, c ``(batch, n)`` and the dense matrices ``(batch, n, n)``, which the opponents need not form."""
    return _with_dense(*(x.to(dtype) for x in _factors(n, batch, generator)))


def eigenvalues(d: Tensor, b: Tensor, c: Tensor, A: Tensor) -> Tensor:
    """``(batch, n)`` real and ascending, of the factors; the matrices are not needed."""
    return DiagonalPlusRankOne(d, b, c, sign=-1).distinct().values


def dense_eigenvalues(d: Tensor, b: Tensor, c: Tensor, A: Tensor) -> Tensor:
    return torch.linalg.eigvals(A)


def _hard_cases(n: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Repeated entries, all of them equal, entries and weights that are 0, a spread of e^20, a cluster, a negative eigenvalue."""
    d, b, c = _factors(n, 7, torch.Generator().manual_seed(0))
    k = -b
    d[0] = (4 * d[0]).ceil() / 4
    d[1] = d[1, 0]
    d[2, ::3] = 0
    k[3, ::2] = 0
    d[4] = d[4] ** (20 / 3)
    d[5] = 0.9 + 1e-12 * d[5]
    k[6] = 1.5 * torch.nn.functional.normalize(k[6], dim=-1)
    return _with_dense(*(x.to(dtype) for x in (d, -k, d * torch.nn.functional.normalize(k, dim=-1))))


def _ratio(w: Tensor, exact: Tensor) -> float:
    """The error in units of ``n ulp max|lambda|``; what is below one counts as one."""
    error = (w.double() - exact).abs().amax(-1) / exact.abs().amax(-1)
    return max(1.0, float(error.max()) / (exact.shape[-1] * torch.finfo(w.dtype).eps))


def accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """Errors of the kernel and of torch on the dense matrices against bisection in double precision, on this batch and on hard cases."""
    worst = Ratios(0.0, 0.0)
    n = inputs[0].shape[-1]
    for d, b, c, A in (inputs, _hard_cases(n, inputs[0].dtype)):
        ours = function(d, b, c, A)
        some = torch.linspace(0, len(d) - 1, min(len(d), max(7, 8000 // n**2))).long()
        exact = reference.secular(d[some].double(), (b * c)[some].double())[0]
        theirs = torch.linalg.eigvals(A[some]).real.sort(dim=-1).values
        worst = worst.worst(Ratios(_ratio(ours[some], exact), _ratio(theirs, exact)))
    return worst


OPPONENTS = (
    Opponent("torch", "torch.linalg.eigvals on the dense matrices", dense_eigenvalues, serial=True),
    Opponent("lapack", "LAPACK through torch on the dense matrices, parallel over the batch: all cores, one thread each", batch_parallel(dense_eigenvalues), serial=False),
)
