"""torch.compile without a graph break, export, fake and meta tensors, autocast, opcheck of every op, drop_in in compiled regions."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

import spectral_kernels as sk
from spectral_kernels import ops

FUNCTIONS = {
    "eig": lambda A: sk.linalg.eig(A)[1].abs().pow(3).sum(),
    "eigvals": lambda A: sk.linalg.eigvals(A).abs().sum(),
    "eigh": lambda A: sk.linalg.eigh(A + A.mT)[1].abs().pow(3).sum(),
    "eigvalsh": lambda A: sk.linalg.eigvalsh(A).pow(2).sum(),
    "eig_ex": lambda A: sk.linalg.eig_ex(A, left=True, broadening=1e-3).left_eigenvectors.abs().pow(3).sum(),
}


@pytest.fixture
def A():
    torch.manual_seed(0)
    torch.compiler.reset()
    return torch.randn(3, 4, 4, dtype=torch.float64)


def compiled(function, **kwargs):
    return torch.compile(function, backend="aot_eager", fullgraph=True, **kwargs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fullgraph(name, A):
    function = FUNCTIONS[name]
    assert torch.equal(compiled(function)(A), function(A))
    A.requires_grad_()
    (expected,), (got,) = (torch.autograd.grad(f(A), A) for f in (function, compiled(function)))
    torch.testing.assert_close(got, expected)


def test_one_graph_serves_every_size(A):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    function = torch.compile(lambda A: sk.linalg.eigvals(A), backend=backend, fullgraph=True, dynamic=True)
    for n in (4, 9, 128, 130):
        B = torch.randn(2, n, n)
        assert torch.equal(function(B), sk.linalg.eigvals(B))
    assert len(graphs) == 1


def test_raises_when_compiled(A):
    A[1, 2, 2] = float("nan")
    for name in ("eig", "eigvals", "eigh", "eigvalsh"):
        function = compiled(lambda A, name=name: getattr(sk.linalg, name)(A))
        with pytest.raises(torch.linalg.LinAlgError, match=rf"torch.linalg.{name}: \(Batch element 1\)"):
            function(A)
    assert compiled(lambda A: sk.linalg.eig_ex(A).info)(A).tolist() == [0, 5, 0]


def test_drop_in(A):
    def inside(A):
        with sk.drop_in():
            return torch.linalg.eigvals(A), torch.linalg.eigh(A)[0]

    function = compiled(lambda A: torch.linalg.eigvals(A))
    with sk.drop_in():
        assert torch.equal(function(A), sk.linalg.eigvals(A))
    w, h = compiled(inside)(A)
    assert torch.equal(w, sk.linalg.eigvals(A)) and torch.equal(h, sk.linalg.eigh(A)[0])


class Spectra(torch.nn.Module):
    def forward(self, A):
        return *sk.linalg.eig(A), sk.linalg.eigvalsh(A)


@pytest.mark.parametrize("strict", [False, True])
def test_export(A, strict):
    batch, n = torch.export.Dim("batch"), torch.export.Dim("n", max=512)
    program = torch.export.export(Spectra(), (A,), dynamic_shapes=({0: batch, 1: n, 2: n},), strict=strict)
    assert ops.eig in {node.target for node in program.graph.nodes}
    for B in (torch.randn(5, 7, 7, dtype=torch.float64), torch.randn(2, 130, 130, dtype=torch.float64)):
        for got, expected in zip(program.module()(B), Spectra()(B), strict=True):
            assert torch.equal(got, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
def test_fake_and_meta(dtype):
    functions = [sk.linalg.eig, sk.linalg.eigvals, sk.linalg.eigh, sk.linalg.eigvalsh, lambda A: sk.linalg.eig_ex(A, left=True)]
    for function in functions:
        real = function(torch.randn(2, 5, 5, dtype=dtype))
        meta = function(torch.empty(2, 5, 5, dtype=dtype, device="meta"))
        with FakeTensorMode():
            fake = function(torch.empty(2, 5, 5, dtype=dtype))
        for r, m, f in zip(real, meta, fake, strict=True) if isinstance(real, tuple) else [(real, meta, fake)]:
            assert r.shape == m.shape == f.shape and r.dtype == m.dtype == f.dtype and r.stride() == m.stride() == f.stride()
            assert m.device.type == "meta"


def test_autocast_is_torchs():
    B = torch.randn(2, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name in ("eig", "eigvals", "eigh", "eigvalsh"):
            for dtype in (torch.bfloat16, torch.float16, torch.float64):
                expected, got = (getattr(module.linalg, name)(B.to(dtype)) for module in (torch, sk))
                assert (got if torch.is_tensor(got) else got[0]).dtype == (expected if torch.is_tensor(expected) else expected[0]).dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
def test_opcheck(dtype):
    torch.manual_seed(0)
    A = torch.randn(2, 3, 3, dtype=dtype)
    watched = A.clone().requires_grad_()
    check = torch.library.opcheck
    # opcheck sums complex results, which for vectors is a phase-dependent loss: with gradients only the values
    check(ops.eig, (A, True, True, True, 0.0, None))
    check(ops.eig, (watched, False, False, True, 0.0, "linalg.eigvals"))
    check(ops.eigh, (A, True, True, 0.0, "linalg.eigh"))
    check(ops.eigh, (watched, False, False, 0.0, None))
    _, V, U, _ = ops.eig(A, True, True, True, 0.0, None)
    check(ops.inverse_from_left, (V, U))
    if not dtype.is_complex:
        check(ops.eig_batched, (A, True, True, True))
