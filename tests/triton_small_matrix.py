"""Run by Triton's interpreter: worst backward errors of the eigenvalues of small matrices, in units of n eps |A|, as JSON on the last line."""

from __future__ import annotations

import json

import numpy as np
import torch
import triton
import triton.language as tl

from spectral_kernels.api.testing.matrices import ADVERSARIAL, lapack_batch
from spectral_kernels.triton.small_matrix import append, eigenvalues


@triton.jit
def kernel(a, re, im, failed, count, M: tl.constexpr, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    h = ()
    for e in tl.static_range(0, M * M):
        h = append(h, tl.load(a + lane * M * M + e, mask=lane < count, other=0.0))
    x, y, info = eigenvalues(h, M)
    for j in tl.static_range(0, M):
        tl.store(re + lane * M + j, x[j], mask=lane < count)
        tl.store(im + lane * M + j, y[j], mask=lane < count)
    tl.store(failed + lane, info, mask=lane < count)


def matrices(m: int, dtype: torch.dtype) -> torch.Tensor:
    """LAPACK's types, what is hard, and random ones, also with entries of all magnitudes."""
    rng = np.random.default_rng(m)
    kind = np.float32 if dtype == torch.float32 else np.float64
    hard = [make(m) for name, make in ADVERSARIAL.items() if name != "denormal"]  # whose eigenvalues have few digits
    wild = rng.standard_normal((64, m, m)) * np.exp(rng.uniform(-25, 25, (64, m, m)))
    everything = [lapack_batch(m, np.dtype(kind), 2)[0], *hard, rng.standard_normal((64, m, m)), wild, rng.integers(-1, 2, (64, m, m))]
    return torch.tensor(np.concatenate([np.asarray(x, kind).reshape(-1, m, m) for x in everything]))


def worst(m: int, dtype: torch.dtype) -> float:
    A = matrices(m, dtype)
    re, im, failed = torch.empty(len(A), m, dtype=dtype), torch.empty(len(A), m, dtype=dtype), torch.empty(len(A), dtype=torch.int32)
    kernel[(1,)](A, re, im, failed, len(A), m, 512)
    assert not failed.any()
    size = A.double().abs().amax((1, 2), keepdim=True).clamp(min=1e-300)
    w, A = torch.complex(re, im).to(torch.complex128) / size[..., 0], (A.double() / size).to(torch.complex128)
    distance = torch.linalg.svdvals(A[:, None] - w[..., None, None] * torch.eye(m))[..., -1]  # to the next matrix with this eigenvalue
    norm = torch.linalg.matrix_norm(A, 2).clamp(min=1e-300)
    return float((distance / norm[:, None]).max() / (m * torch.finfo(dtype).eps))


if __name__ == "__main__":
    print(json.dumps({f"{m} {dtype}": worst(m, dtype) for m in (2, 3, 4) for dtype in (torch.float32, torch.float64)}))
