"""What every op of a closed form or a small core has: opcheck, its definition, derivatives, vmap."""

from __future__ import annotations

import pytest
import torch
from structured_inputs import rand, randn

from spectral_kernels import ops
from spectral_kernels.reference.diagonal import diagonal_eigvals as diagonal_definition
from spectral_kernels.reference.expand_exp import expand_exp as expand_exp_definition
from spectral_kernels.reference.householder import householder_core
from spectral_kernels.reference.rank_one import rank_one_eigvals as rank_one_definition


def arguments(name, *batch):
    return {
        "rank_one_eigvals": (rand(*batch), rand(*batch), randn(*batch, 5)),
        "rank_one_eigvals p": (rand(*batch), rand(*batch), randn(*batch, 5), randn(*batch, 5, seed=2)),
        "rank_one_eigvals distinct": (rand(*batch), rand(*batch), randn(*batch, 5), randn(*batch, 5, seed=2)),
        "diagonal_eigvals": (randn(*batch, 3),),
        "expand_exp": (rand(*batch, 3), -rand(3, 2)),
        "householder_eigvals": (2 * rand(*batch, 3), randn(*batch, 3, 5)),
    }[name]


def first(result):
    return result[0] if isinstance(result, tuple) else result


OPS = pytest.mark.parametrize("name", ["rank_one_eigvals", "rank_one_eigvals p", "rank_one_eigvals distinct", "diagonal_eigvals", "expand_exp", "householder_eigvals"])


def more(name):
    """What follows the tensors."""
    return (True,) if name in ("rank_one_eigvals distinct", "diagonal_eigvals") else ()


def op(name):
    function = getattr(ops, name.split()[0])
    return lambda *tensors: function(*tensors, *more(name))


@OPS
def test_opcheck(name):
    torch.library.opcheck(getattr(ops, name.split()[0]), (*(x.requires_grad_() for x in arguments(name, 4)), *more(name)))


@OPS
def test_kernel_and_definition_agree(name):
    args = arguments(name, 4)
    definition = {
        "rank_one_eigvals": rank_one_definition,
        "diagonal_eigvals": diagonal_definition,
        "expand_exp": expand_exp_definition,
        "householder_eigvals": lambda b, k: torch.linalg.eigvals(householder_core(b, k)),
    }
    ours, theirs = first(op(name)(*args)), definition[name.split()[0]](*args, *more(name))
    assert float((ours.sum(-1) - theirs.sum(-1)).abs().max()) <= 1e-13 * float(theirs.abs().max())


@OPS
def test_derivatives(name):
    args = tuple(x.requires_grad_() for x in arguments(name, 2))

    def function(*inputs):  # symmetric in the eigenvalues: their order is free
        w = first(op(name)(*inputs))
        return torch.stack([(w**2).sum(-1).real, w.abs().square().sum(-1)])

    assert torch.autograd.gradcheck(function, args, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, args, fast_mode=True)


@OPS
def test_vmap_and_functional(name):
    args = arguments(name, 3, 4)
    whole = first(op(name)(*args))
    rated = name == "expand_exp"
    in_dims = (0, None) if rated else (0,) * len(args)
    assert torch.equal(torch.vmap(lambda *a: first(op(name)(*a)), in_dims)(*args), whole)
    if not rated:
        shared = (args[0], *(x[0] for x in args[1:]))  # of fewer batch axes
        mapped = torch.vmap(lambda *a: first(op(name)(*a)), (0, *(None,) * (len(args) - 1)))(*shared)
        assert torch.equal(mapped, first(op(name)(*shared)))

    def loss(*a):
        return first(op(name)(*a)).abs().square().sum()

    expected = torch.autograd.grad(loss(*(a := [x.clone().requires_grad_() for x in args])), a)
    for g, e in zip(torch.func.grad(loss, tuple(range(len(args))))(*args), expected, strict=True):
        assert torch.allclose(g, e, rtol=1e-12, atol=1e-14)
