"""What the tests of structured solvers share: random factors, bits, and the distance of two spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

REAL = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", REAL, ids=str)
BATCHES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65]


def eps(dtype):
    return torch.finfo(dtype).eps


def bits(x):
    return torch.view_as_real(x).contiguous().view({torch.complex64: torch.int32, torch.complex128: torch.int64}[x.dtype])


def same_bits(a, b):
    return torch.equal(bits(a), bits(b))


def distance(w, A):
    """Largest distance of eigenvalues ``w (b, n)`` to those of ``A (b, n, n)`` in double precision, over the best pairings."""
    worst = 0.0
    for ours, matrix in zip(w.to(torch.complex128).numpy(), A.double().numpy(), strict=True):
        cost = np.abs(ours[:, None] - np.linalg.eigvals(matrix)[None, :])
        worst = max(worst, float(cost[linear_sum_assignment(cost)].max()))
    return worst


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rand(*shape, dtype=torch.float64, seed=1):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def unit(k):
    return torch.nn.functional.normalize(k, dim=-1)
