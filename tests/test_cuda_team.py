"""The kernels that share a matrix among a team of threads, under emulation: every size of team and every dtype against LAPACK's ratios and the CPU kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simt_library
import torch
from cuda_team import BLOCK, DTYPES, Mapping, Results, eig

import spectral_kernels as sk
from spectral_kernels.api.testing import matching, matrices, ratios

EIGHT = Mapping(8, 64)  # two warps of four teams
BLOCKS = Mapping(BLOCK, 64, "z_global")
OTHERS = (Mapping(4, 32), Mapping(16, 32), Mapping(32, 64), Mapping(BLOCK, 32, "shared"), BLOCKS, Mapping(BLOCK, 64, "global"))
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
# every further size of team is another library to compile
quick_dtypes = pytest.mark.parametrize("dtype", [pytest.param(d, marks=[] if d in (np.float32, np.complex128) else pytest.mark.thorough) for d in DTYPES])


def random_batch(batch: int, n: int, dtype: type, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, n])
    A = rng.standard_normal((batch, n, n))
    return (A + 1j * rng.standard_normal(A.shape) if np.dtype(dtype).kind == "c" else A).astype(dtype)


def adversarial(n: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    named = matrices.COMPLEX_ADVERSARIAL if np.dtype(dtype).kind == "c" else matrices.ADVERSARIAL
    with np.errstate(over="ignore"):
        A = np.stack([make(n).astype(dtype) for make in named.values()])
    finite = np.isfinite(A).all((1, 2))
    return A[finite], np.array(list(named))[finite]


def assert_accurate(A: np.ndarray, r: Results, limit: float = 10, names: np.ndarray | list[str] | None = None) -> None:
    assert not r.info.any()
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (A, r.eigenvalues, r.right, r.left)]
    for test, ratio in ratios.ddrvev(*tensors).items():
        worst = int(ratio.argmax())
        assert ratio.max() <= limit, f"{test} ratio {ratio.max():.3g}: {names[worst] if names is not None else worst}, n = {A.shape[-1]}"


def assert_same(a: Results, b: Results, where: np.ndarray | slice = slice(None)) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x[where], y[where])


def distance_to_cpu(A: np.ndarray, w: np.ndarray) -> float:
    """Distance of ``w`` from the eigenvalues of the CPU kernels, in ``ulp |A|``, of the worst matrix."""
    cpu = sk.linalg.eigvals(torch.from_numpy(A)).numpy()
    scale = np.linalg.norm(A.astype(complex), axis=(-2, -1)) * np.finfo(A.dtype).eps
    return max(matching.matched_distance(a, b) / s for a, b, s in zip(w, cpu, scale, strict=True))


@each_dtype
def test_lapack_types(dtype):
    for n in (1, 2, 3, 7, 8, 9, 15, 16, 17):
        A, names = matrices.lapack_batch(n, dtype, 1)
        r = eig(A, EIGHT)
        assert_accurate(A, r, names=names)
        np.testing.assert_array_equal(eig(A, EIGHT, vectors=False).eigenvalues, r.eigenvalues)
        if n in (2, 9, 16):
            assert_same(r, eig(A, BLOCKS))


@quick_dtypes
def test_the_size_of_the_team_and_the_order_of_threads_change_no_bit(dtype):
    for n in (1, 2, 3, 8, 9, 17):
        A = random_batch(7, n, dtype)
        r = eig(A, EIGHT)
        assert_accurate(A, r)
        assert distance_to_cpu(A, r.eigenvalues) < 100 * n
        for mapping in OTHERS:
            assert_same(r, eig(A, mapping))
            if mapping.placement != "z_global":
                np.testing.assert_array_equal(eig(A, mapping, vectors=False).eigenvalues, r.eigenvalues)
        for order in ("reverse", "random"):
            assert_same(r, eig(A, EIGHT, order=order, seed=n))
            assert_same(r, eig(A, BLOCKS, order=order, seed=n))


@quick_dtypes
@pytest.mark.parametrize("n", [31, 32, 33, 64])
def test_larger(n, dtype):
    A = random_batch(3, n, dtype)
    r = eig(A, Mapping(32, 32) if n == 64 or dtype == np.complex128 else EIGHT)  # four of complex128 do not fit into shared memory
    assert_accurate(A, r)
    assert distance_to_cpu(A, r.eigenvalues) < 100 * n
    np.testing.assert_array_equal(eig(A, Mapping(BLOCK, 128, "shared"), vectors=False).eigenvalues, r.eigenvalues)


@pytest.mark.thorough
@each_dtype
@pytest.mark.parametrize("n", [65, 127, 128])
def test_largest(n, dtype):
    A, names = matrices.lapack_batch(n, dtype, 1)
    A, names = A[[8, 12, 15, 18, 19]], [names[i] for i in (8, 12, 15, 18, 19)]
    mapping = Mapping(BLOCK, 128, "global" if dtype == np.complex128 else "z_global")
    r = eig(A, mapping)
    assert_accurate(A, r, names=names)
    assert_same(Results(*(x[:1] for x in r)), eig(A[:1], mapping, order="reverse"))


@pytest.mark.thorough
@each_dtype
@pytest.mark.parametrize("n", [31, 32, 33, 64])
def test_lapack_types_of_larger_sizes(n, dtype):
    A, names = matrices.lapack_batch(n, dtype, 1)
    mapping = EIGHT if n <= 33 else Mapping(32, 64)
    if dtype == np.complex128:  # as many matrices do not fit into shared memory
        mapping = Mapping(32, 32) if n <= 33 else Mapping(BLOCK, 64, "z_global")
    assert_accurate(A, eig(A, mapping), names=names)


@each_dtype
def test_adversarial(dtype):
    for n in (2, 7, 16):
        A, names = adversarial(n, dtype)
        r = eig(A, EIGHT)
        assert_accurate(A, r, max(n, 10), names)
        np.testing.assert_array_equal(eig(A, EIGHT, vectors=False).eigenvalues, r.eigenvalues)


@each_dtype
def test_bad_matrices_harm_no_neighbour(dtype):
    n = 9
    good = random_batch(13, n, dtype)
    mixed = good.copy()
    for b, value in ((0, np.nan), (5, np.inf), (6, -np.inf), (12, np.nan)):
        mixed[b, b % n, (b + 1) % n] = value
    bad = ~np.isfinite(mixed).all((1, 2))
    for mapping in (EIGHT, BLOCKS):
        alone, r = eig(good, mapping), eig(mixed, mapping)
        assert (r.info == np.where(bad, n + 1, 0)).all()
        assert all(np.isnan(x[bad]).all() for x in r[:3])
        assert_same(alone, r, ~bad)


@each_dtype
def test_bits_depend_on_no_neighbour(dtype):
    A = random_batch(21, 9, dtype)
    A[1::2] *= 1e3
    A[::3, 0, 1:] = 0  # a row that isolates an eigenvalue
    r = eig(A, EIGHT)
    for batch in (1, 2, 20):
        assert_same(eig(A[-batch:], EIGHT, blocks=3), Results(*(x[-batch:] for x in r)))


def test_one_side_and_no_balancing():
    A = random_batch(5, 10, np.float64) * np.logspace(0, 2, 10)
    r = eig(A, EIGHT)
    assert_accurate(A, r)
    np.testing.assert_array_equal(eig(A, EIGHT, left=False).right, r.right)
    np.testing.assert_array_equal(eig(A, EIGHT, right=False).left, r.left)
    plain = eig(A, EIGHT, balanced=False)
    assert_accurate(A, plain)
    assert not np.array_equal(plain.eigenvalues, r.eigenvalues)


@pytest.mark.parametrize("mapping", [Mapping(8, 32), Mapping(BLOCK, 32, "shared")], ids=str)
def test_iterations_end(mapping):
    """Hessenberg matrices past the screen for NaN: the count stops those that never deflate, and them alone."""
    kernels = simt_library.load("team_iteration.cpp")
    H = np.triu(random_batch(6, 5, np.float64), -1)
    H[[1, 4], 0, 0] = np.nan
    H[:, 4, 3] = 0  # an eigenvalue that is found before
    info = np.full(6, -1, np.int32)
    kernels.call("francis_info", H, info, 6, 5, mapping.team)
    assert info.tolist() == [0, 4, 0, 0, 4, 0]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("team", ["warp", "block"])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_sanitizers_find_nothing(dtype, team, variant):
    done = simt_library.sanitized(Path(__file__).parent / "cuda_team.py", variant, team, dtype)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout[-2000:] + done.stderr[-4000:]
