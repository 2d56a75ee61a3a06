"""Every element of every output is written: allocations start as NaN and INT_MAX (conftest.poisoned_allocations)."""

from __future__ import annotations

import itertools

import pytest
import torch

import spectral_kernels as sk


def test_allocations_are_poisoned():
    for x in (torch.empty(5), torch.ones(2).new_empty(5, dtype=torch.complex64), torch.ops.aten.new_empty.default(torch.ones(2), [5])):
        assert bool(x.isnan().all())
    assert bool((torch.empty(5, dtype=torch.int32) == torch.iinfo(torch.int32).max).all())


@pytest.mark.isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 16, 33])
def test_every_element_is_written(n, dtype):
    torch.manual_seed(n)
    for size, left, right, balance in itertools.product((1, 3, 5, 8, 9, 17, 33), (False, True), (False, True), (False, True)):
        A = torch.randn(size, n, n, dtype=dtype)
        A[::3] = A[::3].triu()
        A[1::4] = torch.eye(n)
        r = sk.linalg.eig_ex(A, left=left, right=right, balance=balance)
        assert not r.info.any()
        for x in (r.eigenvalues, r.eigenvectors, r.left_eigenvectors):
            assert x is None or bool(x.isfinite().all()), (size, left, right, balance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_empty_batches_and_matrices(dtype):
    for shape in [(0, 3, 3), (2, 0, 0), (0, 0), (3, 0, 5, 5), (0, 130, 130), (0, 0, 0)]:
        r = sk.linalg.eig_ex(torch.empty(shape, dtype=dtype), left=True)
        assert r.eigenvalues.shape == shape[:-1] and r.eigenvectors.shape == shape and r.left_eigenvectors.shape == shape
        assert r.info.shape == shape[:-2] and not r.info.any()
