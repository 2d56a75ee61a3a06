"""Diagonal plus rank one: values against numpy and mpmath, vectors by residuals, derivatives through every deflation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from secular_cases import (
    ANY_SIGN,
    DTYPES,
    SIGNED,
    SIZES,
    any_case,
    check_roots,
    dense,
    scale_of,
    secular,
    secular_complex,
    secular_eig,
    signed,
    signed_case,
    vector_errors,
    with_weights,
)

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance
from spectral_kernels.reference import secular as reference


@pytest.mark.isa
@signed
@pytest.mark.parametrize("n", SIZES)
def test_values_are_numpys(case, n):
    d, b, c = signed_case(case, n)
    w, origin, offset = secular(d, b * c)
    scale = scale_of(d, b * c)
    A = dense(d, b, c) / scale
    assert bool((w.diff(dim=-1) >= 0).all())
    assert bool(((d.gather(-1, origin) + offset - w).abs() <= 1e-15 * scale).all())
    for ours, theirs in zip(w / scale, np.linalg.eigvals(A.numpy()), strict=True):
        assert matched_distance(ours.numpy(), theirs) <= 1e-10


@pytest.mark.isa
@signed
@pytest.mark.parametrize("n", SIZES)
def test_values_are_the_definitions(case, n):
    d, b, c = signed_case(case, n)
    ours, definition = secular(d, b * c), reference.secular(d, b * c)
    assert float((ours[0] - definition[0]).abs().max()) <= 8e-16 * max(n, 8) ** 0.5 * scale_of(d, b * c)


@pytest.mark.isa
@signed
@pytest.mark.parametrize("n", SIZES)
def test_float32_to_a_few_ulp(case, n):
    d, b, c = signed_case(case, n, dtype=torch.float32)
    p = b * c
    w = secular(d, p)[0].double()
    exact = secular(d.double(), p.double())[0]
    assert float((w - exact).abs().max()) <= 6 * torch.finfo(torch.float32).eps * float(exact.abs().max())


@pytest.mark.isa
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@signed
def test_roots_solve_the_equation(case, dtype):
    d, b, c = signed_case(case, 9, dtype=dtype)
    check_roots(d, b * c, *secular(d, b * c)[1:])


@pytest.mark.isa
def test_light_pole_beside_heavy_ones():
    """The interpolant, which knows the light pole and the next one to the right, moves by factors of 2 through 200 orders of magnitude."""
    d = torch.tensor([[1e-160, 1e-79, 0.33, 0.5], [1e-247, 1e-176, 0.64, 0.72], [0.4, 0.4 + 1e-15, 0.5, 0.6]], dtype=torch.float64)
    p = torch.tensor([[0.5, 1e-150, 0.5, 0.5], [0.8, 1e-162, 0.8, 0.6], [0.5, 1e-40, 0.1, 0.1]], dtype=torch.float64)
    for sign in (1, -1):
        ours, definition = secular(sign * d, sign * p)[0], reference.secular(sign * d, sign * p)[0]
        assert float((ours - definition).abs().max()) <= 1e-15
        assert bool((ours.diff(dim=-1) >= 0).all())


@pytest.mark.isa
@pytest.mark.parametrize("n", [9, 130, 512])
def test_values_of_large_matrices(n):
    d, b, c = signed_case("kda", n, batch=2)
    u = (b * c).abs().sqrt()
    expected = torch.linalg.eigvalsh(torch.diag_embed(d) - u.unsqueeze(-1) * u.unsqueeze(-2))
    assert float((secular(d, b * c)[0] - expected).abs().max()) <= 1e-13


@pytest.mark.isa
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@signed
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 33])
def test_vectors(case, n, dtype):
    d, b, c = signed_case(case, n, dtype=dtype)
    w, V, U, info = secular_eig(d, b, c, True, True)
    assert not info.any() and torch.equal(w, secular(d, b * c)[0])
    assert vector_errors(d, b, c, w, V, U) <= 1
    A, eps, V, U = dense(d, b, c).double(), torch.finfo(dtype).eps, V.double(), U.double()
    assert float((V.norm(dim=-2) - 1).abs().max()) <= 4 * eps and float((U.norm(dim=-2) - 1).abs().max()) <= 4 * eps
    if dtype == torch.float64 and case not in ("zeros", "rwkv7"):  # those may be defective
        assert bool((torch.linalg.svdvals(V)[..., -1] > 1e-3 * torch.linalg.svdvals(torch.linalg.eig(A)[1])[..., -1]).all())


@pytest.mark.parametrize("case", ["kda", "four values", "zeros"])
def test_vectors_of_the_definition(case):
    d, b, c = signed_case(case, 7)
    w, V, U, info = reference.secular_eig(d, b, c, True, True)
    A = dense(d, b, c)
    assert not info.any()
    assert float((A @ V - V * w.unsqueeze(-2)).abs().max()) <= 1e-13 and float((A.mT @ U - U * w.unsqueeze(-2)).abs().max()) <= 1e-13


@pytest.mark.isa
@pytest.mark.parametrize("which", ["b", "c", "both", "disjoint"])
def test_vectors_without_weight(which):
    """p = 0 because b, c or both vanish there; with disjoint b and c on equal d the eigenvalue is defective."""
    d = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.2]], dtype=torch.float64)
    b, c = torch.tensor([[[-1.0, -2, 0, 0, -1]], [[1.0, 0, 3, 1, 1]]], dtype=torch.float64)
    if which != "disjoint":
        for x, name in ((b, "b"), (c, "c")):
            x[..., 1:4] = 0 if which in (name, "both") else torch.tensor([1.0, 2.0, 3.0])
    w, V, U, info = secular_eig(d, b, c, True, True)
    A = dense(d, b, c)
    assert not info.any()
    assert float((A @ V - V * w.unsqueeze(-2)).abs().max()) <= 1e-14 and float((A.mT @ U - U * w.unsqueeze(-2)).abs().max()) <= 1e-14
    assert int(torch.linalg.matrix_rank(V, rtol=1e-8)) == int(torch.linalg.matrix_rank(U, rtol=1e-8)) == (4 if which == "disjoint" else 5)


@pytest.mark.isa
@pytest.mark.parametrize("case", ANY_SIGN)
@pytest.mark.parametrize("n", SIZES)
def test_complex_values_are_numpys(case, n):
    d, p = any_case(case, n)
    w, origin, offset = secular_complex(d, p)
    scale = max(1.0, scale_of(d, p))
    assert float((d.gather(-1, origin) + offset - w).abs().max()) <= 1e-15 * scale
    tolerance = 1e-7 if case == "defective tie" else 1e-10  # numpy splits the double eigenvalue
    for ours, theirs in zip(w.numpy(), np.linalg.eigvals(with_weights(d, p).numpy()), strict=True):
        assert matched_distance(ours, theirs) <= tolerance * scale
    if not d.is_complex():
        assert np.array_equal(np.sort(w.numpy()), np.sort(w.numpy().conj()))  # real or conjugate pairs, exactly
    narrow = [x.to(torch.complex64 if x.is_complex() else torch.float32) for x in (d, p)]
    wide = secular_complex(*(x.to(w.dtype if x.is_complex() else torch.float64) for x in narrow))[0]
    assert float((secular_complex(*narrow)[0] - wide).abs().max()) <= 2e-7 * float(wide.abs().max())


def test_complex_values_are_the_definitions():
    for case in ANY_SIGN:
        d, p = any_case(case, 6)
        for ours, definition in zip(secular_complex(d, p)[0], reference.secular_complex(d, p)[0], strict=True):
            assert matched_distance(ours.numpy(), definition.numpy()) <= 1e-12 * scale_of(d, p), case


@pytest.mark.isa
def test_each_matrix_has_its_own_solver():
    d, b, c = signed_case("kda", 9)
    p = b * c
    p[1, 3] *= -1
    p[2] = -p[2]
    w = secular_complex(d, p)[0]
    for m in (0, 2, 3, 4):
        assert torch.equal(w[m].real, secular(d[m], p[m])[0]) and not w[m].imag.any()
    assert bool(secular(d, p)[0][1].isnan().all()) and matched_distance(w[1].numpy(), np.linalg.eigvals(with_weights(d[1], p[1]).numpy())) <= 1e-13


def hippo(n):
    """Lambda and P of HiPPO-LegS, -A = S + P P^T, in the basis that makes S diagonal; the eigenvalues of Lambda - P P^* are -1 ... -n."""
    i = np.arange(n)
    P = np.sqrt(i + 0.5)
    S = -0.5 * np.eye(n) + np.tril(-np.sqrt(np.outer(2 * i + 1, 2 * i + 1)), -1) / 2 + np.triu(np.sqrt(np.outer(2 * i + 1, 2 * i + 1)), 1) / 2
    w, V = np.linalg.eigh(-1j * (S + 0.5 * np.eye(n)))
    return torch.tensor(-0.5 + 1j * w), torch.tensor(V.conj().T @ P)


@pytest.mark.isa
@pytest.mark.parametrize("n", [4, 8, 32, 64])
def test_hippo(n):
    """Within its condition number, which says that nothing can be known beyond n = 16; where the roots do not converge the dense solver serves."""
    Lambda, P = hippo(n)
    t = sk.transitions.BilinearLowRank(Lambda, P, torch.tensor(2.0, dtype=torch.float64))
    w, condition = t.eigvals(), t.condition()
    mu = (w - 1) / (w + 1)
    error = matched_distance(mu.numpy(), -np.arange(1.0, n + 1) + 0j)
    assert error <= max(1e-9, float(condition.max()) * 1e-15 * n**2)
    assert (n <= 8) == (error <= 1e-6) and (n <= 8) == (float(condition.max()) < 1e9)


@pytest.mark.isa
@pytest.mark.parametrize("op", ["secular", "secular_complex", "secular_eig"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 5, 16, 33])
def test_bits_do_not_depend_on_the_batch(op, n, dtype):
    parts = [signed_case(case, n, batch=3, dtype=dtype) for case in SIGNED]
    d, b, c = (torch.cat(x) for x in zip(*parts, strict=True))
    if op == "secular_complex":
        b = b * torch.where(torch.arange(len(b)) % 3 == 0, torch.tensor([-1.0, 1]).repeat(n)[:n].unsqueeze(-1), 1.0).T.to(dtype)

    def solve(*rows):
        return sk.ops.secular_eig(*rows, True, True) if op == "secular_eig" else getattr(sk.ops, op)(rows[0], rows[1] * rows[2])

    expected = solve(d, b, c)
    alone = [solve(*(x[i] for x in (d, b, c))) for i in range(len(d))]
    assert all(torch.equal(x, torch.stack(y)) for x, y in zip(expected, zip(*alone, strict=True), strict=True))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rolled = solve(*(x.roll(threads, 0) for x in (d, b, c)))
            assert all(torch.equal(x.roll(threads, 0), y) for x, y in zip(expected, rolled, strict=True))
    finally:
        torch.set_num_threads(before)
    for bad in (float("nan"), float("inf"), -float("inf")):
        for x in (d, b, c):
            broken = x.clone()
            broken[::2, -1] = bad
            results = solve(*(broken if y is x else y for y in (d, b, c)))
            assert all(torch.equal(y[1::2], z[1::2]) for y, z in zip(results, expected, strict=True))
            assert bool(results[0][::2].isnan().all())
            if op == "secular_eig":
                assert bool(results[1][::2].isnan().all()) and bool(results[2][::2].isnan().all()) and bool((results[3][::2] == n + 1).all())


@pytest.mark.parametrize("solve", [secular, secular_complex, reference.secular, reference.secular_complex])
def test_shapes(solve):
    for shape in [(0,), (3, 0), (0, 4), (2, 0, 3)]:
        for x in solve(torch.empty(shape), torch.empty(shape)):
            assert x.shape == shape
    d, b, c = signed_case("kda", 6, batch=4)
    expected = solve(d, b * c)[0]
    assert torch.equal(solve(d.mT.contiguous().mT, (b * c)[:, None].expand(4, 3, 6)[:, 1])[0], expected)
    w, V, U, info = secular_eig(torch.empty(2, 0), torch.empty(2, 0), torch.empty(2, 0), False, True)
    assert w.shape == (2, 0) and V.shape == (2, 0, 0) and U.shape == (0,) and info.tolist() == [0, 0]


def test_refusals():
    x = torch.ones(3, 4)
    for op in (secular, secular_complex):
        for p in (torch.ones(4), torch.ones(3, 5), x.double()):
            with pytest.raises(RuntimeError, match="same shape"):
                op(x, p)
        with pytest.raises(RuntimeError, match="float32"):
            op(x.int(), x.int())
    with pytest.raises(RuntimeError, match="float32 or float64"):
        secular(x.to(torch.complex64), x.to(torch.complex64))


def test_opcheck():
    d, b, c = signed_case("kda", 4, batch=2)
    for op in (secular, secular_complex):
        torch.library.opcheck(op, (d.clone().requires_grad_(), (b * c).requires_grad_()))
    for left, right in [(False, True), (True, True), (True, False)]:
        torch.library.opcheck(secular_eig, (d, b, c, left, right), test_utils=("test_schema", "test_faketensor"))


def test_vmap_and_compile():
    d, b, c = signed_case("kda", 5, batch=3)
    p = b * c
    for op in (secular, secular_complex):
        assert torch.equal(torch.vmap(lambda d, p, op=op: op(d, p)[0], in_dims=(1, 0), out_dims=1)(d.mT, p).mT, op(d, p)[0])
        assert torch.equal(torch.compile(lambda d, p, op=op: op(d, p)[0] * 2, backend="aot_eager", fullgraph=True)(d, p), op(d, p)[0] * 2)
    one = torch.vmap(lambda d, b, c: secular_eig(d, b, c, False, True)[1], in_dims=(0, None, None))(d, b[0], c[0])
    assert torch.equal(one, torch.stack([secular_eig(x, b[0], c[0], False, True)[1] for x in d]))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_gradcheck(n):
    d, b, c = signed_case("kda", n, batch=2)
    inputs = (d.requires_grad_(), (b * c).detach().requires_grad_())

    def roots(d, p):
        return secular(d, p)[0], secular(d, p)[2]

    assert torch.autograd.gradcheck(roots, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(roots, inputs)


@pytest.mark.parametrize("case", ["mixed", "complex"])
def test_gradcheck_complex(case):
    d, p = any_case(case, 4, batch=2)
    inputs = (d.requires_grad_(), p.requires_grad_())

    def smooth(d, p):  # no particular order
        w = secular_complex(d, p)[0]
        return torch.view_as_real((w.exp() + w**3).sum(-1))

    assert torch.autograd.gradcheck(smooth, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(smooth, inputs)


def test_hessian_through_torch_func():
    d, b, c = (x[0] for x in signed_case("kda", 4))

    def loss(d):
        return (secular(d, b * c)[0] ** 3).sum()

    def by_trace(d):
        return torch.linalg.matrix_power(dense(d, b, c), 3).trace()

    assert torch.allclose(torch.func.hessian(loss)(d), torch.func.hessian(by_trace)(d), atol=1e-12)
    assert torch.allclose(torch.func.jacrev(torch.func.jacrev(loss))(d), torch.func.hessian(by_trace)(d), atol=1e-12)


@signed
@pytest.mark.parametrize("sign", [True, False])
def test_gradients_through_deflation(case, sign):
    """sum exp(lambda) is the trace of the matrix exponential, whose gradient has no trouble with repeated eigenvalues."""
    factors = [x / (2.0**100 if case == "large" and i < 2 else 1) for i, x in enumerate(signed_case(case, 7))]
    ours, theirs = ([x.clone().requires_grad_() for x in factors] for _ in range(2))
    t = sk.transitions.DiagonalPlusRankOne(*ours, sign=(1 if case == "update" else -1) if sign else None)
    t.eigvals().exp().real.sum().backward()
    torch.linalg.matrix_exp(dense(*theirs)).diagonal(dim1=-2, dim2=-1).sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        assert bool(x.grad.isfinite().all())
        assert float((x.grad - y.grad).abs().max()) <= 1e-10 * max(1.0, float(y.grad.abs().max()))


def test_gradient_of_the_eigenvalue_of_a_tie():
    """Of two equal d one eigenvalue stays between them: it follows each with the other's share of the weight."""
    d = torch.tensor([0.5, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([-0.1, -0.3, -0.2], dtype=torch.float64, requires_grad=True)
    gd, gp = torch.autograd.grad(secular(d, p)[0][1], (d, p))
    assert gd.tolist() == pytest.approx([0.75, 0.25, 0]) and not gp.any()
    moved = secular(d.detach() + torch.tensor([1e-7, 0, 0], dtype=torch.float64), p.detach())[0][1]
    assert float(moved - 0.5) == pytest.approx(0.75e-7, rel=1e-5)
