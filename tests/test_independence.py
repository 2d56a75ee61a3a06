"""Results do not depend, bit for bit, on the batch, the position in it, the neighbours, the threads, or on what is asked for."""

from __future__ import annotations

import pytest
import torch

import spectral_kernels as sk

pytestmark = pytest.mark.isa
REAL = [torch.float32, torch.float64]
BATCHES = [*range(1, 18), 31, 32, 33, 65]  # around 1, 2 and 4 lanes of every register width


def bits(x: torch.Tensor) -> torch.Tensor:
    """The bit patterns: NaN equals NaN, and 0 differs from -0."""
    real = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
    return real.contiguous().view({4: torch.int32, 8: torch.int64}[real.element_size()])


def assert_same_bits(a: tuple, b: tuple, what: str) -> None:
    for x, y in zip(a, b, strict=True):
        assert torch.equal(bits(x), bits(y)), what


def batch(count: int, n: int, dtype: torch.dtype) -> torch.Tensor:
    """Matrices of very different course: converging at once, slowly, scaled, reducible."""
    torch.manual_seed(n)
    A = torch.randn(count, n, n, dtype=dtype)
    A[1::5] = A[1::5].triu()
    A[2::5] *= 1e-20
    A[3::5, : n // 2] *= 1e6
    A[4::7] = torch.eye(n, dtype=dtype).roll(1, 0)
    return A


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 6, 17])
def test_batch_size(n, dtype):
    A = batch(max(BATCHES), n, dtype)
    alone = [torch.stack(x) for x in zip(*(sk.linalg.eig_ex(a, left=True) for a in A), strict=True)]
    for size in BATCHES:
        assert_same_bits(sk.linalg.eig_ex(A[:size], left=True), [x[:size] for x in alone], f"batch of {size}")


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [2, 5, 33])
def test_position(n, dtype):
    A = batch(65, n, dtype)
    expected = sk.linalg.eig_ex(A, left=True)
    for shift in (1, 2, 3, 7, 15, 31):
        rolled = sk.linalg.eig_ex(A.roll(shift, 0), left=True)
        assert_same_bits(rolled, [x.roll(shift, 0) for x in expected], f"rolled by {shift}")


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [2, 9, 32])
def test_number_of_threads(n, dtype):
    A = batch(101, n, dtype)
    expected = sk.linalg.eig_ex(A, left=True)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert_same_bits(sk.linalg.eig_ex(A, left=True), expected, f"{threads} threads")
    finally:
        torch.set_num_threads(before)


def neighbours(n: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    info = torch.finfo(dtype)
    torch.manual_seed(99)
    R = torch.randn(n, n, dtype=dtype)
    one_nan, one_inf = R.clone(), R.clone()
    one_nan[-1, 0], one_inf[0, -1] = float("nan"), float("-inf")
    return {
        "NaN": torch.full((n, n), float("nan"), dtype=dtype),
        "one NaN": one_nan,
        "Inf": torch.full((n, n), float("inf"), dtype=dtype),
        "one Inf": one_inf,
        "zero": torch.zeros(n, n, dtype=dtype),
        "denormal": torch.full((n, n), info.tiny / 4, dtype=dtype) * torch.sign(R),
        "huge": torch.full((n, n), info.max / (2 * n), dtype=dtype) * torch.sign(R),  # eigenvalues up to max / 2
        "cyclic": torch.eye(n, dtype=dtype).roll(1, 0),
    }


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 33])
def test_neighbours(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(35, n, n, dtype=dtype)
    expected = sk.linalg.eig_ex(A, left=True)
    everything = A.clone()
    for i, (name, neighbour) in enumerate(neighbours(n, dtype).items()):
        everything[4 * i + 1] = neighbour
        mixed = A.clone()
        mixed[1::2] = neighbour
        r = sk.linalg.eig_ex(mixed, left=True)
        assert_same_bits([x[::2] for x in r], [x[::2] for x in expected], name)
        bad = not bool(neighbour.isfinite().all())
        assert r.info[1::2].tolist() == [n + 1 if bad else 0] * 17, name
        for x in (r.eigenvalues, r.eigenvectors, r.left_eigenvectors):
            assert bool((x[1::2].isnan() if bad else x[1::2].isfinite()).all()), name
    r = sk.linalg.eig_ex(everything, left=True)
    assert_same_bits([x[::2] for x in r], [x[::2] for x in expected], "all kinds together")


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 33, 64])
def test_what_is_asked_for(n, dtype):
    """DDRVEV's tests 5 to 7."""
    A = batch(19, n, dtype)
    both = sk.linalg.eig_ex(A, left=True)
    values, vectors = sk.linalg.eig(A)
    left = sk.linalg.eig_ex(A, left=True, right=False)
    assert_same_bits((values, vectors), (both.eigenvalues, both.eigenvectors), "eig")
    assert_same_bits((sk.linalg.eigvals(A),), (both.eigenvalues,), "eigvals")
    assert_same_bits((left.eigenvalues, left.left_eigenvectors), (both.eigenvalues, both.left_eigenvectors), "left only")
    assert left.eigenvectors is None and sk.linalg.eig_ex(A).left_eigenvectors is None


@pytest.mark.slow
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_large_batch(dtype):
    """More matrices than 2^16, and an odd number."""
    torch.manual_seed(0)
    A = torch.randn(1021, 3, 3, dtype=dtype)
    small = sk.linalg.eig_ex(A, left=True)
    copies = 65
    large = sk.linalg.eig_ex(A.repeat(copies, 1, 1), left=True)
    assert large.info.numel() > 2**16 and large.info.numel() % 2 == 1
    for x, y in zip(large, small, strict=True):
        assert torch.equal(bits(x).reshape(copies, -1), bits(y).reshape(1, -1).expand(copies, -1))
