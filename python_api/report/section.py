"""The parts of the page: figures and sentences about one model, about all, and about two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from spectral_kernels.api.report import charts
from spectral_kernels.api.report.difference import Pair, differences
from spectral_kernels.api.report.plane import is_positive, plane
from spectral_kernels.api.report.study import Study
from spectral_kernels.api.report.summary import Summary, large, percent, tokens

_MOST_PLANES = 12
_LARGE_PLANES = 3  # so few of them are drawn large


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, what to say about it, what a reader who does not see it is told, and the names of its series where there are several."""

    title: str
    spec: charts.Spec
    text: str = ""
    alt: str = ""
    series: tuple[str, ...] = ()
    dashed: bool = True

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        """Name, colour and dashes of every series."""
        dashes = [" ".join(map(str, d)) for d in charts.DASHES]
        if len(self.series) < 2:
            return []
        return [(name, f"var(--series{i % charts.COLOURS})", dashes[i % len(dashes)] if self.dashed else dashes[0]) for i, name in enumerate(self.series)]


class Section:
    """All that the page says about one study."""

    def __init__(self, study: Study) -> None:
        self.study, self.summary = study, Summary(study)

    @property
    def kinds(self) -> str:
        """The families of its layers, with how many there are of each."""
        families = [layer.family or "spectrum" for layer in self.study.layers]
        return ", ".join(f"{families.count(name)} \u00d7 {name.replace('_', ' ')}" for name in dict.fromkeys(families))

    @property
    def fingerprint(self) -> Figure:
        return Figure("", charts.fingerprint(self.study), alt=f"Shares of |λ| in bins for every head of {self.study.title}")

    @property
    def horizons(self) -> Figure:
        series = [(self.study.title, self.study.whole)]
        if self.study.uniform is not None:
            series.append((f"uniform attention, {self.study.length} tokens", self.study.uniform))
        if self.study.initial is not None:
            series.append(("initialisation", self.study.initial.whole))
        endless = [(name, float((s.unstable + s.one) / s.count)) for name, s in series]
        text = "Not drawn, since endless (|λ| ≥ 1): " + ", ".join(f"{name} {percent(share)}" for name, share in endless) + "." if any(e for _, e in endless) else ""
        return Figure("How long it remembers", charts.horizons(series), text, "Histogram of horizons in tokens", tuple(name for name, _ in series))

    @cached_property
    def medians(self) -> Figure | None:
        if len(self.study.layers) < 2:
            return None
        series = [(self.study.title, self.study)] + ([] if self.study.initial is None else [("initialisation", self.study.initial)])
        text = "Line: median of |λ|; band: quartiles" + ("." if self.study.single else "; points: heads.")
        return Figure("Layer by layer", charts.medians(series), text, "Median of |λ| by layer", tuple(name for name, _ in series))

    @cached_property
    def bars(self) -> list[Figure]:
        """One figure per layer, a group per head; of layers without heads one figure, a group per layer."""
        heads, layers = self.study.heads, self.study.layers
        bins, top = charts.used_bins([h.bars for h in heads]), charts.highest([h.bars for h in heads])
        if self.study.single:
            names = [layer.name for layer in layers] if len(layers) <= charts.MOST_STRIPS else [str(i) for i in range(len(layers))]
            spec = charts.grouped_bars([(name, h.bars) for name, h in zip(names, heads, strict=True)], "layer", bins, top)
            return [Figure("", spec, alt="Shares of |λ| in bins by layer")]
        figures = []
        for i, layer in enumerate(layers):
            of_layer = [h for h in heads if h.layer == i]
            spec = charts.grouped_bars([(str(h.head), h.bars) for h in of_layer], "head", bins, top)
            text = " · ".join(part for part in (layer.name, layer.family.replace("_", " "), _verdicts([h.verdict for h in of_layer])) if part)
            figures.append(Figure(f"Layer {i}", spec, text, f"Shares of |λ| in bins by head of {layer.name}"))
        return figures

    @cached_property
    def metric(self) -> str:
        """What the heat maps show first."""
        return charts.telling_metric(self.study.layers)

    @cached_property
    def positions(self) -> list[Figure]:
        """By head, a figure per layer; of layers without heads one figure, a row per layer."""
        if not self.study.positions_known:
            return []
        layers = self.study.layers
        if self.study.single:
            return [Figure("", charts.positions([(layer.name, layer) for layer in layers], self.metric), alt="Position by layer")]
        return [Figure(f"Layer {i}", charts.positions([(layer.name, layer)], self.metric), alt=f"Position by head of {layer.name}") for i, layer in enumerate(layers)]

    @cached_property
    def planes(self) -> list[Figure]:
        """Of some layers, evenly spaced; none where all eigenvalues are real and positive."""
        shown = [i for i, layer in enumerate(self.study.layers) if layer.measures.count and not is_positive(layer.measures)]
        shown = shown[:: max(1, math.ceil(len(shown) / _MOST_PLANES))]
        size = 320 if len(shown) <= _LARGE_PLANES else 200
        return [Figure(f"Layer {i}", plane(self.study.layers[i].whole, size), self.study.layers[i].name, f"Complex plane of layer {i}") for i in shown]

    @property
    def notes(self) -> list[str]:
        """What the records say a reader must know, and how well replays agreed."""
        found = [f"{layer.name}: {layer.note}" for layer in self.study.layers if layer.note]
        if errors := [layer.error for layer in self.study.layers if layer.error is not None]:
            replayed = f"{len(errors)} of {len(self.study.layers)} recurrences were replayed with what was captured of them"
            found.append(f"{replayed}; the largest relative error against the model's own output is {max(errors):.1g}.")
        return list(dict.fromkeys(found))


def _verdicts(verdicts: Sequence[str]) -> str:
    """
    >>> _verdicts(["holds", "mixed", "holds"])
    '2 hold, 1 mixed'
    """
    counts = {v: verdicts.count(v) for v in dict.fromkeys(verdicts)}
    return ", ".join(f"{n} {v.removesuffix('s') if n > 1 else v}" for v, n in counts.items())


class Glance:
    """All models beside each other."""

    def __init__(self, studies: Sequence[Study]) -> None:
        self.studies = studies

    @property
    def strips(self) -> Figure:
        return Figure("", charts.strips([(s.title, s.measures.bars.tolist()) for s in self.studies]), alt="Shares of |λ| in bins for every model")

    @property
    def horizons(self) -> Figure:
        series = [(s.title, s.whole) for s in self.studies]
        names = tuple(name for name, _ in series)
        return Figure("How long they remember", charts.horizons(series, dashed=False), alt="Histograms of horizons of all models", series=names, dashed=False)

    @property
    def table(self) -> list[tuple[str, ...]]:
        """A row per measure, behind its name the values of all models."""
        of = [s.measures for s in self.studies]
        shares = {"forget": "forgets", "hold": "holds", "grow": "grows", "turn by 10° or more": "turns"}
        return [
            ("eigenvalues", *(large(int(m.count)) for m in of)),
            ("median |λ|", *(f"{float(m.quartiles[1]):.3g}" for m in of)),
            ("its horizon", *(tokens(float(m.horizon)) for m in of)),
            *((what, *(percent(float(getattr(m, name))) for m in of)) for what, name in shares.items()),
        ]


class Apart:
    """How far two models are apart."""

    def __init__(self, a: Study, b: Study) -> None:
        self.studies, self._difference = (a, b), differences(a, b)

    @property
    def titles(self) -> tuple[str, str]:
        return self._difference.titles

    @property
    def sentences(self) -> list[tuple[str, str]]:
        return self._difference.sentences()

    @property
    def layers(self) -> tuple[Pair, ...]:
        return self._difference.layers

    @cached_property
    def medians(self) -> Figure | None:
        if any(len(study.layers) < 2 for study in self.studies):
            return None
        spec = charts.medians([(s.title, s) for s in self.studies], dashed=False)
        return Figure("Layer by layer", spec, "Median of |λ| and quartiles.", "Medians of |λ| by layer of both", self.titles, dashed=False)
