"""The statistics of a spectrum that a report speaks of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spectral_kernels.api.spectrum import Spectrum
from spectral_kernels.api.transitions.values import horizon_of_log

# The bars: the bins of arXiv:2510.09379, and |lambda| = 1, which the delta rules have exactly, in one of its own.
BARS = ("0-0.1", "0.1-0.5", "0.5-0.9", "0.9-1", "1", "1-10", "10-100", "> 100")
PHASES = ("0-1°", "1-10°", "10-45°", "45-90°", "90-180°")

HOLDS = 0.9  # to 1 and no more than rounding above it: what is left of 1 after ten tokens is more than a third
FORGETS = 0.5  # below: the half-life is less than a token
ROUNDING = 2.0**-10  # |ln|lambda|| up to which an eigenvalue above 1 is taken for 1: growth by e in 1024 tokens
OSCILLATES = 0.1  # share of eigenvalues that turn by 10 degrees or more in a token


@dataclass(frozen=True, eq=False)
class Measures:
    """Statistics of every group of a spectrum, float64 tensors of its shape; shares are of the finite eigenvalues."""

    count: Tensor
    nonfinite: Tensor
    bars: Tensor  # (..., 8) shares, see BARS
    phases: Tensor  # (..., 5) shares, see PHASES
    forgets: Tensor  # share below FORGETS
    fades: Tensor  # share between FORGETS and HOLDS
    holds: Tensor  # share from HOLDS to 1, ROUNDING included
    grows: Tensor  # share above
    turns: Tensor  # share with |arg lambda| >= 10 degrees: complex pairs and negative ones
    negative: Tensor
    quartiles: Tensor  # (..., 3) of |lambda|
    horizon: Tensor  # tokens, of the median
    smallest: Tensor
    largest: Tensor


def measure(spectrum: Spectrum) -> Measures:
    """
    >>> import torch, spectral_kernels as sk
    >>> m = measure(sk.Spectrum().update(torch.tensor([[0.05, 0.6, 0.95, 1.0, -1.5]])))
    >>> m.bars.tolist()
    [0.2, 0.0, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0]
    >>> [round(float(x), 1) for x in (m.forgets, m.fades, m.holds, m.grows, m.turns, m.negative)]
    [0.2, 0.2, 0.4, 0.2, 0.2, 0.2]
    """
    count = spectrum.count.double()
    total = count.masked_fill(count == 0, math.nan)[..., None]
    radius, phase = spectrum.bins()
    modulus = spectrum.modulus()
    edges = modulus.edges
    grown = modulus.counts[..., torch.searchsorted(edges[:-1], torch.tensor(ROUNDING, dtype=torch.float64).exp()) :].sum(-1, keepdim=True)
    exactly = spectrum.one[..., None]
    bars = torch.cat([radius[..., :4], exactly, radius[..., 4:5] - exactly, radius[..., 5:]], -1) / total
    below = bars[..., :3].sum(-1, keepdim=True)
    grows = grown / total
    quartiles = spectrum.quantile((0.25, 0.5, 0.75))
    return Measures(
        count,
        spectrum.nonfinite.double(),
        bars,
        phase / total,
        bars[..., :2].sum(-1),
        bars[..., 2],
        (1 - below - grows).clamp(min=0)[..., 0],
        grows[..., 0],
        phase[..., 2:].sum(-1) / total[..., 0],
        spectrum.negative / total[..., 0],
        quartiles,
        horizon_of_log(quartiles[..., 1].log()),
        spectrum.smallest,
        spectrum.largest,
    )
