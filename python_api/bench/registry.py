"""What is measured: one entry per benchmark.  The command line, `benchmarks/run.py` and pytest-benchmark read this list."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.bench import attention, cores, secular, spectra
from spectral_kernels.api.bench.gate import Accuracy, eig_accuracy, eigh_accuracy, eigvals_accuracy, eigvalsh_accuracy
from spectral_kernels.api.bench.opponents import Function, Opponent, dense_opponents

REAL = (torch.float32, torch.float64)
ALL = (*REAL, torch.complex64, torch.complex128)
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
QUICK_SIZES = (4, 8, 16, 32, 64)


def matrices_per_batch(n: int, threads: int) -> int:
    """Every thread gets about the same number of entries, at least 100 matrices (several SIMD groups), and a ragged tail."""
    return threads * max(100, 300_000 // n**2) + 1


def dense_inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Normally distributed matrices ``(batch, n, n)``."""
    return (torch.randn(batch, n, n, dtype=dtype, generator=generator),)


def hermitian_inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The Hermitian parts of normally distributed matrices ``(batch, n, n)``."""
    A = torch.randn(batch, n, n, dtype=dtype, generator=generator)
    return ((A + A.mH) / 2,)


@dataclass(frozen=True)
class Benchmark:
    """One kernel against its opponents.

    ``function`` and every opponent take the tensors that ``inputs`` makes (first dimension: the batch).  ``accuracy``
    gives the worst ratios on these inputs.  ``flops`` is the model of one real matrix of size n, for the fraction of peak.
    """

    name: str
    what: str
    function: Function
    opponents: tuple[Opponent, ...]
    accuracy: Accuracy
    inputs: Callable[[int, int, torch.dtype, torch.Generator], tuple[Tensor, ...]] = dense_inputs
    dtypes: tuple[torch.dtype, ...] = ALL
    quick_dtypes: tuple[torch.dtype, ...] = REAL
    sizes: tuple[int, ...] = SIZES
    quick_sizes: tuple[int, ...] = QUICK_SIZES
    batch: Callable[[int, int], int] = matrices_per_batch
    flops: Callable[[int], float] | None = None

    def make_inputs(self, n: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The inputs of one point, the same ones every time."""
        return self.inputs(n, self.batch(n, torch.get_num_threads()), dtype, torch.Generator().manual_seed(n))

    def matrix_flops(self, n: int, dtype: torch.dtype) -> float | None:
        """Floating-point operations of one matrix by the model; a complex one counts four times."""
        return None if self.flops is None else self.flops(n) * (4 if dtype.is_complex else 1)


@dataclass(frozen=True)
class OnFactors(Benchmark):
    """A kernel that takes the factors of real matrices, against dense solvers."""

    dtypes: tuple[torch.dtype, ...] = REAL
    quick_dtypes: tuple[torch.dtype, ...] = ()
    sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    quick_sizes: tuple[int, ...] = (16, 64)


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="eigvals",
        what="eigenvalues of a batch of general matrices",
        function=linalg.eigvals,
        opponents=dense_opponents(torch.linalg.eigvals, np.linalg.eigvals),
        accuracy=eigvals_accuracy,
        flops=lambda n: 10.0 * n**3,  # Golub & Van Loan, section 7.5.6: Hessenberg reduction and QR iteration without vectors
    ),
    Benchmark(
        name="eig",
        what="eigenvalues and right eigenvectors of a batch of general matrices",
        function=linalg.eig,
        opponents=dense_opponents(torch.linalg.eig, np.linalg.eig),
        accuracy=eig_accuracy,
        flops=lambda n: 25.0 * n**3,  # the same with the Schur vectors
    ),
    Benchmark(
        name="eigvalsh",
        what="eigenvalues of a batch of symmetric or Hermitian matrices",
        function=linalg.eigvalsh,
        opponents=dense_opponents(torch.linalg.eigvalsh, np.linalg.eigvalsh),
        accuracy=eigvalsh_accuracy,
        inputs=hermitian_inputs,
        quick_dtypes=(),
        flops=lambda n: 4.0 / 3 * n**3,  # section 8.3: tridiagonalisation
    ),
    Benchmark(
        name="eigh",
        what="eigenvalues and eigenvectors of a batch of symmetric or Hermitian matrices",
        function=linalg.eigh,
        opponents=dense_opponents(torch.linalg.eigh, np.linalg.eigh),
        accuracy=eigh_accuracy,
        inputs=hermitian_inputs,
        quick_dtypes=(),
        flops=lambda n: 9.0 * n**3,  # section 8.3: the same with implicit QL on the vectors
    ),
    OnFactors(
        name="secular",
        what="eigenvalues of a batch of diagonal plus rank-one matrices, from their factors",
        function=secular.eigenvalues,
        opponents=secular.OPPONENTS,
        accuracy=secular.accuracy,
        inputs=secular.inputs,
    ),
    OnFactors(
        name="rank_one",
        what="eigenvalues of a batch of multiples of the identity plus rank one, from their factors",
        function=cores.rank_one,
        opponents=cores.RANK_ONE_OPPONENTS,
        accuracy=cores.rank_one_accuracy,
        inputs=cores.rank_one_inputs,
        batch=cores.many,
    ),
    Benchmark(
        name="attention",
        what="eigenvalues of causal softmax attention: n positions, heads of depth 64",
        function=attention.eigenvalues,
        opponents=(attention.FLASH,),
        accuracy=attention.accuracy,
        inputs=attention.inputs,
        dtypes=(torch.float32,),
        quick_dtypes=(torch.float32,),
        sizes=(256, 1024, 4096, 16384, 65536),
        quick_sizes=(256, 1024),
        batch=attention.heads_per_batch,
        flops=attention.flops,
    ),
    Benchmark(
        name="attention_released",
        what="the same as the routine released with arXiv:2510.09379 defines them",
        function=attention.released_eigenvalues,
        opponents=(attention.RELEASED,),
        accuracy=attention.released_accuracy,
        inputs=lambda *arguments: attention.inputs(*arguments)[:2],
        dtypes=(torch.float32,),
        quick_dtypes=(),
        sizes=(512, 1024, 2048),
        quick_sizes=(512,),
        batch=attention.heads_per_batch,
        flops=attention.flops,
    ),
    OnFactors(
        name="householder",
        what=f"eigenvalues of a batch of products of {cores.REFLECTORS} Householder reflectors, from their factors",
        function=cores.householder,
        opponents=cores.HOUSEHOLDER_OPPONENTS,
        accuracy=cores.householder_accuracy,
        inputs=cores.householder_inputs,
        batch=cores.many,
    ),
    OnFactors(
        name="jacobian",
        what="eigenvalues of a batch of Jacobians of a GRU, from its gates",
        function=cores.gru,
        opponents=cores.GRU_OPPONENTS,
        accuracy=cores.gru_accuracy,
        inputs=cores.gru_inputs,
    ),
    Benchmark(
        name="spectrum_mamba",
        what=f"the spectrum of Mamba factors: {spectra.POSITIONS} positions, {spectra.CHANNELS} channels, n eigenvalues each",
        function=spectra.radius_shares,
        opponents=spectra.OPPONENTS,
        accuracy=spectra.accuracy,
        inputs=spectra.inputs,
        dtypes=(torch.float32,),
        quick_dtypes=(),
        sizes=(16,),
        quick_sizes=(16,),
        batch=lambda n, threads: spectra.POSITIONS,
    ),
)


class Point(NamedTuple):
    """One benchmark at one dtype and size."""

    benchmark: Benchmark
    dtype: torch.dtype
    n: int

    @property
    def name(self) -> str:
        return f"{self.benchmark.name} {dtype_name(self.dtype)} n={self.n}"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def select(benchmarks: tuple[Benchmark, ...] = BENCHMARKS, *, quick: bool = False, pattern: str = "") -> list[Point]:
    """The points whose name, such as ``eigvals float32 n=8``, holds the regular expression ``pattern``.

    Raises:
        ValueError: when ``pattern`` is no regular expression or fits no point.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"filter: expected a regular expression, got {pattern!r}: {error}") from None
    points = [Point(b, dtype, n) for b in benchmarks for dtype in (b.quick_dtypes if quick else b.dtypes) for n in (b.quick_sizes if quick else b.sizes)]
    chosen = [point for point in points if wanted.search(point.name)]
    if not chosen:
        raise ValueError(f"filter: {pattern!r} fits none of {len(points)} points such as {points[0].name!r}")
    return chosen
