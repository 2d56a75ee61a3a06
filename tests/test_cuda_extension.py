"""The CUDA extension beside any build of torch: it loads, registers its kernels, and dispatch sends CUDA tensors to them."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels import dispatch, ops

BUILT = importlib.util.find_spec("spectral_kernels._cuda") is not None


def test_build_info_tells_whether_it_was_built():
    assert sk.build_info()["cuda_kernels"] == ("built" if BUILT else "not built")
    assert BUILT == ops.CUDA_BUILT


@pytest.mark.parametrize("n, name", [(1, "cuda"), (128, "cuda"), (129, "lapack")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_dispatch_of_cuda_tensors(dtype, n, name):
    assert dispatch.rule("eig", "cuda", dtype, n).name == (name if BUILT else "lapack")
    assert dispatch.has_kernel("eig_batched", "cuda") == BUILT


def test_types_without_a_kernel_are_torchs():
    assert dispatch.rule("eig", "cuda", torch.float16, 4).name == "lapack"
