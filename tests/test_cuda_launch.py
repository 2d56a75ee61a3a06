"""The launcher of batched eig under emulation: each size goes to the kernel that the table of mappings names, and to the right results."""

from __future__ import annotations

from functools import partial

import cuda_eig
import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing import matching, ratios

eig = partial(cuda_eig.eig, source="eig.cpp")


def kernels(dtype: type, vectors: bool) -> str:
    return "\n".join(launch.kernel for launch in cuda_eig.library("eig.cpp", dtype, vectors).launches())


@pytest.mark.parametrize("n, kernel", [(1, "thread_eig_kernel<2"), (8, "thread_eig_kernel<8"), (9, "WarpTeam<4>"), (33, "WarpTeam<16>"), (65, "BlockTeam")])
def test_eigenvalues(n, kernel):
    A = np.random.default_rng(n).standard_normal((35 if n < 33 else 2, n, n)).astype(np.float32)
    r = eig(A, order="random")
    assert not r.info.any()
    cpu = sk.linalg.eigvals(torch.from_numpy(A)).numpy()
    for a, w, other in zip(A, r.eigenvalues, cpu, strict=True):
        assert matching.matched_distance(w, other) <= 100 * np.finfo(A.dtype).eps * np.linalg.norm(a)
    assert kernel in kernels(np.float32, False)


@pytest.mark.parametrize("n, kernel", [(4, "thread_eig_kernel<4"), (5, "WarpTeam<8>"), (17, "WarpTeam<32>"), (49, "BlockTeam")])
def test_eigenvectors(n, kernel):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((9 if n < 33 else 1, n, n)) + 1j * rng.standard_normal((9 if n < 33 else 1, n, n))
    r = eig(A, left=True, right=True)
    assert not r.info.any()
    found = ratios.ddrvev(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (A, r.eigenvalues, r.right, r.left)))
    assert max(ratio.max() for ratio in found.values()) <= 10, found
    assert kernel in kernels(np.complex128, True)


def test_sizes_without_a_kernel_are_refused():
    with pytest.raises(Exception, match="error 1"):
        eig(np.zeros((1, 129, 129), np.float32))
