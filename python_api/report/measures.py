"""The numbers behind a report: one `Head` for every head of every layer, and what it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from spectral_kernels.api.report.study import Layer, Study
from spectral_kernels.api.spectrum import Spectrum, uniform_attention, wasserstein
from spectral_kernels.api.transitions.values import horizon_of_log

# The bars: the bins of arXiv:2510.09379, and |lambda| = 1, which the delta rules have exactly, in one of its own.
BARS = ("0-0.1", "0.1-0.5", "0.5-0.9", "0.9-1", "1", "1-10", "10-100", "> 100")
PHASES = ("0-1°", "1-10°", "10-45°", "45-90°", "90-180°")

HOLDS = 0.9  # to 1 and no more than rounding above it: what is left of 1 after ten tokens is more than a third
FORGETS = 0.5  # below: the half-life is less than a token
ROUNDING = 2.0**-10  # |ln|lambda|| up to which an eigenvalue above 1 is taken for 1: growth by e in 1024 tokens
OSCILLATES = 0.1  # share of eigenvalues that turn by 10 degrees or more in a token

VERDICTS = ("forgets", "fades", "holds", "grows", "mixed")


class Measures(NamedTuple):
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
    mean_log: Tensor


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
    one = int(((edges[:-1] == 1) & (edges[1:] == 1)).nonzero())
    grown = modulus.counts[..., torch.searchsorted(edges[:-1], torch.tensor(ROUNDING, dtype=torch.float64).exp()) :].sum(-1, keepdim=True)
    exactly = modulus.counts[..., one, None]
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
        spectrum.mean_log,
    )


@dataclass(frozen=True)
class Head:
    """One head of one layer in numbers; `verdict` is what more than half of its eigenvalues do, of `VERDICTS`."""

    layer: int
    name: str
    family: str
    gauge: str
    head: int
    count: int
    nonfinite: int
    bars: tuple[float, ...]
    phases: tuple[float, ...]
    forgets: float
    fades: float
    holds: float
    grows: float
    turns: float
    negative: float
    lower: float
    median: float
    upper: float
    horizon: float
    smallest: float
    largest: float
    mean_log: float
    from_initial: float | None  # Wasserstein distance in ln|lambda|

    @property
    def verdict(self) -> str:
        return next((name for name in VERDICTS[:4] if getattr(self, name) > 0.5), "mixed")

    @property
    def oscillates(self) -> bool:
        return self.turns >= OSCILLATES

    @property
    def unstable(self) -> bool:
        """Some |lambda| > 1 of a state that no normaliser scales: locally, it grows."""
        return self.gauge in ("raw", "rotated") and self.grows > 0

    @property
    def label(self) -> str:
        return f"layer {self.layer}, head {self.head}"


def heads_of(study: Study) -> list[Head]:
    """Every head, layer by layer."""
    before = {} if study.initial is None else {layer.name: layer for layer in study.initial.layers}
    return [head for i, layer in enumerate(study.layers) for head in _heads(i, layer, before.get(layer.name))]


def _heads(index: int, layer: Layer, before: Layer | None) -> list[Head]:
    m = measure(layer.by_head)
    moved: list[float | None] = [None] * layer.heads
    if before is not None and before.heads == layer.heads:
        moved = wasserstein(layer.by_head, before.by_head).tolist()
    quartiles = m.quartiles.tolist()
    scalars = {name: getattr(m, name).tolist() for name in ("forgets", "fades", "holds", "grows", "turns", "negative", "horizon", "smallest", "largest", "mean_log")}
    return [
        Head(
            index,
            layer.name,
            layer.family,
            layer.gauge,
            h,
            int(m.count[h]),
            int(m.nonfinite[h]),
            tuple(m.bars[h].tolist()),
            tuple(m.phases[h].tolist()),
            lower=quartiles[h][0],
            median=quartiles[h][1],
            upper=quartiles[h][2],
            from_initial=moved[h],
            **{name: values[h] for name, values in scalars.items()},
        )
        for h in range(layer.heads)
    ]


def merged(layers: tuple[Layer, ...]) -> Spectrum:
    """All eigenvalues of some layers, one group."""
    total = layers[0].whole
    for layer in layers[1:]:
        total = total + layer.whole
    return total


def uniform(study: Study) -> Spectrum | None:
    """What attention that looks at all keys alike would show over sequences of the same length; None where no layer is attention or the length is unknown."""
    return uniform_attention(study.length) if study.attention and study.length is not None and study.length > 1 else None
