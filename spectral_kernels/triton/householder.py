"""Eigenvalues of products of m <= 4 Householder reflectors: the small core (`reference.householder`) formed and solved, a matrix per lane."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from spectral_kernels.triton import tuning
from spectral_kernels.triton.arithmetic import exponent_of, machine, power_of_two
from spectral_kernels.triton.launch import check, check_real, launch, rows
from spectral_kernels.triton.small_matrix import append, eigenvalues, put


@triton.constexpr_function
def pair(i: int, j: int) -> int:
    """The place of the product of vectors i and j."""
    return max(i, j) * (max(i, j) + 1) // 2 + min(i, j)


@triton.jit
def _gram(k, inside, n, vector_stride, stride, M: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """The dot products of the M vectors of each matrix, a tuple of ``(BLOCK)`` (`pair`).

    k: pointers ``(BLOCK, 1)`` to matrices; the tiles are summed at the end, so that each is read once and in whole sectors.
    """
    sums = ()
    for _ in tl.static_range(0, M * (M + 1) // 2):
        sums = append(sums, tl.zeros((BLOCK, CHUNK), k.dtype.element_ty))
    for first in range(0, n, CHUNK):
        column = first + tl.arange(0, CHUNK)[None, :]
        vectors = ()
        for j in tl.static_range(0, M):
            vectors = append(vectors, tl.load(k + j * vector_stride + column * stride, mask=inside & (column < n), other=0.0))
        for i in tl.static_range(0, M):
            for j in tl.static_range(0, i + 1):
                sums = put(sums, pair(i, j), tl.fma(vectors[i], vectors[j], sums[pair(i, j)]))
    products = ()
    for at in tl.static_range(0, M * (M + 1) // 2):
        products = append(products, tl.sum(sums[at], 1))
    return products


@triton.jit
def _swap(a, i: tl.constexpr, j: tl.constexpr, where):
    """The tuple with places i and j exchanged in the lanes where ``where`` holds."""
    x, y = a[i], a[j]
    return put(put(a, i, tl.where(where, y, x)), j, tl.where(where, x, y))


@triton.jit
def _identities_last(products, beta, M: tl.constexpr):
    """Factors that are the identity behind the others, whose order stays: their eigenvalues, 1, are then split off exactly."""
    for end in tl.static_range(M - 1, 0, -1):
        for j in tl.static_range(0, end):
            back = ((beta[j] == 0) | (products[pair(j, j)] == 0)) & (beta[j + 1] != 0) & (products[pair(j + 1, j + 1)] != 0)
            beta = _swap(beta, j, j + 1, back)
            products = _swap(products, pair(j, j), pair(j + 1, j + 1), back)
            for i in tl.static_range(0, M):
                if i != j and i != j + 1:
                    products = _swap(products, pair(i, j), pair(i, j + 1), back)
    return products, beta


@triton.jit
def _core(products, beta, M: tl.constexpr):
    """I - T G, a tuple of M^2, of vectors scaled by powers of two to norms in [1, 2): beta |k|^2 stays, and the core is balanced."""
    products, beta = _identities_last(products, beta, M)
    scales, betas = (), ()
    for j in tl.static_range(0, M):
        half = exponent_of(products[pair(j, j)]) >> 1
        scales = append(scales, power_of_two(-half, beta[j].dtype))
        betas = append(betas, beta[j] * power_of_two(half, beta[j].dtype) * power_of_two(half, beta[j].dtype))
    h = ()
    for i in tl.static_range(0, M):
        for j in tl.static_range(0, M):
            h = append(h, products[pair(i, j)] * scales[i] * scales[j])
    for i in tl.static_range(0, M):  # X = T G by forward substitution in (I + Diag(beta) stril(G)) X = Diag(beta) G
        row = h[i * M : (i + 1) * M]
        for c in tl.static_range(0, M):
            sum = row[c]
            for j in tl.static_range(0, i):
                sum = tl.fma(-row[j], h[j * M + c], sum)
            h = put(h, i * M + c, betas[i] * sum)
    for i in tl.static_range(0, M):
        for c in tl.static_range(0, M):
            h = put(h, i * M + c, 1.0 - h[i * M + c] if i == c else -h[i * M + c])
    return h


@triton.jit
def solve(k, beta, row, count, n, beta_stride, vector_stride, stride, M: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """Eigenvalues of the cores of matrices ``row (BLOCK)``: real and imaginary parts, NaN where an entry is not finite, and info."""
    largest: tl.constexpr = machine("largest", k.dtype.element_ty)
    products = _gram(k, (row < count)[:, None], n, vector_stride, stride, M, BLOCK, CHUNK)
    betas = ()
    for j in tl.static_range(0, M):
        betas = append(betas, tl.load(beta + j * beta_stride, mask=row < count, other=0.0))
    h = _core(products, betas, M)
    finite = row >= 0
    for e in tl.static_range(0, M * M):
        finite = finite & (tl.abs(h[e]) <= largest)
    for e in tl.static_range(0, M * M):
        h = put(h, e, tl.where(finite, h[e], 0.0))
    re, im, failed = eigenvalues(h, M)
    for j in tl.static_range(0, M):
        re, im = put(re, j, tl.where(finite, re[j], float("nan"))), put(im, j, tl.where(finite, im[j], float("nan")))
    return re, im, tl.where(finite, failed, M + 1)


@triton.jit
def householder_kernel(
    beta_ptr,  # (count, M)
    k_ptr,  # (count, M, n)
    out_ptr,  # (count, M, 2)
    info_ptr,  # (count)
    count,
    n,
    beta_row,
    beta_stride,
    k_row,
    vector_stride,
    stride,
    M: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < count
    k, beta = k_ptr + (row * k_row)[:, None], beta_ptr + row * beta_row
    re, im, info = solve(k, beta, row, count, n, beta_stride, vector_stride, stride, M, BLOCK, CHUNK)
    for j in tl.static_range(0, M):
        tl.store(out_ptr + (row * M + j) * 2, re[j], mask=inside)
        tl.store(out_ptr + (row * M + j) * 2 + 1, im[j], mask=inside)
    tl.store(info_ptr + row, info, mask=inside)


def householder_eigvals(beta: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """The contract: the op's definition, `reference.householder.householder_core` and its eigenvalues."""
    check("householder_eigvals", beta.dim() >= 1 and k.dim() >= 2 and k.shape[-2] == beta.shape[-1], lambda: "beta (..., m) and k (..., m, n)")
    check_real("householder_eigvals", beta, k)
    m, n = k.shape[-2:]
    if m > tuning.HOUSEHOLDER_LIMIT:
        return NotImplemented
    batch = torch.broadcast_shapes(beta.shape[:-1], k.shape[:-2])
    out, info = k.new_empty((*batch, m), dtype=k.dtype.to_complex()), k.new_zeros(batch, dtype=torch.int32)
    if out.numel():
        betas, vectors, tile = rows(beta, 1, batch), rows(k, 2, batch), tuning.HOUSEHOLDER[k.dtype]
        count = info.numel()
        launch(
            householder_kernel, triton.cdiv(count, tile.rows), k, betas, vectors, torch.view_as_real(out), info, count, n, *betas.stride(), *vectors.stride(),
            m, tile.rows, tile.columns, num_warps=tile.num_warps, enable_fp_fusion=False,
        )  # fmt: skip
    return out, info
