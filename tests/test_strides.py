"""Any batch shape and any strides give what one contiguous matrix after another gives, bit for bit."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import torch
from hypothesis import given

import spectral_kernels as sk


@st.composite
def strided_batches(draw) -> torch.Tensor:
    """``(..., n, n)`` with 0 to 3 batch dimensions, zero-size included: sliced, expanded and transposed views of a larger tensor."""
    n = draw(st.integers(0, 6))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    dims = len(shape) + 2
    expanded = [draw(st.booleans()) for _ in shape]
    steps = [draw(st.integers(1, 3)) for _ in range(dims)]
    starts = [draw(st.integers(0, 2)) for _ in range(dims)]
    order = draw(st.permutations(range(dims)))
    view_sizes = [1 if e else s for s, e in zip(shape, expanded, strict=True)] + [n, n]
    base_sizes = [start + step * size for size, step, start in zip(view_sizes, steps, starts, strict=True)]
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    base = torch.randn([base_sizes[d] for d in order], generator=generator, dtype=dtype)
    A = base.permute([order.index(d) for d in range(dims)])
    for d, (size, step, start) in enumerate(zip(view_sizes, steps, starts, strict=True)):
        A = A.narrow(d, start, step * size)[(slice(None),) * d + (slice(None, None, step),)]
    return A.expand(*shape, n, n)


@given(strided_batches())
def test_any_view(A):
    before = A.clone()
    r = sk.linalg.eig_ex(A, left=True)
    assert torch.equal(A, before)
    batch, n = A.shape[:-2], A.shape[-1]
    assert r.eigenvalues.shape == (*batch, n) and r.eigenvectors.shape == r.left_eigenvectors.shape == A.shape and r.info.shape == batch
    assert torch.equal(sk.linalg.eigvals(A), r.eigenvalues)
    flat = A.reshape(math.prod(batch), n, n)
    for i, a in enumerate(flat):
        alone = sk.linalg.eig_ex(a.contiguous(), left=True)
        for x, one in zip(r, alone, strict=True):
            assert torch.equal(x.reshape(len(flat), *one.shape)[i], one)


def test_results_have_torchs_strides():
    A = torch.randn(2, 3, 5, 5)
    theirs, ours = torch.linalg.eig(A), sk.linalg.eig(A)
    assert ours.eigenvalues.stride() == theirs.eigenvalues.stride() and ours.eigenvectors.stride() == theirs.eigenvectors.stride()
