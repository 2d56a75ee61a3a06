"""PyTorch's own samples (OpInfo) for the four functions, through ours: values against torch's, then the derivative checks torch runs."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing._internal.opinfo.definitions.linalg import op_db

import spectral_kernels as sk

NAMES = ("eig", "eigvals", "eigh", "eigvalsh")
OPINFO = {op.name.removeprefix("linalg."): op for op in op_db if op.name.removeprefix("linalg.") in NAMES}


def samples(name, dtype, requires_grad=False):
    torch.manual_seed(0)
    return list(OPINFO[name].sample_inputs("cpu", dtype, requires_grad=requires_grad))


def values_and_vectors(result):
    return tuple(result) if isinstance(result, tuple) else (result, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_values_are_torchs(name, dtype):
    ours, theirs = getattr(sk.linalg, name), getattr(torch.linalg, name)
    eps = torch.finfo(dtype).eps
    for sample in samples(name, dtype):
        A = sample.input
        expected, got = theirs(A, *sample.args, **sample.kwargs), ours(A, *sample.args, **sample.kwargs)
        assert getattr(type(got), "__name__", "") == getattr(type(expected), "__name__", "")
        (w0, V0), (w, V) = values_and_vectors(expected), values_and_vectors(got)
        assert w.shape == w0.shape and w.dtype == w0.dtype and w.device == w0.device
        if V0 is not None:
            assert V.shape == V0.shape and V.dtype == V0.dtype
        if A.numel() == 0:
            continue
        assert V0 is None or (V.mT.is_contiguous() and V0.mT.is_contiguous())
        scale = torch.linalg.matrix_norm(A).max()
        distance = (w0[..., :, None] - w[..., None, :]).abs()
        nearest = distance.argmin(-1)
        assert bool((nearest.sort(-1).values == torch.arange(A.shape[-1])).all())
        assert float(distance.amin(-1).max()) <= 1000 * eps * float(scale)  # samples have singular values in [0.1, 1]: well conditioned
        if V0 is not None:
            matched = V.gather(-1, nearest[..., None, :].expand(V.shape))
            assert float((matched.abs() - V0.abs()).abs().max()) <= 10000 * eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name, dtype):
    ours, op = getattr(sk.linalg, name), OPINFO[name]
    for sample in samples(name, dtype, requires_grad=True):

        def function(A, sample=sample):
            run = lambda A: ours(A, *sample.args, **sample.kwargs)  # noqa: E731
            result = run((A + A.mH) / 2) if name.endswith(("h", "sh")) else run(A)
            return sample.output_process_fn_grad(result) if op.sample_inputs_func is not None else result

        assert gradcheck(function, (sample.input,), check_forward_ad=op.supports_forward_ad, check_undefined_grad=True, fast_mode=True)
        assert gradgradcheck(function, (sample.input,), check_fwd_over_rev=op.supports_fwgrad_bwgrad, fast_mode=True)
