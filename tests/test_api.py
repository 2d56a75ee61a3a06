"""What a drop-in must not change: out=, UPLO, subclasses, modes, lazily conjugated inputs; and the LAPACK path's own rules."""

from __future__ import annotations

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels import dispatch, lapack

CALLS = {name: (getattr(sk.linalg, name), getattr(torch.linalg, name)) for name in ("eig", "eigvals", "eigh", "eigvalsh")}


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.fixture
def A():
    torch.manual_seed(0)
    return torch.randn(3, 4, 4, dtype=torch.float64)


@pytest.mark.parametrize("name", CALLS)
def test_out(name, A):
    ours, theirs = CALLS[name]
    like = theirs(A)
    out = tuple(torch.empty_like(p) for p in parts(like))
    got = ours(A, out=out if isinstance(like, tuple) else out[0])
    assert all(g is o for g, o in zip(parts(got), out, strict=True))
    for g, e in zip(parts(got), parts(ours(A)), strict=True):
        assert torch.equal(g, e)
    if name == "eigh":
        assert type(got).__name__ == "linalg_eigh_out"
    wrong = tuple(torch.empty(0, dtype=torch.int32) for _ in out)
    wrong = wrong if isinstance(like, tuple) else wrong[0]
    for function in (theirs, ours):
        with pytest.raises(RuntimeError, match="safely castable" if "h" not in name else "Expected out tensor to have dtype"):
            function(A, out=wrong)
        fresh = tuple(torch.empty_like(p) for p in parts(like))
        watched = A.clone().requires_grad_()
        if name == "eigvals":  # the one that torch differentiates through out=
            assert function(watched, out=fresh[0]).requires_grad
            continue
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            function(watched, out=fresh if isinstance(like, tuple) else fresh[0])


@pytest.mark.parametrize("name", CALLS)
def test_errors_are_torchs(name):
    ours, theirs = CALLS[name]
    for bad in (torch.randn(3), torch.randn(3, 4), torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bfloat16), [1]):
        with pytest.raises(Exception) as expected:
            theirs(bad)
        with pytest.raises(type(expected.value)):
            ours(bad)


@pytest.mark.parametrize("uplo", ["L", "U", "l", "u"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
def test_uplo_reads_one_triangle(uplo, dtype):
    torch.manual_seed(0)
    A = torch.randn(2, 5, 5, dtype=dtype)
    clean = A.triu() if uplo in "Uu" else A.tril()
    torch.testing.assert_close(sk.linalg.eigvalsh(A, uplo), torch.linalg.eigvalsh(clean, UPLO=uplo))
    garbage = torch.full_like(A, float("nan"))
    poisoned = clean + (garbage.tril(-1) if uplo in "Uu" else garbage.triu(1))
    w, V = sk.linalg.eigh(poisoned, uplo)
    torch.testing.assert_close(w, torch.linalg.eigvalsh(clean, UPLO=uplo))
    assert bool(V.isfinite().all())


def test_uplo_errors(A):
    for bad, error in (("X", RuntimeError), (None, TypeError)):
        for function in (torch.linalg.eigh, sk.linalg.eigh, torch.linalg.eigvalsh, sk.linalg.eigvalsh):
            with pytest.raises(error):
                function(A, bad)


@pytest.mark.parametrize("name", CALLS)
def test_lazy_conjugates_and_negatives(name):
    torch.manual_seed(0)
    ours = CALLS[name][0]
    C = torch.randn(3, 4, 4, dtype=torch.complex128)
    for lazy in (C.mH, torch.imag(C.conj()), C.conj()):
        assert lazy.is_conj() or lazy.is_neg()
        plain = lazy.resolve_conj().resolve_neg().clone()
        for g, e in zip(parts(ours(lazy)), parts(ours(plain)), strict=True):
            assert torch.equal(g, e)
        (g,), (e,) = (torch.autograd.grad(parts(ours(x))[0].abs().sum(), x) for x in (lazy.detach().requires_grad_(), plain.requires_grad_()))
        torch.testing.assert_close(g.resolve_conj().resolve_neg(), e)


class Logged(torch.Tensor):
    calls: list = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func)
        return super().__torch_function__(func, types, args, kwargs)


@pytest.mark.parametrize("name", CALLS)
def test_subclasses_are_asked(name, A):
    Logged.calls.clear()
    ours, theirs = CALLS[name]
    got = ours(A.as_subclass(Logged))
    assert Logged.calls[0] is ours and all(type(g) is Logged for g in parts(got))
    with sk.drop_in():
        again = theirs(A.as_subclass(Logged))
    for g, h, e in zip(parts(got), parts(again), parts(ours(A)), strict=True):
        assert torch.equal(g.as_subclass(torch.Tensor), e) and torch.equal(h.as_subclass(torch.Tensor), e)
    assert type(sk.linalg.eig_ex(A.as_subclass(Logged)).eigenvalues) is Logged
    assert sk.linalg.eigvals(torch.nn.Parameter(A)).requires_grad


def test_drop_in_replaces_all_four(A, monkeypatch):
    served = []
    for table, solve in {"eig": lapack.eig, "eigh": lapack.eigh}.items():
        spy = dispatch.Rule(None, None, None, table, lambda *args, solve=solve, table=table: served.append(table) or solve(*args))
        monkeypatch.setitem(dispatch.TABLES, table, (spy,))
    dispatch.rule.cache_clear()
    with sk.drop_in():
        torch.linalg.eig(A), torch.linalg.eigvals(input=A), torch.linalg.eigh(A, UPLO="U"), torch.linalg.eigvalsh(A)
        assert served == ["eig", "eig", "eigh", "eigh"]
        torch.linalg.svdvals(A)
    dispatch.rule.cache_clear()
    torch.linalg.eig(A)
    assert len(served) == 4


# The LAPACK path


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
def test_lapack_isolates_bad_matrices(dtype, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        A = torch.randn(7, 5, 5, dtype=dtype)
        clean, clean_h = lapack.eig(A, True, True, True), lapack.eigh(A, True, True)
        A[2, 0, 1], A[5, 3, 3] = float("nan"), float("inf")
        for got, expected in ((lapack.eig(A, True, True, True), clean), (lapack.eigh(A, True, True), clean_h)):
            assert got[-1].tolist() == [0, 0, 6, 0, 0, 6, 0]
            good = got[-1] == 0
            for g, e in zip(got[:-1], expected[:-1], strict=True):
                torch.testing.assert_close(g[good], e[good])
                assert bool(g[~good].isnan().all())
                assert g.dim() < 3 or g.mT.is_contiguous()
    finally:
        torch.set_num_threads(before)


def test_a_gpu_is_given_a_few_matrices_at_a_time(monkeypatch):
    A = torch.randn(10, 5, 5, generator=torch.Generator().manual_seed(0))
    A = A + A.mT
    A[7, 4, 0] = float("nan")
    expected, sizes = lapack.eigh(A, True, False), []
    solve = lapack._eigh
    monkeypatch.setattr(lapack, "_eigh", lambda A, **options: sizes.append(len(A)) or solve(A, **options))
    monkeypatch.setattr(lapack, "_on_cpu", lambda batch: False)
    monkeypatch.setattr(lapack, "DEVICE_BATCH", 4)
    for got, wanted in zip(lapack.eigh(A, True, False), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)
    assert sizes == [4, 4, 2] and expected[2].tolist() == [0] * 7 + [6, 0, 0]
    assert lapack.eigh(A[:0], True, False)[0].shape == (0, 5)


def test_lapack_left_vectors():
    torch.manual_seed(0)
    n = 6
    jordan = 2 * torch.eye(n, dtype=torch.float64) + torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    for A in (torch.randn(3, n, n, dtype=torch.float64), torch.randn(2, n, n, dtype=torch.complex128), jordan[None], torch.eye(n, dtype=torch.float64)[None]):
        w, _, U, info = lapack.eig(A, True, True, True)
        residual = (U.mH @ A.to(U.dtype) - w[..., None] * U.mH).abs().sum(-2).amax(-1)
        assert bool((residual <= 100 * n * 2.3e-16 * A.abs().sum(-2).amax(-1)).all()) and not bool(info.any())
        torch.testing.assert_close(torch.linalg.vector_norm(U, dim=-2), torch.ones_like(w.real))
