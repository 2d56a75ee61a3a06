"""The spectrum of Mamba's factors: the fused sink against the torch expression that writes the eigenvalues."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from spectral_kernels.api.bench.gate import Ratios
from spectral_kernels.api.bench.opponents import Function, Opponent
from spectral_kernels.api.spectrum import RADIUS_EDGES, Spectrum
from spectral_kernels.api.transitions import ZeroOrderHold

CHANNELS = 1024
POSITIONS = 8192
_CELLS = 100  # of histc on [0, 1]: the inner edges of the paper's bins are among its own


def inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """delta ``(batch, 1024)`` and rates ``(batch, 1024, n)``, a view: -1 ... -n in every channel, as Mamba starts."""
    delta = torch.nn.functional.softplus(torch.randn(batch, CHANNELS, dtype=dtype, generator=generator) - 4)
    return delta, -torch.arange(1, n + 1, dtype=dtype).expand(batch, CHANNELS, n)


def radius_shares(delta: Tensor, rate: Tensor) -> Tensor:
    """The shares of the paper's radius bins, (7)."""
    return ZeroOrderHold(delta, rate[0]).spectrum().bins().fractions.radius


def radius_shares_of_torch(delta: Tensor, rate: Tensor) -> Tensor:
    """The same by ``exp`` and ``histc``, for ``|lambda| < 1``."""
    cells = torch.histc(torch.exp(delta[..., None] * rate[0]), _CELLS, 0, 1).double()
    edges = [round(edge * _CELLS) for edge in RADIUS_EDGES[:5]]
    counts = torch.stack([cells[a:b].sum() for a, b in itertools.pairwise(edges)])
    return torch.cat([counts, counts.new_zeros(3)]) / counts.sum()


def accuracy(function: Function, tensors: tuple[Tensor, ...]) -> Ratios:
    """Counts are right or wrong: 0, or inf where those of some positions are not the definition's, or those of all not about torch's."""
    delta, rate = tensors[0][:: max(1, len(tensors[0]) // 16)], tensors[1]
    values = (delta[..., None] * rate[0]).flatten(-2)
    definition = Spectrum().update(values, log=True).bins().fractions.radius
    right = torch.equal(function(delta, rate), definition) and torch.allclose(function(*tensors), radius_shares_of_torch(*tensors), rtol=0, atol=1e-5)
    return Ratios(0.0 if right else float("inf"), 0.0)


OPPONENTS = (Opponent("torch", "torch.histc(torch.exp(delta * rate))", radius_shares_of_torch, serial=False),)
