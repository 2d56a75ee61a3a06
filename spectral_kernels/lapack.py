"""LAPACK through torch, parallel over the batch: what serves the sizes and dtypes that no kernel here serves."""

from __future__ import annotations

import cmath
import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache, partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

NAN = float("nan")
DEVICE_BATCH = 1 << 14  # matrices that a GPU is given at a time: cuSOLVER's XsyevBatched fails at about 32 000 (pytorch #175403, jax, kornia and mjlab split too)
T = TypeVar("T")


@lru_cache
def _libtorch() -> ctypes.CDLL | None:
    """The library that holds torch's OpenMP and MKL; None where it cannot be loaded by its usual name."""
    folder = Path(torch.__file__).parent / "lib"
    names = ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    return None if path is None else ctypes.CDLL(str(path))


def _run_on_one_thread() -> None:
    """Makes the calling thread run torch and LAPACK by itself.

    Not by `torch.set_num_threads`, which sets the number for all threads yet to come as well: in a thread that has taken over such a
    setting torch's batched LU is silently wrong (torch 2.13 with MKL, two or more matrices above about n = 150).
    """
    torch.get_num_threads()  # the first use in a thread takes over the process's setting: let that be before, not after
    library = _libtorch()
    for name in ("MKL_Set_Num_Threads_Local", "omp_set_num_threads"):
        if library is not None and hasattr(library, name):
            getattr(library, name)(1)


@lru_cache
def _pool(threads: int, _pid: int) -> ThreadPoolExecutor:
    all_started = Barrier(threads)

    def start() -> None:
        _run_on_one_thread()
        all_started.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="spectral_kernels", initializer=start)
    wait([pool.submit(int) for _ in range(threads)])
    return pool


def workers(threads: int) -> ThreadPoolExecutor:
    """The pool of this process whose ``threads`` threads each call LAPACK on one thread."""
    return _pool(threads, os.getpid())


def _cat(parts: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """The batch again; eigenvectors stay column-major."""
    if len(parts) == 1:
        return parts[0]
    w, V, info = zip(*parts, strict=True)
    return torch.cat(w), torch.cat([v.mT for v in V]).mT if V[0].dim() == 3 else V[0], torch.cat(info)


def _solve(solver: Callable[[Tensor], tuple[Tensor, Tensor]], A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk ``(b, n, n)`` of finite matrices, or one matrix.  A matrix that LAPACK gives up on does not harm its neighbours."""
    try:
        w, V = solver(A)
        return w, V, torch.zeros(A.shape[:-2], dtype=torch.int32, device=A.device)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if A.dim() == 3 and A.shape[0] > 1:
            parts = [_solve(solver, a) for a in A.split(A.shape[0] // 2)]
            return _cat(parts)
        w, V = solver(torch.zeros_like(A))  # for the shapes and dtypes
        return torch.full_like(w, NAN), torch.full_like(V, NAN), A.new_full(A.shape[:-2], A.shape[-1], dtype=torch.int32)


def _finite(A: Tensor) -> bool:
    """Whether ``A`` is certainly finite, in one pass without a temporary: NaN and Inf survive a sum, and so does its overflow."""
    return cmath.isfinite(A.sum().item())


def _on_cpu(batch: Tensor) -> bool:
    return batch.device.type == "cpu"


def _map(function: Callable[..., T], *batches: Tensor) -> Iterator[T]:
    """``function`` of chunks of the batches ``(b, ...)``: on a CPU on all threads, elsewhere at most `DEVICE_BATCH` at a time."""
    threads, count = torch.get_num_threads(), batches[0].shape[0]
    if not _on_cpu(batches[0]):
        return map(function, *(x.split(DEVICE_BATCH) for x in batches))
    if threads == 1 or count < 2 or batches[0].numel() == 0:
        return map(function, *((x,) for x in batches))
    return workers(threads).map(function, *(x.tensor_split(min(4 * threads, count)) for x in batches))


def _batched(solver: Callable[[Tensor], tuple[Tensor, Tensor]], A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``solver`` over the matrices of ``A (b, n, n)``, on all threads; NaN and info = n + 1 where a matrix is not finite."""
    n = A.shape[-1]
    bad = None if _finite(A) else ~A.isfinite().flatten(1).all(-1)
    if bad is not None:
        A = A.masked_fill(bad[:, None, None], 0)
    w, V, info = _cat(list(_map(partial(_solve, solver), A)))
    if bad is not None:
        w, info = w.masked_fill(bad[:, None], NAN), info.masked_fill(bad, n + 1)
        V = V.mT.masked_fill(bad[:, None, None], NAN).mT if V.dim() == 3 else V  # column-major
    return w, V, info


def _match(w: Tensor, other: Tensor) -> Tensor:
    """For each of ``w (n,)`` the index of its partner in ``other (n,)``, nearest pairs first."""
    n = w.shape[0]
    distance = (w[:, None] - other[None, :]).abs()
    partner = torch.empty(n, dtype=torch.int64)
    for k in distance.flatten().argsort().tolist():
        i, j = divmod(k, n)
        if distance[i, j] < float("inf"):
            partner[i] = j
            distance[i, :] = distance[:, j] = float("inf")
    return partner.to(w.device)


def _left_vectors(A: Tensor, w: Tensor, V: Tensor) -> Tensor:
    """Left eigenvectors of ``A (b, n, n)``, 2-norm 1: the columns of V^-H where their residuals are small, else eigenvectors of A^H.

    V^-H belongs to ``V`` column by column, but loses all digits where ``V`` is nearly singular; LAPACK solves A^H anew
    there, whose eigenvalues are matched to ``w``.
    """
    if V.numel() == 0:
        return V
    inverse, _ = torch.linalg.inv_ex(V)
    adjoint = inverse.mH.resolve_conj()  # never a lazy conjugate: an op may run where the dispatcher does not resolve it
    U = adjoint / torch.linalg.vector_norm(adjoint, dim=-2, keepdim=True)
    AH = A.mH.resolve_conj().to(U.dtype)
    residual = (AH @ U - U * w.conj_physical()[:, None, :]).abs().sum(-2).amax(-1)
    bound = 10 * A.shape[-1] * torch.finfo(A.dtype).eps * AH.abs().sum(-2).amax(-1)
    poor = ~(residual <= bound) & w.isfinite().all(-1)
    for b in poor.nonzero()[:, 0].tolist():
        try:
            other, right = torch.linalg.eig(AH[b] if A.is_complex() else A[b].mT)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            continue
        U[b] = right[:, _match(w[b], other.conj_physical())]
    return U


def _eig(A: Tensor, vectors: bool) -> tuple[Tensor, Tensor]:
    if vectors:
        w, V = torch.linalg.eig(A)
        return w, V
    return torch.linalg.eigvals(A), A.new_empty(0)


def _eigh(A: Tensor, vectors: bool, upper: bool) -> tuple[Tensor, Tensor]:
    uplo = "U" if upper else "L"
    if vectors:
        w, V = torch.linalg.eigh(A, UPLO=uplo)
        return w, V
    return torch.linalg.eigvalsh(A, UPLO=uplo), A.new_empty(0)


def eig(A: Tensor, left: bool, right: bool, balance: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Same contract as the op ``spectral_kernels::eig_batched``; LAPACK's ``geev`` always balances."""
    n, batch = A.shape[-1], A.shape[:-2]
    with torch._C.DisableTorchFunction():  # drop_in() must not catch torch.linalg here
        A3 = A.detach().reshape(batch.numel(), n, n)
        w, V, info = _batched(partial(_eig, vectors=left or right), A3)
        U = torch.cat([u.mT for u in _map(_left_vectors, A3, w, V)]).mT.reshape(A.shape) if left else w.new_empty(0)
        return w.reshape(*batch, n), V.reshape(A.shape) if right else w.new_empty(0), U, info.reshape(batch)


def eigh(A: Tensor, vectors: bool, upper: bool) -> tuple[Tensor, Tensor, Tensor]:
    """LAPACK's ``syevd``/``heevd``: eigenvalues ``(..., n)`` ascending and real, eigenvectors ``(..., n, n)`` or ``(0,)``, info ``(...)``.

    Only the ``upper`` or the lower triangle is read; info as in `eig`.
    """
    n, batch = A.shape[-1], A.shape[:-2]
    with torch._C.DisableTorchFunction():
        A = A.detach()
        clean = _finite(A)
        if clean and not batch:  # one matrix: latency counts
            w, V, info = _solve(partial(_eigh, vectors=vectors, upper=upper), A)
            return w, V, info
        A3 = A.reshape(batch.numel(), n, n)
        if not clean:  # what stands in the other triangle does not count
            A3 = A3.triu() if upper else A3.tril()
        w, V, info = _batched(partial(_eigh, vectors=vectors, upper=upper), A3)
        return w.reshape(*batch, n), V.reshape(A.shape) if vectors else V, info.reshape(batch)
