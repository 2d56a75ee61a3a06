"""Inputs of the log-sum-exp of attention's rows, with every option, for the kernels of all devices."""

from __future__ import annotations

import math

import torch

TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}  # on logits of a few units


def inputs(B=2, H=4, Hk=2, T=17, S=None, D=16, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    S = T if S is None else S
    q, k = (torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype) for shape in ((B, H, T, D), (B, Hk, S, D)))
    position = torch.arange(S - T, S).expand(B, T)
    return q, k, torch.zeros_like(position), position + 1


def randn(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def ragged(B, T, S):
    """Runs of keys of every kind: empty, reversed, beyond the ends, all."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(-5, S + 5, (B, T), generator=generator), torch.randint(-5, S + 5, (B, T), generator=generator)


OPTIONS = {
    "plain": {},
    "softcap": {"softcap": 1.5},
    "scale": {"scale": -0.7},
    "bias": {"bias": lambda B, H, T, S, dtype: randn(B, H, T, S, dtype=dtype)},
    "broadcast bias": {"bias": lambda B, H, T, S, dtype: randn(1, H, 1, S, dtype=dtype)},
    "bias with holes": {"bias": lambda B, H, T, S, dtype: randn(B, 1, T, S, dtype=dtype).masked_fill(randn(B, 1, T, S, seed=2) > 0.3, -math.inf)},
    "key bias": {"key_bias": lambda B, H, T, S, dtype: randn(B, H, S).cumsum(-1)},
    "hidden keys": {"key_bias": lambda B, H, T, S, dtype: torch.zeros(B, 1, S, dtype=torch.float64).masked_fill(torch.arange(S) % 3 == 0, -math.inf)},
    "all": {
        "softcap": 2.0,
        "bias": lambda B, H, T, S, dtype: randn(B, 1, T, S, dtype=dtype),
        "key_bias": lambda B, H, T, S, dtype: randn(1, H, S),
    },
}
