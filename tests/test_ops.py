"""The op table: schema and fake kernel agree with the implementation; the sizes and dtypes that LAPACK serves."""

from __future__ import annotations

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels import dispatch
from spectral_kernels.api.testing import ratios


def test_opcheck():
    A = torch.randn(3, 4, 4, dtype=torch.float64)
    for left, right in [(False, False), (False, True), (True, True)]:
        torch.library.opcheck(torch.ops.spectral_kernels.eig_batched, (A, left, right, True), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [(torch.randn(3, 4), "shape"), (torch.randn(2, 513, 513), "n <= 512"), (torch.ones(2, 2, dtype=torch.int64), "complex64 or complex128")],
)
def test_the_op_refuses_what_it_does_not_serve(bad, message):
    with pytest.raises(RuntimeError, match=message):
        torch.ops.spectral_kernels.eig_batched(bad, False, True, True)


def test_every_dtype_and_size_has_a_rule(device):
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        for n in (0, 1, 2, 128, 129, 256, 512, 513):
            A = torch.eye(n, dtype=dtype, device=device)
            r = sk.linalg.eig_ex(A, left=True)
            assert dispatch.rule("eig", A.device.type, dtype, n).name in ("simd", "lapack")
            assert torch.equal(r.eigenvalues, torch.ones(n, dtype=r.eigenvalues.dtype, device=device)) and not r.info.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("n", [2, 6, 130])
def test_eig_on_every_device(n, dtype, device):
    torch.manual_seed(0)
    A = torch.randn(3, n, n, dtype=dtype, device=device)
    w, V = sk.linalg.eig(A)
    assert w.device == A.device
    assert ratios.residual(A, w, V) <= 10
    assert torch.equal(sk.linalg.eigvals(A[:0]), w[:0])
    A[1, 0, 0] = float("nan")
    assert sk.linalg.eig_ex(A).info.tolist() == [0, n + 1, 0]
