"""Arrays of numpy and of any library with DLPack: the caller's kind comes back, the input's memory is not copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api import interop

FUNCTIONS = [sk.linalg.eig, sk.linalg.eigvals, sk.linalg.eigh, sk.linalg.eigvalsh, lambda A: sk.linalg.eig_ex(A, left=True)]


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_numpy_in_numpy_out(function, dtype):
    A = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(dtype)
    got, expected = function(A), function(torch.from_numpy(A))
    for g, e in zip(parts(got), parts(expected), strict=True):
        assert isinstance(g, np.ndarray)
        np.testing.assert_array_equal(g, e.numpy())
    if isinstance(got, tuple):
        assert type(got) is type(expected)
        assert got.eigenvalues is got[0]


def test_inputs_are_not_copied(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "from_numpy", lambda x, original=torch.from_numpy: seen.append(original(x)) or seen[-1])
    A = np.random.default_rng(0).standard_normal((3, 4, 4))
    for view in (A, A.swapaxes(-1, -2), A[::2], np.broadcast_to(A[0], (5, 4, 4))):
        sk.linalg.eigvals(view)
        assert np.shares_memory(seen[-1].numpy(), view)


def test_what_torch_cannot_view():
    A = np.random.default_rng(0).standard_normal((3, 4, 4))
    read_only = A.copy()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(sk.linalg.eigvals(read_only), sk.linalg.eigvals(A))
    np.testing.assert_array_equal(sk.linalg.eigvals(A[::-1]), sk.linalg.eigvals(A)[::-1])
    np.testing.assert_array_equal(sk.linalg.eigvals(A.astype(">f8")), sk.linalg.eigvals(A))


def test_options_and_errors():
    A = np.diag([1.0, 2.0])
    assert sk.linalg.eig_ex(A, right=False).eigenvectors is None
    np.testing.assert_array_equal(sk.linalg.eigvalsh(A + np.triu(np.ones((2, 2)), 1), "L"), [1, 2])
    with pytest.raises(torch.linalg.LinAlgError):
        sk.linalg.eigvals(A * np.nan)
    with pytest.raises(RuntimeError, match=r"got torch\.int64"):
        sk.linalg.eigvals(np.eye(2, dtype=np.int64))
    with pytest.raises(TypeError, match="out= expects tensors"):
        sk.linalg.eigvals(A, out=torch.empty(0))
    with pytest.raises(TypeError, match="must be Tensor or an array with __dlpack__, not list"):
        sk.linalg.eigvals([[1.0]])


class Array:
    """The least of an array-API array."""

    def __init__(self, data):
        self.data = data

    def __dlpack__(self, **kwargs):
        return self.data.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __array_namespace__(self):
        return Namespace


class Namespace:
    @staticmethod
    def from_dlpack(x):
        return Array(np.from_dlpack(x))


class Orphan(Array):
    __array_namespace__ = property()  # hasattr is False


@pytest.mark.parametrize("function", FUNCTIONS)
def test_dlpack(function):
    A = np.random.default_rng(0).standard_normal((3, 4, 4))
    for g, e in zip(parts(function(Array(A))), parts(function(A)), strict=True):
        assert isinstance(g, Array)
        np.testing.assert_array_equal(g.data, e)


def test_dlpack_without_a_way_back():
    with pytest.raises(TypeError, match=r"from_dlpack, got .*Orphan"):
        sk.linalg.eigvals(Orphan(np.eye(2)))
    assert not interop.is_array([1.0])
