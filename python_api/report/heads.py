"""One `Head` for every head of every layer: its numbers, and what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectral_kernels.api.report.measures import OSCILLATES
from spectral_kernels.api.spectrum import wasserstein

if TYPE_CHECKING:
    from spectral_kernels.api.report.study import Layer, Study

VERDICTS = ("forgets", "fades", "holds", "grows", "mixed")


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


def heads_of(study: Study) -> tuple[Head, ...]:
    """Every head, layer by layer."""
    before = {} if study.initial is None else {layer.name: layer for layer in study.initial.layers}
    return tuple(head for i, layer in enumerate(study.layers) for head in _heads(i, layer, before.get(layer.name)))


def _heads(index: int, layer: Layer, before: Layer | None) -> list[Head]:
    m = layer.of_heads
    moved: list[float | None] = [None] * layer.heads
    if before is not None and before.heads == layer.heads:
        moved = wasserstein(layer.by_head, before.by_head).tolist()
    quartiles, mean_log = m.quartiles.tolist(), layer.by_head.mean_log.tolist()
    scalars = {name: getattr(m, name).tolist() for name in ("forgets", "fades", "holds", "grows", "turns", "negative", "horizon", "smallest", "largest")}
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
            mean_log=mean_log[h],
            from_initial=moved[h],
            **{name: values[h] for name, values in scalars.items()},
        )
        for h in range(layer.heads)
    ]
