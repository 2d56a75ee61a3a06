"""The op table: schema, implementation, fake kernel, autograd and batching rule of every op, and nothing else; a file per kind.

The kernels of the compiled extensions (``csrc``), which `_load` picks, register themselves for the CPU and for CUDA; where they have none,
CUDA tensors take the kernels of ``triton``; what serves every other device is the definition in ``reference``.
"""

from __future__ import annotations

from spectral_kernels.ops._library import CPU_ISA as CPU_ISA
from spectral_kernels.ops._library import CUDA_BUILT as CUDA_BUILT
from spectral_kernels.ops._library import differentiated as differentiated
from spectral_kernels.ops.attention import attention_lse as attention_lse
from spectral_kernels.ops.closed_forms import diagonal_eigvals as diagonal_eigvals
from spectral_kernels.ops.closed_forms import expand_exp as expand_exp
from spectral_kernels.ops.closed_forms import rank_one_eigvals as rank_one_eigvals
from spectral_kernels.ops.dense import eig as eig
from spectral_kernels.ops.dense import eig_batched as eig_batched
from spectral_kernels.ops.dense import eigh as eigh
from spectral_kernels.ops.dense import eigh_batched as eigh_batched
from spectral_kernels.ops.dense import inverse_from_left as inverse_from_left
from spectral_kernels.ops.dense import raise_if_failed as raise_if_failed
from spectral_kernels.ops.householder import householder_core as householder_core
from spectral_kernels.ops.householder import householder_eigvals as householder_eigvals
from spectral_kernels.ops.jacobian import jacobian_eig as jacobian_eig
from spectral_kernels.ops.secular import secular as secular
from spectral_kernels.ops.secular import secular_complex as secular_complex
from spectral_kernels.ops.secular import secular_eig as secular_eig
from spectral_kernels.ops.sketch import sketch as sketch
from spectral_kernels.ops.sketch import sketch_householder as sketch_householder
from spectral_kernels.ops.sketch import sketch_rank_one as sketch_rank_one
from spectral_kernels.ops.sketch import sketch_secular as sketch_secular
from spectral_kernels.ops.sketch import sketch_tables as sketch_tables
from spectral_kernels.ops.sketch import sketch_zero_order_hold as sketch_zero_order_hold
