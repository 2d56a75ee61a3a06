"""One generic transition of every structure, for the tests that all must pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance

tr = sk.transitions
F64 = torch.float64

Make = Callable[..., "tr.Transition"]


def randn(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=torch.float64 if not dtype.is_complex else torch.complex128).to(dtype)


def decays(*shape, dtype=torch.float64):
    return torch.rand(shape, dtype=torch.float64).to(dtype)


def _zero_order_hold(batch, n, dtype, complex_rate=False, shared=False):
    rate = randn(n, 2, dtype=dtype.to_complex() if complex_rate else dtype)
    return tr.ZeroOrderHold(decays(*batch, 1 if shared else n, dtype=dtype), rate)


def _momentum(batch, n, dtype, own_p=False):
    a, mu, b, eta = (decays(*batch, dtype=dtype) for _ in range(4))
    return tr.Momentum(a, mu, b, eta, randn(*batch, n, dtype=dtype), randn(*batch, n, dtype=dtype) if own_p else None)


def _kronecker_momentum(batch, n, dtype):
    a, mu, b, eta = (decays(*batch, dtype=dtype) for _ in range(4))
    return tr.KroneckerMomentum(a, mu, b, eta, randn(*batch, n, dtype=dtype), randn(*batch, 2, 2, dtype=dtype))


def _householder(batch, n, dtype, m):
    k = torch.nn.functional.normalize(randn(*batch, m, n, dtype=dtype), dim=-1)
    return tr.HouseholderProduct(decays(*batch, dtype=dtype), 2 * decays(*batch, m, dtype=dtype), k)


def _low_rank(batch, n, dtype, own_right=True):
    m = 2
    return tr.LowRankUpdate(randn(*batch, dtype=dtype), randn(*batch, m, n, dtype=dtype), randn(*batch, m, m, dtype=dtype), randn(*batch, m, n, dtype=dtype) if own_right else None)


def _rank_one(batch, n, dtype, own_p=True):
    return tr.RankOne(randn(*batch, dtype=dtype), randn(*batch, dtype=dtype), randn(*batch, n, dtype=dtype), randn(*batch, n, dtype=dtype) if own_p else None)


REAL: dict[str, Make] = {  # (batch, n, dtype) to a transition whose order grows with n
    "scalar": lambda batch, n, dtype: tr.Scalar(randn(*batch, dtype=dtype), n),
    "scalar_log": lambda batch, n, dtype: tr.Scalar(randn(*batch, dtype=dtype), n, log=True),
    "diagonal": lambda batch, n, dtype: tr.Diagonal(randn(*batch, n, dtype=dtype)),
    "diagonal_log": lambda batch, n, dtype: tr.Diagonal(randn(*batch, n, dtype=dtype), log=True),
    "zero_order_hold": _zero_order_hold,
    "zero_order_hold_shared": lambda *a: _zero_order_hold(*a, shared=True),
    "zero_order_hold_complex": lambda *a: _zero_order_hold(*a, complex_rate=True),
    "rotation": lambda batch, n, dtype: tr.Rotation(randn(*batch, dtype=dtype), randn(*batch, n // 2, dtype=dtype), n),
    "rotation_log": lambda batch, n, dtype: tr.Rotation(randn(*batch, dtype=dtype), randn(*batch, (n + 1) // 2, dtype=dtype), log=True),
    "rank_one": lambda *a: _rank_one(*a, own_p=False),
    "rank_one_p": _rank_one,
    "householder_1": lambda *a: _householder(*a, 1),
    "householder_2": lambda *a: _householder(*a, 2),
    "householder_4": lambda *a: _householder(*a, 4),
    "low_rank": _low_rank,
    "low_rank_symmetric": lambda *a: _low_rank(*a, own_right=False),
    "momentum": _momentum,
    "momentum_p": lambda *a: _momentum(*a, own_p=True),
    "kronecker": lambda batch, n, dtype: tr.KroneckerRankOne(decays(*batch, dtype=dtype), randn(*batch, n, dtype=dtype), randn(*batch, 2, 2, dtype=dtype)),
    "kronecker_momentum": _kronecker_momentum,
    "companion": lambda batch, n, dtype: tr.Companion(randn(*batch, n, dtype=dtype)),
    "level_merge": lambda batch, n, dtype: tr.LevelMerge(_rank_one(batch, n, dtype), torch.randint(-2, 3, batch), 3),
    "shift_register": lambda batch, n, dtype: tr.ShiftRegister(n, torch.zeros(batch, dtype=dtype), time=-1 if batch else 0),
    "dense": lambda batch, n, dtype: tr.Dense(randn(*batch, n, n, dtype=dtype)),
}
COMPLEX: dict[str, Make] = {
    name: REAL[name] for name in ("scalar", "scalar_log", "diagonal", "diagonal_log", "rank_one", "rank_one_p", "low_rank", "companion", "level_merge", "dense")
}
DEFECTIVE = ("level_merge", "shift_register")  # eigenvalues of the dense solver split there by the root of its rounding errors


def every(name):
    """A parameter of every structure, in the precisions it is defined in."""
    cases = [(case, dtype) for case in REAL for dtype in (torch.float64, torch.float32)] + [(case, torch.complex128) for case in COMPLEX]
    return pytest.mark.parametrize(name, cases, ids=lambda case: f"{case[0]}-{str(case[1])[6:]}")


def make(case, batch=(2, 3), n=5, seed=0):
    torch.manual_seed(seed)
    name, dtype = case
    return (COMPLEX if dtype.is_complex else REAL)[name](batch, n, dtype)


def matrices(t):
    return t.dense().detach().to(torch.complex128).reshape(-1, t.size, t.size)


def assert_eigenvalues(t, tolerance=1e-10):
    """Those of the dense matrices, one by one."""
    w = t.eigvals().detach()
    assert w.shape == t.shape[:-1] and w.dtype == t.dtype.to_complex()
    for a, x in zip(matrices(t), w.reshape(-1, t.size), strict=True):
        assert matched_distance(x, np.linalg.eigvals(a.numpy())) <= tolerance * max(1e-300, float(a.abs().max()))


def assert_backward(t, tolerance=1e-13):
    """Of defective matrices: each eigenvalue is that of a matrix nearby, and the sums of the powers are the traces."""
    for a, x in zip(matrices(t), t.eigvals().detach().to(torch.complex128).reshape(-1, t.size), strict=True):
        shifted = a - x[:, None, None] * torch.eye(t.size)
        assert float(torch.linalg.svdvals(shifted)[..., -1].max()) <= tolerance * max(1, float(torch.linalg.matrix_norm(a)))
        for power in range(1, 4):
            trace = torch.linalg.matrix_power(a, power).trace()
            assert abs(complex((x**power).sum() - trace)) <= 10 * tolerance * max(1, float(torch.linalg.matrix_norm(a)) ** power) * t.size
