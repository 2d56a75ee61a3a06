"""LAPACK through torch, parallel over the batch: what serves the sizes and dtypes that no kernel here serves."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Barrier

import torch
from torch import Tensor


@lru_cache
def _pool(threads: int, _pid: int) -> ThreadPoolExecutor:
    all_started = Barrier(threads)

    def on_one_thread() -> None:
        torch.get_num_threads()  # the first use in a thread takes over the process's setting: let that be before, not after
        torch.set_num_threads(1)
        all_started.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="spectral_kernels", initializer=on_one_thread)
    wait([pool.submit(int) for _ in range(threads)])
    torch.set_num_threads(before)  # the workers' setting is the default of threads yet to come: put it back
    return pool


def workers(threads: int) -> ThreadPoolExecutor:
    """The pool of this process whose ``threads`` threads each call LAPACK on one thread."""
    return _pool(threads, os.getpid())


def _solve(A: Tensor, right: bool) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk ``(b, n, n)`` of finite matrices.  A matrix that LAPACK gives up on does not harm its neighbours."""
    try:
        w, V = torch.linalg.eig(A) if right else (torch.linalg.eigvals(A), A.new_empty(0))
        return w, V, A.new_zeros(A.shape[:1], dtype=torch.int32)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if A.shape[0] > 1:
            parts = [_solve(a[None], right) for a in A]
            w, V, info = (torch.cat(p) for p in zip(*parts, strict=True))
            return w, V, info
        nan = complex("nan+nanj")
        w = A.new_full(A.shape[:-1], nan, dtype=A.dtype.to_complex())
        V = A.new_full(A.shape, nan, dtype=A.dtype.to_complex()) if right else A.new_empty(0)
        return w, V, A.new_full(A.shape[:1], A.shape[-1], dtype=torch.int32)


def eig(A: Tensor, left: bool, right: bool, balance: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Same contract as the op ``spectral_kernels::eig_simd``; LAPACK's ``geev`` always balances.

    Left eigenvectors are the columns of ``V^-H``, normalised: of a defective matrix they are NaN.
    """
    n, batch = A.shape[-1], A.shape[:-2]
    A3 = A.detach().reshape(batch.numel(), n, n)
    finite = A3.isfinite().all(-1).all(-1) if n else torch.ones(A3.shape[0], dtype=torch.bool, device=A.device)
    if not bool(finite.all()):
        A3 = A3.masked_fill(~finite[:, None, None], 0)
    vectors = right or left
    threads = torch.get_num_threads()
    if A.device.type == "cpu" and threads > 1 and A3.shape[0] > 1 and n > 0:
        parts = list(workers(threads).map(_solve, A3.tensor_split(min(4 * threads, A3.shape[0])), [vectors] * (4 * threads)))
        w, V, info = (torch.cat(p) for p in zip(*parts, strict=True))
    else:
        w, V, info = _solve(A3, vectors)
    nan = complex("nan+nanj")
    if not bool(finite.all()):
        w = w.masked_fill(~finite[:, None], nan)
        info = info.masked_fill(~finite, n + 1)
        V = V.masked_fill(~finite[:, None, None], nan) if vectors else V
    none = w.new_empty(0)
    VL = none
    if left:
        VL, singular = torch.linalg.inv_ex(V)
        VL = VL.mH / VL.mH.norm(dim=-2, keepdim=True)
        VL = VL.masked_fill((singular > 0)[:, None, None], nan).reshape(A.shape)
    return w.reshape(*batch, n), V.reshape(A.shape) if right else none, VL, info.reshape(batch)
