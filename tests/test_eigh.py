"""The symmetric and Hermitian solver: DDRVST on batches (its limit is 60), named matrices, and what one bad matrix may do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spectral_kernels.api.testing import symmetric

REAL = [torch.float32, torch.float64]
DTYPES = [*REAL, torch.complex64, torch.complex128]
SIZES = [*range(1, 21), 32, 33, 64, 96, 128]
NUMPY = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64), torch.complex64: np.dtype(np.complex64), torch.complex128: np.dtype(np.complex128)}


def eigh(A, vectors=True, upper=False):
    return torch.ops.spectral_kernels.eigh_batched(A, vectors, upper)


def random_hermitian(*shape, dtype, seed=0):
    A = torch.randn(*shape, shape[-1], dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return A + A.mH


def ratios(A, w, Z):
    """DDRVST's tests 1 and 2, and its comparison of two solvers' eigenvalues, the other being LAPACK in float64."""
    oracle = torch.linalg.eigvalsh(A.to(torch.complex128 if A.is_complex() else torch.float64)).to(w.dtype)
    return {
        "residual": symmetric.residual_ratio(A.numpy(), w.numpy(), Z.numpy()),
        "orthogonality": symmetric.orthogonality_ratio(Z.numpy()),
        "eigenvalues": symmetric.eigenvalue_ratio(w.numpy(), oracle.numpy()),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_lapack_types(dtype):
    worst = {}
    for n in SIZES:
        A, names = symmetric.symmetric_batch(n, NUMPY[dtype], 3 if n <= 33 else 1)
        A = torch.from_numpy(A)
        w, Z, info = eigh(A)
        w_only, _, info_only = eigh(A, vectors=False)
        assert int(info.abs().max()) == int(info_only.abs().max()) == 0
        assert torch.equal(w, w_only) and bool((w.diff(dim=-1) >= 0).all())
        theirs = ratios(A, *torch.linalg.eigh(A))
        # QL against QL: torch.linalg.eigh divides and conquers, eigvalsh does not
        theirs["eigenvalues"] = np.maximum(theirs["eigenvalues"], ratios(A, torch.linalg.eigvalsh(A), Z)["eigenvalues"])
        for test, ours in ratios(A, w, Z).items():
            assert ours.max() <= 60, f"{test} ratio {ours.max():.3g}: {names[int(ours.argmax())]}"
            before = worst.get(test, (0.0, 0.0))
            worst[test] = (max(before[0], ours.max()), max(before[1], theirs[test].max()))
    if dtype.to_real() == torch.float64:
        del worst["eigenvalues"]  # the oracle is LAPACK itself, whose drivers share their tridiagonal matrix: no yardstick but 60
    for test, (ours, torchs) in worst.items():
        assert ours <= max(1.5 * torchs, 5), f"{test}: worst ratio {ours:.3g}, torch's {torchs:.3g}"


def wilkinson(n):
    return np.diag(np.abs(np.arange(n) - (n - 1) / 2)) + np.eye(n, k=1) + np.eye(n, k=-1)


def glued_wilkinson(n):
    """Wilkinson blocks of order 7, glued by 1e-4: clusters of nearly equal eigenvalues."""
    A = np.kron(np.eye(-(-n // 7)), wilkinson(7))[:n, :n]
    for k in range(7, n, 7):
        A[k, k - 1] = A[k - 1, k] = 1e-4
    return A


def clement(n):
    off = np.sqrt(np.arange(1, n) * np.arange(n - 1, 0, -1.0))
    return np.diag(off, 1) + np.diag(off, -1)


def graded(n, sign):
    s = 2.0 ** (sign * np.linspace(0, 30, n))
    G = np.random.default_rng(0).standard_normal((n, n))
    return (G + G.T) * s[:, None] * s[None, :]


NAMED = {
    "Wilkinson": wilkinson,
    "glued Wilkinson": glued_wilkinson,
    "Clement": clement,
    "graded downwards": lambda n: graded(n, -1),
    "graded upwards": lambda n: graded(n, 1),
    "all ones": lambda n: np.ones((n, n)),
    "second difference": lambda n: 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1),
    "Hilbert": lambda n: 1.0 / (np.arange(n)[:, None] + np.arange(n)[None, :] + 1),
    "exchange": lambda n: np.eye(n)[::-1].copy(),
    "tiny couplings": lambda n: np.eye(n) + 1e-25 * (np.ones((n, n)) - np.eye(n)),
    "zero diagonal": lambda n: np.random.default_rng(1).standard_normal((n, 1)) * np.eye(n, k=-1) + (np.random.default_rng(1).standard_normal((n, 1)) * np.eye(n, k=-1)).T,
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named(name, dtype):
    for n in (1, 2, 3, 5, 8, 21, 40, 128):
        A = torch.from_numpy(NAMED[name](n)).to(dtype)[None]
        if dtype.is_complex:  # D A D^H with a diagonal of phases has the same spectrum
            phase = torch.exp(1j * torch.arange(n)).to(dtype)
            A = phase[:, None] * A * phase.conj()
            A = (A + A.mH) / 2
        w, Z, info = eigh(A)
        assert info.tolist() == [0] and torch.equal(w, eigh(A, vectors=False)[0])
        for test, ratio in ratios(A, w, Z).items():
            limit = 5 * n if test == "eigenvalues" else 10  # the others are divided by n already
            assert ratio.max() <= limit, f"{test} ratio {ratio.max():.3g}: n = {n}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 16, 40])
def test_extreme_magnitudes(dtype, n):
    """A matrix times a power of two has the same eigenvectors and scaled eigenvalues, bit for bit, up to denormals."""
    A = random_hermitian(5, n, dtype=dtype)
    w, Z, _ = eigh(A)
    exponent = 120 if dtype in (torch.float32, torch.complex64) else 1015
    for e in (exponent, -exponent):
        factor = 2.0**e
        ws, Zs, info = eigh(A * factor)
        assert int(info.max()) == 0
        assert symmetric.orthogonality_ratio(Zs.numpy()).max() <= 5
        if e > 0:
            assert torch.equal(ws, w * factor) and torch.equal(Zs, Z)
    tiny = torch.finfo(dtype).tiny
    denormal = A * (tiny / 16)
    wd, Zd, info = eigh(denormal)
    assert int(info.max()) == 0 and symmetric.orthogonality_ratio(Zd.numpy()).max() <= 5
    lifted, _, _ = eigh(denormal * 2.0**100)  # exact, and of ordinary size
    assert float((wd * 2.0**100 - lifted).abs().max()) <= tiny * torch.finfo(dtype).eps * 2.0**100


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("vectors", [False, True])
def test_bad_matrix_harms_nobody(dtype, vectors):
    A = random_hermitian(21, 6, dtype=dtype)
    clean = eigh(A, vectors)
    A[4, 3, 2] = float("nan")
    A[7, 0, 0] = float("inf")
    if dtype.is_complex:
        A[9, 5, 1] = complex(0, float("nan"))
    w, Z, info = eigh(A, vectors)
    bad = [4, 7, 9] if dtype.is_complex else [4, 7]
    assert info.nonzero().flatten().tolist() == bad and bool((info[bad] == 7).all())
    good = info == 0
    assert torch.equal(w[good], clean[0][good]) and bool(w[~good].isnan().all())
    if vectors:
        assert torch.equal(Z[good], clean[1][good]) and bool(Z[~good].isnan().all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("upper", [False, True])
def test_reads_one_triangle(dtype, upper):
    for n in (2, 3, 9, 34):
        A = random_hermitian(18, n, dtype=dtype)
        other = torch.ones(n, n, dtype=torch.bool).tril(-1) if upper else torch.ones(n, n, dtype=torch.bool).triu(1)
        half = A.masked_fill(other, float("nan"))
        if dtype.is_complex:  # the imaginary part of the diagonal is ignored
            torch.view_as_real(half).diagonal(dim1=-3, dim2=-2)[:, 1] = float("nan")
        w, Z, info = eigh(half, upper=upper)
        assert int(info.max()) == 0
        expected = eigh(A)
        assert torch.equal(w, expected[0]) and torch.equal(Z, expected[1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [2, 3, 7, 16, 33, 70])
def test_batch_independence(dtype, n):
    A = random_hermitian(37, n, dtype=dtype)
    A[5] = A[5] * 1e-3 + torch.eye(n, dtype=dtype)
    A[11] = torch.eye(n, dtype=dtype)
    for vectors in (False, True):
        w, Z, _ = eigh(A, vectors)
        singles = [eigh(a, vectors) for a in A]
        assert torch.equal(torch.stack([s[0] for s in singles]), w)
        order = torch.randperm(37, generator=torch.Generator().manual_seed(1))
        shuffled = eigh(A[order], vectors)
        assert torch.equal(shuffled[0], w[order])
        if vectors:
            assert torch.equal(torch.stack([s[1] for s in singles]), Z)
            assert torch.equal(shuffled[1], Z[order])
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            assert torch.equal(eigh(A, vectors)[0], w)
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strides(dtype):
    A = random_hermitian(4, 3, 5, dtype=dtype)
    w, Z, _ = eigh(A)
    assert Z.stride() == torch.linalg.eigh(A).eigenvectors.stride()
    assert torch.equal(eigh(A.transpose(0, 1))[1], Z.transpose(0, 1))
    assert torch.equal(eigh(A.mT.contiguous().mT)[1], Z)
    assert torch.equal(eigh(A.mH)[0], w)
    assert torch.equal(eigh(A[:1].expand(7, 3, 5, 5))[0], w[:1].expand(7, 3, 5))
    assert torch.equal(eigh(A[::2, 1])[1], Z[::2, 1])


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 0), (0, 0), (3, 0, 5, 5)])
def test_empty(shape):
    w, Z, info = eigh(torch.empty(shape))
    assert w.shape == shape[:-1] and Z.shape == shape and info.shape == shape[:-2] and int(info.abs().sum()) == 0


def test_argument_errors():
    for bad, message in [(torch.randn(3, 4), "shape"), (torch.randn(2, 513, 513), "n <= 512"), (torch.ones(2, 2, dtype=torch.bfloat16), "float32")]:
        with pytest.raises(RuntimeError, match=message):
            eigh(bad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
def test_opcheck(dtype):
    A = random_hermitian(3, 4, dtype=dtype)
    for vectors in (False, True):
        torch.library.opcheck(torch.ops.spectral_kernels.eigh_batched, (A, vectors, False), test_utils=("test_schema", "test_faketensor"))
