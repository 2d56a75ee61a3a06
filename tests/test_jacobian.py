"""The fused source of Jacobians: formed in the solver's tile, from the gates; against the dense matrices."""

from __future__ import annotations

import math
import threading

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels import ops
from spectral_kernels.api.testing import ratios
from spectral_kernels.reference.gated_jacobian import gated_jacobian

REAL = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", REAL, ids=str)
SHAPES = pytest.mark.parametrize("gates, parts", [(1, 1), (3, 1), (4, 2), (2, 3)], ids=["rnn", "gru", "lstm", "three parts"])


def factors(gates, parts, n, *batch, dtype=torch.float64):
    """weight, coefficient and diagonal, of the sizes that a trained cell has."""
    generator = torch.Generator().manual_seed(7 * n + gates)

    def randn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    return randn(gates, n, n) / max(n, 1) ** 0.5, randn(*batch, parts, gates, n), randn(*batch, parts, parts, n)


def bits(x):
    real = torch.view_as_real(x) if x.is_complex() else x
    return real.contiguous().view({4: torch.int32, 8: torch.int64}[real.element_size()])


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        assert torch.equal(bits(x.resolve_conj()), bits(y.resolve_conj()))


@pytest.mark.isa
@dtypes
@SHAPES
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17, 32, 42])
def test_backward_error(gates, parts, n, dtype):
    """Of both sides' vectors, against the dense matrices formed in double precision."""
    weight, c, d = factors(gates, parts, n, 19, dtype=dtype)
    w, V, U, info = ops.jacobian_eig(weight, c, d, True, True)
    assert w.shape == (19, parts * n) and V.shape == U.shape == (19, parts * n, parts * n) and not info.any()
    A = gated_jacobian(weight.double(), c.double(), d.double()).to(dtype)
    assert ratios.residual(A, w, V) <= 10
    assert ratios.residual(A.mT, w.conj(), U) <= 10
    assert_same_bits(ops.jacobian_eig(weight, c, d, False, False)[:1], (w,))
    assert_same_bits(ops.jacobian_eig(weight, c, d, False, True)[:2], (w, V))


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("n", [1, 4, 16, 33])
def test_one_gate_has_the_bits_of_dense(parts, n, dtype):
    """Every entry is one product or one sum there, so that both paths round alike.  The signs of zeros are made to agree: c 0 is 0."""
    weight, c, d = factors(1, parts, n, 21, dtype=dtype)
    for given in ((weight, c, torch.zeros_like(d)), (torch.zeros_like(weight), c.abs(), d)):
        assert_same_bits(ops.jacobian_eig(*given, True, True), ops.eig(gated_jacobian(*given), True, True, True, 0.0, None))


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("gates, parts, n", [(3, 1, 2), (3, 1, 9), (4, 2, 3), (4, 2, 16)])
def test_bits_and_neighbours(gates, parts, n, dtype):
    weight, c, d = factors(gates, parts, n, 65, dtype=dtype)
    whole = ops.jacobian_eig(weight, c, d, True, True)
    for size in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65):
        assert_same_bits(ops.jacobian_eig(weight, c[-size:], d[-size:], True, True), [x[-size:] for x in whole])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert_same_bits(ops.jacobian_eig(weight, c, d, True, True), whole)
    finally:
        torch.set_num_threads(before)
    c, d = c.clone(), d.clone()
    c[4, 0, 0, n - 1], d[17, parts - 1, 0, 0], c[64, 0, gates - 1, 0] = math.nan, math.inf, -math.inf
    bad = torch.zeros(65, dtype=torch.bool)
    bad[[4, 17, 64]] = True
    got = ops.jacobian_eig(weight, c, d, True, True)
    assert torch.equal(got[3], (parts * n + 1) * bad.int()) and all(bool(x[bad].isnan().all()) for x in got[:3])
    assert_same_bits([x[~bad] for x in got], [x[~bad] for x in whole])


@pytest.mark.isa
def test_strides_and_empty():
    weight, c, d = factors(4, 2, 5, 6, 3)
    expected = ops.jacobian_eig(weight, c, d, False, True)
    strided = ops.jacobian_eig(weight.mT.contiguous().mT, c.transpose(0, 1).contiguous().transpose(0, 1), d.flip(-1).flip(-1), False, True)
    assert_same_bits(strided, expected)
    for batch, n in (((0,), 5), ((2, 0), 3), ((3,), 0), ((), 4)):
        w, V, U, info = ops.jacobian_eig(*factors(3, 2, n, *batch), True, True)
        assert w.shape == (*batch, 2 * n) and V.shape == U.shape == (*batch, 2 * n, 2 * n) and info.shape == batch and not info.any()


def test_errors():
    weight, c, d = factors(3, 1, 4, 2)
    for bad in ((weight, c, d[:1]), (weight, c[..., :3], d), (weight[:2], c, d), (weight[0], c, d)):
        with pytest.raises(RuntimeError, match=r"expected weight \(G, n, n\), coefficient \(..., S, G, n\) and diagonal"):
            ops.jacobian_eig(*bad, False, False)
    with pytest.raises(RuntimeError, match="S n <= 512, got 513"):
        ops.jacobian_eig(torch.zeros(1, 171, 171), torch.zeros(3, 1, 171), torch.zeros(3, 3, 171), False, False)
    with pytest.raises(RuntimeError, match="all of one dtype"):
        ops.jacobian_eig(weight.float(), c, d, False, False)


# The transition that uses it


def make(gates=3, parts=1, n=6, *batch, dtype=torch.float64):
    return sk.transitions.Jacobian(*factors(gates, parts, n, *batch, dtype=dtype))


def test_no_matrix_is_formed(monkeypatch):
    def formed(self):
        raise AssertionError("dense() was called")

    monkeypatch.setattr(sk.transitions.Jacobian, "dense", formed)
    t = make(4, 2, 6, 5, 3)
    assert t.eigvals().shape == (5, 3, 12) and t.eig(left=True).eigenvectors.shape == (5, 3, 12, 12)
    with pytest.raises(AssertionError):
        make(4, 2, 65, 2).eigvals()  # 130: the chunks of the base class


def test_memory_of_many_positions():
    """10 000 matrices of 32 KiB would take 320 MB; the process grows by the eigenvalues and a tile."""
    weight, c, d = factors(1, 1, 64, 1)
    t = sk.transitions.Jacobian(weight, c.expand(10_000, 1, 1, 64), d.expand(10_000, 1, 1, 64))
    t[:16].eigvals()
    peaks, done = [], threading.Event()

    def resident():
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * 4096

    def watch():
        while not done.wait(0.002):
            peaks.append(resident())

    before, watcher = resident(), threading.Thread(target=watch)
    watcher.start()
    t.eigvals()
    done.set()
    watcher.join()
    assert max(peaks) - before < 64 << 20  # of which the eigenvalues and both factors without gaps are 20


@SHAPES
def test_gradient_of_eigenvalues(gates, parts):
    inputs = [x.requires_grad_() for x in factors(gates, parts, 2, 3)]

    def function(*given):
        w = sk.transitions.Jacobian(*given).eigvals()
        return torch.stack([(w**2).sum(-1).real, w.abs().square().sum(-1)])

    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_gradient_comes_in_chunks(monkeypatch):
    from spectral_kernels.ops import jacobian

    def gradient():
        inputs = [x.requires_grad_() for x in factors(4, 2, 3, 5, 7)]
        return torch.autograd.grad(sk.transitions.Jacobian(*inputs).eigvals().abs().square().sum(), inputs)

    whole, formed = gradient(), []
    monkeypatch.setattr(jacobian, "CHUNK_BYTES", 8 * 36 * 8)
    monkeypatch.setattr(torch.func, "vjp", lambda f, *a, vjp=torch.func.vjp: (formed.append(len(a[1])), vjp(f, *a))[1])
    for a, b in zip(gradient(), whole, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)
    assert formed == [8, 8, 8, 8, 3]


def test_gradient_of_vectors_takes_the_dense_path():
    weight, c, d = factors(3, 1, 4, 2)
    c.requires_grad_()

    def loss(V):
        return V.abs().pow(4).sum()

    r = sk.transitions.Jacobian(weight, c, d).eig(left=True)
    expected = sk.linalg.eig_ex(gated_jacobian(weight, c, d), left=True)
    for ours, theirs in ((r.eigenvectors, expected.eigenvectors), (r.left_eigenvectors, expected.left_eigenvectors)):
        a, b = (torch.autograd.grad(loss(V), c, retain_graph=True)[0] for V in (ours, theirs))
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12) and bool(a.any())


def test_opcheck():
    weight, c, d = (x.requires_grad_() for x in factors(3, 1, 3, 4))
    for left, right in ((False, False), (True, True)):
        torch.library.opcheck(ops.jacobian_eig, (weight, c, d, left, right))


def test_vmap_and_functional():
    weight, c, d = factors(3, 1, 4, 5, 2)
    whole = ops.jacobian_eig(weight, c, d, False, False)[0]
    assert torch.equal(torch.vmap(lambda c, d: ops.jacobian_eig(weight, c, d, False, False)[0])(c, d), whole)
    weights = torch.stack([weight, 2 * weight])
    both = torch.vmap(lambda w: ops.jacobian_eig(w, c, d, False, True)[0])(weights)
    assert torch.equal(both[0], whole) and torch.equal(both[1], ops.jacobian_eig(2 * weight, c, d, False, False)[0])

    def loss(*given):
        return ops.jacobian_eig(*given, False, False)[0].abs().square().sum()

    expected = torch.autograd.grad(loss(*(given := [x.clone().requires_grad_() for x in (weight, c, d)])), given)
    for g, e in zip(torch.func.grad(loss, (0, 1, 2))(weight, c, d), expected, strict=True):
        assert torch.allclose(g, e, rtol=1e-12, atol=1e-14)
    per_sample = torch.vmap(torch.func.grad(loss, (0, 1)), (None, 0, 0))(weight, c, d)
    assert torch.allclose(per_sample[0].sum(0), expected[0], rtol=1e-10, atol=1e-12) and torch.allclose(per_sample[1], expected[1], rtol=1e-10, atol=1e-12)
