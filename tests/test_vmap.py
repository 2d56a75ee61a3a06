"""torch.func: vmap nested and over every dimension, vmap over grad, and the four ways to a Hessian."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, vmap

import spectral_kernels as sk
from spectral_kernels import ops

FUNCTIONS = {
    "eig": lambda A: tuple(sk.linalg.eig(A)),
    "eigvals": lambda A: (sk.linalg.eigvals(A),),
    "eigh": lambda A: tuple(sk.linalg.eigh(A)),
    "eigvalsh": lambda A: (sk.linalg.eigvalsh(A),),
    "eig_ex": lambda A: tuple(sk.linalg.eig_ex(A, left=True)),
    "left alone": lambda A: sk.linalg.eig_ex(A, left=True, right=False)[::2],
    "eig_batched": lambda A: ops.eig_batched(A, True, True, True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap(name):
    torch.manual_seed(0)
    function = FUNCTIONS[name]
    A = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = function(A)
    runs = {
        "one": vmap(function)(A),
        "nested": vmap(vmap(function))(A),
        "inner dimension": vmap(function, in_dims=1)(A),
        "last dimension": vmap(function, in_dims=-1)(A.movedim(1, -1)),
        "chunks": vmap(function, chunk_size=1)(A),
    }
    for how, got in runs.items():
        for g, e in zip(got, expected, strict=True):
            torch.testing.assert_close(g, e.transpose(0, 1) if how in ("inner dimension", "last dimension") else e, msg=how)
    for g, e in zip(vmap(function, out_dims=-1)(A), expected, strict=True):
        torch.testing.assert_close(g.movedim(-1, 0), e)


def test_vmap_raises_for_the_data():
    A = torch.randn(4, 3, 3)
    A[2] = float("inf")
    with pytest.raises(torch.linalg.LinAlgError, match="element 2"):
        vmap(sk.linalg.eigvals)(A)
    assert vmap(lambda A: sk.linalg.eig_ex(A).info)(A).tolist() == [0, 0, 4, 0]


def vector_loss(module):
    return lambda A: module.linalg.eig(A)[1].abs().pow(3).sum() + module.linalg.eigh(A + A.mT)[1].abs().pow(3).sum()


def value_loss(module):
    return lambda A: module.linalg.eigvals(A).abs().pow(3).sum() + module.linalg.eigvalsh(A + A.mT).exp().sum()


@pytest.mark.parametrize("loss", [vector_loss, value_loss])
def test_derivatives_are_torchs(loss):
    torch.manual_seed(0)
    A = torch.randn(3, 4, 4, dtype=torch.float64)
    ours, theirs = loss(sk), loss(torch)
    torch.testing.assert_close(vmap(grad(ours))(A), vmap(grad(theirs))(A))
    expected = torch.stack([hessian(theirs)(a) for a in A])  # torch 2.13's vmap(hessian) is not its hessian for eigvals and eig
    torch.testing.assert_close(vmap(hessian(ours))(A), expected)
    for outer, inner in [(jacrev, jacrev), (jacfwd, jacrev), (jacrev, jacfwd), (jacfwd, jacfwd)]:
        torch.testing.assert_close(outer(inner(ours))(A[0]), expected[0])
