"""``drop_in()``: torch's own names run on these kernels inside the block, and only there."""

from __future__ import annotations

import pytest
import torch

import spectral_kernels as sk


def test_torchs_names_run_on_the_kernels():
    torch.manual_seed(0)
    A = torch.randn(4, 8, 8)
    with sk.drop_in():
        w, V = torch.linalg.eig(A)
        assert torch.equal(torch.linalg.eigvals(A), sk.linalg.eigvals(A))
        out = torch.empty(0, dtype=torch.complex64)
        assert torch.linalg.eigvals(A, out=out) is out
    assert torch.equal(w, sk.linalg.eig(A).eigenvalues)
    assert V.stride() == torch.linalg.eig(A).eigenvectors.stride()


def test_only_inside_and_also_after_an_error():
    A = torch.ones(20, 20, dtype=torch.float64)  # the SIMD kernel converges here where MKL does not
    inside = sk.linalg.eigvals(A)
    with pytest.raises(ZeroDivisionError), sk.drop_in():
        assert torch.equal(torch.linalg.eigvals(A), inside)
        raise ZeroDivisionError
    B = torch.randn(33, 33)
    assert not torch.equal(torch.linalg.eigvals(B), sk.linalg.eigvals(B))
