"""Sources fused into the load of the CUDA kernels, under emulation: their matrices against the definitions, their eigenvalues against the CPU ops."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import simt_library
import torch

from spectral_kernels import ops
from spectral_kernels.reference.gated_jacobian import gated_jacobian
from spectral_kernels.reference.householder import householder_core

TEAMS = (1, 8, 64)  # threads of a matrix; one thread solves n = 4 alone


@functools.cache
def kernels():
    return simt_library.load("sources.cpp")


def call(function, *arguments, batch, n, team, solve, order, dtype=np.float64):
    out = np.full((batch, n) if solve else (batch, n, n), np.nan, np.complex128 if solve else dtype)
    info = np.full(batch, -1, np.int32)
    k = kernels()
    k.order, k.seed = order, 3
    assert k.call(function, *arguments, batch, team, solve, out, info) == 0
    assert not solve or not info.any()
    return out


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def same_spectrum(ours, theirs):
    def distances(a, b):
        return np.abs(a[:, :, None] - b[:, None, :]).min(-1).max()

    size = max(1.0, np.abs(theirs).max())
    assert max(distances(ours, theirs), distances(theirs, ours)) < 1e-11 * size


@pytest.mark.parametrize("order", simt_library.ORDERS)
@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize(("gates", "parts", "n"), [(1, 1, 4), (3, 1, 3), (4, 2, 2), (3, 1, 7), (4, 2, 10)])
def test_jacobians(gates, parts, n, team, order):
    batch, size = 37, parts * n
    weight, c, d = random(gates, n, n), random(batch, parts, gates, n), random(batch, parts, parts, n)
    run = functools.partial(call, "jacobian", weight, c, d, gates, parts, n, batch=batch, n=size, team=team, order=order)
    tensors = [torch.from_numpy(x) for x in (weight, c, d)]
    np.testing.assert_allclose(run(solve=False), gated_jacobian(*tensors).numpy(), rtol=1e-13, atol=1e-13)
    if size == 4 or team > 1:
        same_spectrum(run(solve=True), ops.jacobian_eig(*tensors, False, False)[0].numpy())


@pytest.mark.parametrize("order", simt_library.ORDERS)
@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize(("m", "n"), [(1, 5), (2, 64), (4, 33), (7, 16)])
def test_householder_cores(m, n, team, order):
    batch = 37
    k, beta = random(batch, m, n), np.abs(random(m))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta[-1] = 0  # ordinary
    run = functools.partial(call, "householder", beta, k, m, n, batch=batch, n=m, team=team, order=order)
    tensors = [torch.from_numpy(x) for x in (np.broadcast_to(beta, (batch, m)).copy(), k)]
    np.testing.assert_allclose(run(solve=False), householder_core(*tensors).numpy(), rtol=1e-13, atol=1e-13)
    if m == 4 or team > 1:
        same_spectrum(run(solve=True), ops.householder_eigvals(*tensors)[0].numpy())


@pytest.mark.parametrize("order", simt_library.ORDERS)
@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize(("rank", "n"), [(0, 3), (1, 4), (3, 4), (2, 9)])
def test_diagonal_plus_low_rank(rank, n, team, order):
    batch = 19
    for imaginary in (0, 1j):
        d, b, c = (random(*shape) + imaginary * random(*shape, seed=1) for shape in ((batch, n), (batch, rank, n), (batch, rank, n)))
        run = functools.partial(call, "low_rank", imaginary != 0, d, b, c, rank, n, batch=batch, n=n, team=team, order=order, dtype=d.dtype)
        dense = d[:, :, None] * np.eye(n) + b.swapaxes(1, 2) @ c
        np.testing.assert_allclose(run(solve=False), dense, rtol=1e-13, atol=1e-13)
        if not imaginary and (n == 4 or team > 1):
            same_spectrum(run(solve=True), np.linalg.eigvals(dense))
