"""Small cores of Householder products in Triton's interpreter: the tests of the CPU's kernel, the eigensolver on hard matrices, the sketch."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import torch
from structured_inputs import distance, dtypes, eps, rand, randn, same_bits, unit
from test_householder import HOUSEHOLDER, product
from triton_cases import empty, tables
from triton_harness import ROOT

from spectral_kernels import ops
from spectral_kernels.reference import sketch as layout
from spectral_kernels.reference.householder import householder_core


@dtypes
@pytest.mark.parametrize("m, n", [(1, 5), (2, 9), (3, 17), (4, 5), pytest.param(4, 64, marks=pytest.mark.thorough), (3, 2)])
def test_against_dense(interpreted, m, n, dtype):
    kinds = [make(m, n) for name, make in HOUSEHOLDER.items() if m <= n or name != "orthogonal"]
    beta, k = (torch.cat(x).to(dtype) for x in zip(*kinds, strict=True))
    w, info = interpreted("householder_eigvals", beta, k)
    assert w.shape == (len(k), m) and w.dtype == dtype.to_complex() and not info.any()
    for found, betas, vectors in zip(w.split(7), beta.double().split(7), k.double().split(7), strict=True):
        core = householder_core(betas, vectors)
        condition = float(torch.linalg.cond(torch.linalg.eig(core).eigenvectors).clamp(max=eps(torch.float64) ** -0.5).max())
        size = float(torch.linalg.matrix_norm(product(betas, vectors), 2).max())
        assert distance(found, core) <= 20 * n * eps(dtype) * size * condition + 1e-7 * (condition > 1e6)


@pytest.mark.thorough
def test_hard_small_matrices(tmp_path):
    """All of LAPACK's types, the adversarial ones, and entries over 20 orders of magnitude: normwise backward stable."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    script = ROOT / "tests" / "triton_small_matrix.py"
    answer = subprocess.run([sys.executable, "-W", "ignore", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    ratios = json.loads(answer.stdout.splitlines()[-1])
    assert len(ratios) == 6 and all(ratio <= 10 for ratio in ratios.values()), ratios


@dtypes
def test_bits_neighbours_and_vectors_out_of_scale(interpreted, dtype):
    beta, k = 2 * rand(150, 3, dtype=dtype), unit(randn(150, 3, 7, dtype=dtype))
    whole, _ = interpreted("householder_eigvals", beta, k)
    assert same_bits(interpreted("householder_eigvals", beta[-9:], k[-9:])[0], whole[-9:])
    powers = torch.tensor([2.0**-20, 2.0**15, 1], dtype=dtype)
    assert same_bits(interpreted("householder_eigvals", beta * powers**-2, k * powers[:, None])[0], whole)
    k[5, 0, 0], beta[40, 2], k[149, 2] = math.nan, math.inf, math.inf
    bad = torch.zeros(150, dtype=torch.bool)
    bad[[5, 40, 149]] = True
    w, info = interpreted("householder_eigvals", beta, k)
    assert torch.equal(info, 4 * bad.int()) and bool(w[bad].real.isnan().all()) and same_bits(w[~bad], whole[~bad])


def test_identities_split_off_exactly(interpreted):
    beta, k = torch.rand(16, 4, dtype=torch.float64), unit(randn(16, 4, 6))
    for at in range(16):
        for j in range(4):
            if at >> j & 1:
                (beta[at, j], k[at, j])[j % 2].zero_()
    w = interpreted("householder_eigvals", beta, k)[0]
    assert [int((x == 1).sum()) for x in w] == [at.bit_count() for at in range(16)]


def test_strides_broadcasting_and_empty(interpreted):
    k, beta = unit(randn(9, 4, 3, 2)).permute(1, 3, 2, 0), rand(3)
    assert same_bits(interpreted("householder_eigvals", beta, k)[0], interpreted("householder_eigvals", beta.expand(4, 2, 3).clone(), k.contiguous())[0])
    for m, n, batch in ((0, 4, (3,)), (2, 0, (3,)), (2, 4, (0,)), (2, 4, (2, 0))):
        w, info = interpreted("householder_eigvals", torch.rand(*batch, m), torch.rand(*batch, m, n))
        assert w.shape == (*batch, m) and info.shape == batch and not info.any() and (n > 0 or torch.equal(w, torch.ones_like(w)))
    assert interpreted("householder_eigvals", torch.rand(5), torch.rand(5, 2)) is NotImplemented
    with pytest.raises(RuntimeError, match=r"beta \(..., m\) and k \(..., m, n\)"):
        interpreted("householder_eigvals", torch.rand(3), torch.rand(2, 4))


@pytest.mark.parametrize("m, dtype", [(2, torch.float64), (3, torch.float32), pytest.param(4, torch.float64, marks=pytest.mark.thorough)], ids=str)
def test_sketch(interpreted, m, dtype):
    n, kind = 7, dtype.to_complex()
    alpha, beta, k = 1 - 2 * rand(2, 40, dtype=dtype), 2 * rand(2, 40, m, dtype=dtype), unit(randn(2, 40, m, n, dtype=dtype))
    alpha[0, 3], k[1, 4, 0, 0], alpha[1, 5] = math.inf, math.nan, 0
    rows, valid = torch.tensor([1, 0]), rand(2, 40) > 0.3
    values = torch.cat([alpha[..., None], alpha[..., None] * interpreted("householder_eigvals", beta, k)[0]], -1)
    values[~torch.view_as_real(values).isfinite().all(-1).all(-1)] = math.nan
    for ok, repeat in ((valid, 3), (None, 1)):
        found, expected = empty(2), empty(2)
        interpreted("sketch_householder", *found, rows, alpha, beta, k, ok, repeat, *tables(kind, False))
        layout.sketch(*expected, rows, values, ok, None, repeat * torch.tensor([n - m] + [1] * m), False)
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[2], expected[2], rtol=1e-13, atol=0)


def test_the_sinks_definition():
    alpha, beta, k = 1 - 2 * rand(2, 40), 2 * rand(2, 40, 3), unit(randn(2, 40, 3, 7))
    alpha[0, 3] = math.inf
    rows, valid, edges = torch.tensor([1, 0]), rand(2, 40) > 0.3, tables(torch.complex128, False)
    found, expected = empty(2), empty(2)
    ops.sketch_householder(*found, rows, alpha, beta, k, valid, 2, *edges)
    values = torch.cat([alpha[..., None], alpha[..., None] * ops.householder_eigvals(beta, k)[0]], -1)
    values[0, 3] = math.nan
    ops.sketch(*expected, rows, values, valid, None, torch.tensor([8, 2, 2, 2]), *edges, False)
    assert all(map(torch.equal, found, expected))
    torch.library.opcheck(ops.sketch_householder, (*empty(2), rows, alpha, beta, k, valid, 2, *edges), test_utils=("test_schema", "test_faketensor"))
