"""Factors of diagonal plus rank-one matrices: what the families make, and what is hard."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

import spectral_kernels as sk

secular, secular_complex, secular_eig = sk.ops.secular, sk.ops.secular_complex, sk.ops.secular_eig
DTYPES = [torch.float32, torch.float64]
SIZES = [1, 2, 3, 7, 8, 16, 17, 33, 64]
SIGNED = [
    "kda", "negative eigenvalue", "unnormalised", "four values", "all equal", "zeros", "e^-20", "cluster", "beta 0", "beta 1", "update", "large", "small",
    "scales", "rwkv7", "near zero",
]  # fmt: skip
ANY_SIGN = ["mixed", "small weights", "large weights", "complex", "circle", "one real part", "e^-20 mixed", "ties", "defective tie"]
signed = pytest.mark.parametrize("case", SIGNED)


def signed_case(case, n, batch=5, dtype=torch.float64):
    """d, b, c ``(batch, n)`` with b c of one sign, as the families make them; section 8 of their edge cases."""
    rng = np.random.default_rng(n)
    k = rng.standard_normal((batch, n))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta, d = rng.random((batch, 1)), np.exp(-3 * rng.random((batch, n)))
    if case == "negative eigenvalue":
        beta = beta + 1
    if case in ("beta 0", "beta 1"):
        beta = np.full((batch, 1), float(case[-1]))
    if case == "unnormalised":
        k *= 8
    if case == "four values":
        d = np.ceil(4 * d) / 4
    if case == "all equal":
        d[:] = d[:, :1]
    if case == "zeros":
        d[rng.random((batch, n)) < 0.2] = 0
        k[rng.random((batch, n)) < 0.3] = 0
    if case == "e^-20":
        d = np.exp(-20 * rng.random((batch, n)))
    if case == "cluster":
        d = 0.9 + 1e-12 * rng.random((batch, n))
    if case == "scales":
        d, k = np.exp(-60 * rng.random((batch, n))), np.exp(-20 * rng.random((batch, n)))
    if case == "near zero":
        d = 1e-30 * d
        d[:, 0] = 1
    b, c = -beta * k, d * k
    if case == "update":
        b = -b
    if case == "rwkv7":
        a = rng.random((batch, n)) * (rng.random((batch, n)) > 0.3)
        b, c = -a * k, k
    scale = {"large": 2.0**100, "small": 2.0**-100}.get(case, 1)
    return tuple(torch.tensor(x, dtype=dtype) for x in (scale * d, scale * b, c))


def any_case(case, n, batch=5):
    """d, p ``(batch, n)`` of any signs."""
    rng = np.random.default_rng(n)
    d, p = rng.standard_normal((batch, n)), rng.standard_normal((batch, n))
    if case == "small weights":
        p *= 1e-3
    if case == "large weights":
        p *= 100
    if case == "complex":
        d, p = d + 1j * rng.standard_normal((batch, n)), p + 1j * rng.standard_normal((batch, n))
    if case == "circle":
        d, p = np.tile(np.exp(2j * np.pi * np.arange(n) / n), (batch, 1)), 0.1 * p + 0j
    if case == "one real part":
        d, p = -0.5 + 1j * n * d, -np.abs(p) + 0j
    if case == "e^-20 mixed":
        d, p = np.exp(-20 * rng.random((batch, n))), p * np.exp(-20 * rng.random((batch, n)))
    if case == "ties":
        d, p = np.round(2 * d) / 2, np.where(rng.random((batch, n)) < 0.3, 0, p)
    if case == "defective tie" and n > 1:
        d[:, 1], p[:, 1] = d[:, 0], -p[:, 0]
    return torch.tensor(d), torch.tensor(p)


def dense(d, b, c):
    return torch.diag_embed(d) + b.unsqueeze(-1) * c.unsqueeze(-2)


def with_weights(d, p):
    """The matrix with b = c = sqrt|p| but for the sign."""
    root = p.abs().sqrt()
    return dense(d, torch.where(root == 0, root, p / torch.where(root == 0, 1, root)).to(d.dtype), root.to(d.dtype))


def check_roots(d, p, origin, offset):
    """f in 60 digits at d[origin] + offset, against the rounding error of f: much finer than the eigenvalue's own."""
    eps, scale = torch.finfo(d.dtype).eps, torch.maximum(d.abs(), p.abs()).amax(-1).tolist()
    with mpmath.workdps(60):
        for dm, pm, om, em, size in zip(d.tolist(), p.tolist(), origin.tolist(), offset.tolist(), scale, strict=True):
            for o, e in zip(om, em, strict=True):
                if e == 0:
                    assert pm[o] == 0 or dm.count(dm[o]) > 1 or abs(pm[o]) <= 1e-24 * size
                    continue
                terms = [mpmath.mpf(x) / (mpmath.mpf(y) - mpmath.mpf(dm[o]) - mpmath.mpf(e)) for x, y in zip(pm, dm, strict=True) if x]
                assert abs(1 + mpmath.fsum(terms)) <= 8 * eps * (1 + mpmath.fsum(abs(t) for t in terms))


def vector_errors(d, b, c, w, V, U):
    """Of right and left eigenvectors, the largest entry's as a part of what rounding allows; inf where one is no number."""
    A, eps, n = dense(d, b, c).double(), torch.finfo(d.dtype).eps, d.shape[-1]
    w, V, U = w.double(), V.double(), U.double()
    bound = 4 * (n + 4) * eps * (d.double().abs().amax(-1) + b.double().norm(dim=-1) * c.double().norm(dim=-1))[:, None, None]
    errors = torch.stack([A @ V - V * w.unsqueeze(-2), A.mT @ U - U * w.unsqueeze(-2)]).abs()
    return float((errors / bound.clamp(min=torch.finfo(torch.float64).tiny)).nan_to_num(nan=torch.inf).max())


def scale_of(*factors):
    return max(float(x.abs().max()) for x in factors)
