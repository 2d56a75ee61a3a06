"""The op table: schema and fake kernel of every op, and nothing else.

The implementations are registered by the compiled extensions (``csrc``), which `_load` picks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels._load import load_cpu

_library = torch.library.Library("spectral_kernels", "DEF")
_library.define(
    "eig_simd(Tensor A, bool left, bool right, bool balance) -> (Tensor eigenvalues, Tensor right, Tensor left, Tensor info)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    "eigh_simd(Tensor A, bool vectors, bool upper) -> (Tensor eigenvalues, Tensor eigenvectors, Tensor info)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
CPU_ISA = load_cpu()

eig_simd = torch.ops.spectral_kernels.eig_simd.default
eigh_simd = torch.ops.spectral_kernels.eigh_simd.default


@torch.library.register_fake("spectral_kernels::eig_simd", lib=_library)  # type: ignore[untyped-decorator]
def _eig_simd_fake(A: Tensor, left: bool, right: bool, balance: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch._check(A.dim() >= 2 and A.shape[-1] == A.shape[-2], lambda: "spectral_kernels::eig: expected matrices of shape (..., n, n)")
    dtype = A.dtype.to_complex()

    def vectors(wanted: bool) -> Tensor:
        return A.new_empty(A.shape, dtype=dtype).transpose(-2, -1) if wanted else A.new_empty((0,), dtype=dtype)

    return A.new_empty(A.shape[:-1], dtype=dtype), vectors(right), vectors(left), A.new_empty(A.shape[:-2], dtype=torch.int32)


@torch.library.register_fake("spectral_kernels::eigh_simd", lib=_library)  # type: ignore[untyped-decorator]
def _eigh_simd_fake(A: Tensor, vectors: bool, upper: bool) -> tuple[Tensor, Tensor, Tensor]:
    torch._check(A.dim() >= 2 and A.shape[-1] == A.shape[-2], lambda: "spectral_kernels::eigh: expected matrices of shape (..., n, n)")
    V = A.new_empty(A.shape).transpose(-2, -1) if vectors else A.new_empty((0,))
    return A.new_empty(A.shape[:-1], dtype=A.dtype.to_real()), V, A.new_empty(A.shape[:-2], dtype=torch.int32)
