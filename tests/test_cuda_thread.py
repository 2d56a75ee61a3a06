"""The kernels with a thread per matrix, under emulation: every size, dtype and order of threads, against LAPACK's ratios and the CPU kernels."""

from __future__ import annotations

import cuda_eig
import numpy as np
import pytest
import simt_library
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing import matching, matrices, ratios

# the largest n of `csrc/cuda/tuning.h` without and with eigenvectors
SIZES = {np.float32: 8, np.float64: 5, np.complex64: 6, np.complex128: 4}
each_dtype = pytest.mark.parametrize("dtype", cuda_eig.DTYPES)


def ddrvev(A: np.ndarray, r: cuda_eig.Results) -> dict[str, np.ndarray]:
    return ratios.ddrvev(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (A, r.eigenvalues, r.right, r.left)))


def backward_error(A: np.ndarray, w: np.ndarray) -> float:
    """Distance of ``w`` from the eigenvalues on the CPU, in ``ulp |A|``, of the worst matrix."""
    cpu = sk.linalg.eigvals(torch.from_numpy(A)).numpy()
    scale = np.linalg.norm(A.astype(complex), axis=(-2, -1)) * np.finfo(A.dtype).eps
    return max(matching.matched_distance(a, b) / s for a, b, s in zip(w, cpu, scale, strict=True))


@each_dtype
def test_lapack_types(dtype):
    for n in range(1, SIZES[dtype] + 1):
        A, names = matrices.lapack_batch(n, dtype, 2)
        r = cuda_eig.eig(A, left=True, right=True)
        assert not r.info.any(), names[int(r.info.argmax())]
        for test, ratio in ddrvev(A, r).items():
            assert ratio.max() <= 10, f"{test} ratio {ratio.max():.3g}: {names[int(ratio.argmax())]}"
        np.testing.assert_array_equal(cuda_eig.eig(A).eigenvalues, r.eigenvalues)  # the same bits without vectors


@each_dtype
def test_eigenvalues_are_those_of_the_cpu(dtype):
    rng = np.random.default_rng(0)
    for n in range(1, SIZES[dtype] + 1):
        A = rng.standard_normal((97, n, n))
        A = (A + 1j * rng.standard_normal(A.shape) if np.dtype(dtype).kind == "c" else A).astype(dtype)
        results = [cuda_eig.eig(A, order=order) for order in simt_library.ORDERS]
        assert not results[0].info.any()
        assert backward_error(A, results[0].eigenvalues) < 100
        for other in results[1:]:
            np.testing.assert_array_equal(other.eigenvalues, results[0].eigenvalues)




@each_dtype
def test_adversarial(dtype):
    named = matrices.COMPLEX_ADVERSARIAL if np.dtype(dtype).kind == "c" else matrices.ADVERSARIAL
    for n in range(1, SIZES[dtype] + 1):
        with np.errstate(over="ignore"):
            A = np.stack([make(n).astype(dtype) for make in named.values()])
        finite = np.isfinite(A).all((1, 2))
        A, names = A[finite], np.array(list(named))[finite]
        r = cuda_eig.eig(A, left=True, right=True)
        assert not r.info.any(), (n, names[r.info > 0])
        for test, ratio in ddrvev(A, r).items():
            assert ratio.max() <= 10, f"{test} ratio {ratio.max():.3g}: {names[int(ratio.argmax())]}, n = {n}"


@each_dtype
def test_bad_matrices_harm_no_neighbour(dtype):
    rng = np.random.default_rng(1)
    n = SIZES[dtype]
    good = rng.standard_normal((45, n, n)).astype(dtype)
    mixed = good.copy()
    for b, value in ((0, np.nan), (7, np.inf), (31, -np.inf), (32, np.nan), (44, np.nan)):
        mixed[b, b % n, (b + 1) % n] = value
    bad = ~np.isfinite(mixed).all((1, 2))
    alone, r = (cuda_eig.eig(A, left=True, right=True) for A in (good, mixed))
    assert (r.info == np.where(bad, n + 1, 0)).all()
    for a, b in zip(alone[:3], r[:3], strict=True):
        assert np.isnan(b[bad]).all()
        np.testing.assert_array_equal(a[~bad], b[~bad])


@each_dtype
def test_any_strides_and_batches(dtype):
    rng = np.random.default_rng(2)
    n = 3
    A = rng.standard_normal((70, n, n)).astype(dtype)
    r = cuda_eig.eig(A, left=True, right=True)
    padded = np.zeros((70, 2 * n + 1, n + 2), dtype)
    padded[:, 1 : 2 * n + 1 : 2, 2:] = A
    for view in (np.asfortranarray(A), A.swapaxes(1, 2).copy().swapaxes(1, 2), padded[:, 1 : 2 * n + 1 : 2, 2:], A[::-1].copy()[::-1]):
        for a, b in zip(r, cuda_eig.eig(view, left=True, right=True), strict=True):
            np.testing.assert_array_equal(a, b)
    for batch in (0, 1, 31, 33, 65):
        np.testing.assert_array_equal(cuda_eig.eig(A[:batch]).eigenvalues, r.eigenvalues[:batch])
    np.testing.assert_array_equal(cuda_eig.eig(A, right=True).right, r.right)
    np.testing.assert_array_equal(cuda_eig.eig(A, left=True).left, r.left)


def test_without_balancing():
    A = np.random.default_rng(3).standard_normal((9, 4, 4)) * np.logspace(0, 6, 4)
    r = cuda_eig.eig(A, left=True, right=True, balance=False)
    for test, ratio in ddrvev(A, r).items():
        assert ratio.max() <= 10, test
    assert not np.array_equal(r.eigenvalues, cuda_eig.eig(A).eigenvalues)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("dtype, n", [("float32", 4), ("complex128", 3)])
def test_sanitizers(variant, dtype, n):
    clean = simt_library.sanitized(simt_library.ROOT / "tests" / "cuda_eig_sanitized.py", variant, dtype, str(n))
    assert (clean.returncode, clean.stdout) == (0, "done\n"), clean.stderr
