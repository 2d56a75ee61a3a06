"""Errors and ``out=``: what torch raises, warns and returns on the same call; messages name function, expectation and value."""

from __future__ import annotations

import warnings

import pytest
import torch

import spectral_kernels as sk

FUNCTIONS = ["eig", "eigvals"]


def outcome(call):
    """Type of the exception or None, the result or None, and how many warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return None, call(), len(caught)
        except Exception as error:
            return error, None, len(caught)


BAD_INPUTS = {
    "zero dimensions": torch.tensor(1.0),
    "one dimension": torch.randn(3),
    "not square": torch.randn(2, 3, 4),
    "int64": torch.ones(2, 2, dtype=torch.int64),
    "bool": torch.ones(2, 2, dtype=torch.bool),
    "bfloat16": torch.ones(2, 2, dtype=torch.bfloat16),
    "float16": torch.ones(2, 2, dtype=torch.float16),
    "list": [[1.0, 0.0], [0.0, 1.0]],
    "None": None,
}
NAMED_IN_MESSAGE = {"zero dimensions": "()", "one dimension": "(3,)", "not square": "3 by 4", "int64": "int64", "bfloat16": "bfloat16", "list": "list", "None": "NoneType"}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_input_errors(name, bad):
    theirs, _, _ = outcome(lambda: getattr(torch.linalg, name)(BAD_INPUTS[bad]))
    for function in (name, "eig_ex"):
        ours, _, _ = outcome(lambda function=function: getattr(sk.linalg, function)(BAD_INPUTS[bad]))
        assert type(ours) is type(theirs), ours
        assert f"linalg.{function}" in str(ours)
        assert NAMED_IN_MESSAGE.get(bad, "") in str(ours)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_values_raise_linalg_error_and_name_the_element(name):
    A = torch.eye(3).repeat(5, 1, 1)
    A[2, 1, 0] = float("nan")
    with pytest.raises(torch.linalg.LinAlgError, match=rf"linalg\.{name}: \(Batch element 2\): .*non-finite"):
        getattr(sk.linalg, name)(A)
    with pytest.raises(torch.linalg.LinAlgError, match=rf"linalg\.{name}: The input matrix contains non-finite"):
        getattr(sk.linalg, name)(A[2])


def test_eig_ex_never_raises_for_the_data():
    for n in (1, 2, 5, 130):
        for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
            for value in ("nan", "inf", "-inf"):
                A = torch.eye(n, dtype=dtype).repeat(3, 1, 1)
                A[1, n - 1, 0] = float(value)
                r = sk.linalg.eig_ex(A, left=True)
                assert r.info.tolist() == [0, n + 1, 0]
                assert bool(r.eigenvalues[1].isnan().all()) and bool(r.eigenvectors[1].isnan().all()) and bool(r.left_eigenvectors[1].isnan().all())
                assert torch.equal(r.eigenvalues[0], torch.ones(n, dtype=dtype.to_complex()))


VALUES_OUT = {
    "right shape": lambda: torch.empty(3, 4, dtype=torch.complex64),
    "empty": lambda: torch.empty(0, dtype=torch.complex64),
    "wrong shape": lambda: torch.empty(7, dtype=torch.complex64),
    "wider": lambda: torch.empty(3, 4, dtype=torch.complex128),
    "real": lambda: torch.empty(3, 4),
    "integer": lambda: torch.empty(3, 4, dtype=torch.int64),
    "strided": lambda: torch.empty(3, 8, dtype=torch.complex64)[:, ::2],
    "transposed": lambda: torch.empty(4, 3, dtype=torch.complex64).mT,
    "other device": lambda: torch.empty(3, 4, dtype=torch.complex64, device="meta"),
    "list": lambda: [1.0],
    "tuple": lambda: (torch.empty(3, 4, dtype=torch.complex64),),
}


def compare_out(ours, theirs, make_out):
    """Same error type, number of warnings, identity of the results with ``out``, shapes, strides; values close."""
    out_a, out_b = make_out(), make_out()
    ea, ra, wa = outcome(lambda: ours(out_a))
    eb, rb, wb = outcome(lambda: theirs(out_b))
    assert type(ea) is type(eb), (ea, eb)
    assert wa == wb
    if ea is not None:
        assert "linalg" in str(ea)
        return
    pairs = [(ra, out_a, rb)] if isinstance(ra, torch.Tensor) else list(zip(ra, out_a, rb, strict=True))
    assert type(ra) is type(rb)
    for a, out, b in pairs:
        assert a is out
        assert a.dtype == b.dtype and a.shape == b.shape and a.stride() == b.stride()


@pytest.mark.parametrize("kind", VALUES_OUT)
def test_eigvals_out(kind):
    A = torch.randn(3, 4, 4)
    compare_out(lambda out: sk.linalg.eigvals(A, out=out), lambda out: torch.linalg.eigvals(A, out=out), VALUES_OUT[kind])
    out = VALUES_OUT[kind]()
    if kind in ("right shape", "empty", "wider", "strided", "transposed"):
        sk.linalg.eigvals(A, out=out)
        assert torch.equal(out, sk.linalg.eigvals(A).to(out.dtype))


PAIR_OUT = {
    "right shapes": lambda: (torch.empty(3, 4, dtype=torch.complex64), torch.empty(3, 4, 4, dtype=torch.complex64)),
    "empty": lambda: (torch.empty(0, dtype=torch.complex64), torch.empty(0, dtype=torch.complex64)),
    "wrong shapes": lambda: (torch.empty(2, dtype=torch.complex64), torch.empty(5, dtype=torch.complex64)),
    "second wrong": lambda: (torch.empty(3, 4, dtype=torch.complex64), torch.empty(5, dtype=torch.complex64)),
    "real values": lambda: (torch.empty(3, 4), torch.empty(3, 4, 4, dtype=torch.complex64)),
    "real vectors": lambda: (torch.empty(3, 4, dtype=torch.complex64), torch.empty(3, 4, 4)),
    "transposed": lambda: (torch.empty(4, 3, dtype=torch.complex64).mT, torch.empty(3, 4, 4, dtype=torch.complex64).mT),
    "one of two": lambda: (torch.empty(3, 4, dtype=torch.complex64),),
    "three": lambda: (torch.empty(0, dtype=torch.complex64),) * 3,
    "tensor": lambda: torch.empty(2, 4, dtype=torch.complex64),
}


@pytest.mark.parametrize("kind", PAIR_OUT)
def test_eig_out(kind):
    A = torch.randn(3, 4, 4)
    compare_out(lambda out: sk.linalg.eig(A, out=out), lambda out: torch.linalg.eig(A, out=out), PAIR_OUT[kind])


def test_out_is_the_input():
    for function in ("eig", "eigvals"):
        A = torch.randn(3, 4, 4, dtype=torch.complex64)
        expected = getattr(sk.linalg, function)(A)
        if function == "eig":
            w, V = sk.linalg.eig(A, out=(torch.empty(0, dtype=A.dtype), A))
            assert V is A and torch.equal(V, expected.eigenvectors) and torch.equal(w, expected.eigenvalues)
        else:
            B = torch.randn(4, 4, dtype=torch.complex64)
            expected = sk.linalg.eigvals(B)
            assert torch.equal(sk.linalg.eigvals(B, out=B[0]), expected) and torch.equal(B[0], expected)
