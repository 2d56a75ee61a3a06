"""The symmetric CUDA kernels under emulation: DDRVST (limit 60), every mapping, sizes around their limits, orders of the threads, sanitizers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simt_library
import torch
from cuda_eigh import DTYPES, eigh, kernels, random_hermitian, table

from spectral_kernels.api.testing import symmetric

SIZES = (1, 2, 3, 7, 8, 9, 31, 32, 33, 64)
SCRIPT = Path(__file__).parent / "cuda_eigh_sanitized.py"


def ratios(A, w, V):
    oracle = np.linalg.eigvalsh(A.astype(np.complex128 if np.iscomplexobj(A) else np.float64)).astype(w.dtype)
    return {
        "residual": symmetric.residual_ratio(A, w, V),
        "orthogonality": symmetric.orthogonality_ratio(V),
        "eigenvalues": symmetric.eigenvalue_ratio(w, oracle),
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_lapack_types(dtype):
    worst = {}
    for n in SIZES:
        A, names = symmetric.symmetric_batch(n, np.dtype(dtype), 3 if n <= 9 else 1)
        w, V, info = eigh(A, order=simt_library.ORDERS[n % 3], seed=n)
        w_only, _, info_only = eigh(A, vectors=False)
        assert not info.any() and not info_only.any()
        np.testing.assert_array_equal(w, w_only)
        assert (np.diff(w) >= 0).all()
        theirs = ratios(A, *(x.numpy() for x in torch.linalg.eigh(torch.from_numpy(A))))
        # torch.linalg.eigh divides and conquers, eigvalsh iterates as we do
        theirs["eigenvalues"] = np.maximum(theirs["eigenvalues"], ratios(A, torch.linalg.eigvalsh(torch.from_numpy(A)).numpy(), V)["eigenvalues"])
        for test, ours in ratios(A, w, V).items():
            assert ours.max() <= 60, f"{test} ratio {ours.max():.3g}: {names[int(ours.argmax())]}"
            before = worst.get(test, (0.0, 0.0))
            worst[test] = (max(before[0], ours.max()), max(before[1], theirs[test].max()))
    if np.finfo(dtype).bits == 64:
        del worst["eigenvalues"]  # the oracle is LAPACK itself, no yardstick but 60
    for test, (ours, torchs) in worst.items():
        assert ours <= max(1.5 * torchs, 5), f"{test}: worst ratio {ours:.3g}, torch's {torchs:.3g}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_mapping_gives_the_same_bits(dtype):
    for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 33):
        A = random_hermitian(5, n, dtype, n)
        w, V, info = eigh(A)
        for team in (4, 32, 96) if n <= 17 else (32, 96):
            for this, that in zip(eigh(A, team=team), (w, V, info), strict=True):
                np.testing.assert_array_equal(this, that, err_msg=f"n = {n}, team = {team}")


@pytest.mark.parametrize("order", simt_library.ORDERS[1:])
def test_the_order_of_the_threads_does_not_matter(order):
    for n in (3, 8, 9, 20, 33):
        A = random_hermitian(3, n, np.float64, n)
        for this, that in zip(eigh(A, order=order, seed=n), eigh(A), strict=True):
            np.testing.assert_array_equal(this, that)


@pytest.mark.parametrize("n", [2, 4, 8, 9, 32, 33])
def test_a_bad_matrix_harms_itself_alone(n):
    A = random_hermitian(7, n, np.float64, n)
    good = eigh(A)
    A[1, n - 1, 0], A[2, 0, 0], A[5, n - 1, n - 1] = np.nan, np.inf, -np.inf
    w, V, info = eigh(A)
    assert info.tolist() == [0, n + 1, n + 1, 0, 0, n + 1, 0]
    for this, that in zip((w, V), good[:2], strict=True):
        assert np.isnan(this[info > 0]).all()
        np.testing.assert_array_equal(this[info == 0], that[info == 0])


@pytest.mark.parametrize("n", [3, 9, 33])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_one_triangle_in_any_strides(n, dtype):
    A = random_hermitian(6, n, dtype, n)
    expected = eigh(A)
    for upper in (False, True):
        other = np.tri(n, k=-1, dtype=bool)  # the triangle that is not read
        one = np.where(other if upper else other.T, np.nan, A).astype(dtype)
        if np.iscomplexobj(A):
            one[:, range(n), range(n)] += 1j  # and the imaginary parts of the diagonal
        wide = np.empty((6, n + 1, 2 * n), dtype)
        wide[:, 1:, ::2] = one
        for view in (one, wide[:, 1:, ::2], np.ascontiguousarray(one.swapaxes(1, 2)).swapaxes(1, 2), one[::-1], one.reshape(2, 3, n, n).swapaxes(0, 1)):
            w, V, info = eigh(view, upper=upper)
            assert not info.any()
            order = slice(None, None, -1) if view.base is one and view.ndim == 3 and view.strides[0] < 0 else slice(None)
            that_w, that_V = (x[order] if view.ndim == 3 else x.reshape(2, 3, *x.shape[1:]).swapaxes(0, 1) for x in expected[:2])
            np.testing.assert_array_equal(w, that_w)
            np.testing.assert_array_equal(V, that_V)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_that_do_not_fill_the_grid(dtype):
    for n, batch in ((2, 700), (3, 1), (5, 33), (9, 129), (16, 23)):
        A = random_hermitian(batch, n, dtype, n)
        w, V, info = eigh(A)
        assert not info.any()
        ratio = np.abs(A @ V - V * w[:, None, :]).max() / np.abs(A).max() / n / np.finfo(dtype).eps
        assert ratio < 5
        np.testing.assert_array_equal(eigh(A[-1:])[0][0], w[-1])


def test_small_eigenvalues_of_a_positive_definite_matrix_have_their_digits():
    n = 12
    scale = 2.0 ** -np.arange(0, 4 * n, 4.0)
    G = np.random.default_rng(0).standard_normal((n, n))
    core = np.eye(n) + 0.1 * (G + G.T) / np.sqrt(n)  # well conditioned: the spectrum of D core D is known to high relative accuracy
    A = (scale[:, None] * core * scale[None, :])[None]
    A = (A + A.swapaxes(1, 2)) / 2
    w = eigh(A)[0][0]
    singular = np.linalg.svd(np.linalg.cholesky(A[0]).T * 1.0, compute_uv=False)  # of the factor: half the exponents
    inverse = 1 / np.linalg.eigvalsh(np.linalg.inv(A[0]))[::-1]
    assert abs(w[0] / inverse[0] - 1) < 1e-12 and abs(w[-1] / singular[0] ** 2 - 1) < 1e-13


def test_the_table_fits_every_gpu():
    for dtype in DTYPES:
        for vectors in (False, True):
            largest = table(1, np.dtype(dtype), vectors)[1]
            for n in range(1, largest + 1):
                t = table(n, np.dtype(dtype), vectors)[0]
                assert t["shared_bytes"] + 512 <= 163 * 1024 and t["threads"] % 32 == 0 and t["threads"] <= 256
                assert t["threads"] == t["team"] * t["matrices"]
                assert t["team"] > 1 or t["entries"] % 2 == 1  # equal places of neighbouring threads lie in different banks


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_sanitizers_find_nothing(variant):
    done = simt_library.sanitized(SCRIPT, variant)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_all_mappings_ran():
    for n in (1, 4, 6, 9, 17, 33):
        eigh(random_hermitian(2, n, np.float32))
    names = " ".join(launch.kernel for launch in kernels().launches())
    teams = ("WarpTeam<8>", "WarpTeam<16>", "BlockTeam")
    for kernel in ("thread_kernel<float, 1", "thread_kernel<float, 6", *(f"team_kernel<float, sk::{team}" for team in teams)):
        assert f"eigh_{kernel}, true>" in names
