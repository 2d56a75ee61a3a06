"""`report.html`: one self-contained page, charts, tables and the library that draws them included."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from spectral_kernels._version import __version__
from spectral_kernels.api.report import charts
from spectral_kernels.api.report.difference import Difference, differences
from spectral_kernels.api.report.measures import BARS, FORGETS, HOLDS, OSCILLATES, Head, heads_of, measure
from spectral_kernels.api.report.study import Study
from spectral_kernels.api.report.summary import Summary, large, percent, tokens
from spectral_kernels.api.report.table import rows

_BUNDLE = "window.vegaEmbed = vegaEmbed;"


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, what to say about it, and what a reader who does not see it is told."""

    title: str
    spec: charts.Spec
    text: str = ""
    alt: str = ""


@dataclass
class Section:
    """All that the page says about one study."""

    study: Study
    heads: list[Head] = field(init=False)
    summary: Summary = field(init=False)

    def __post_init__(self) -> None:
        self.heads = heads_of(self.study)
        self.summary = Summary(self.study, self.heads)

    @property
    def kinds(self) -> str:
        """The families of its layers, with how many there are of each."""
        families = [layer.family or "spectrum" for layer in self.study.layers]
        return ", ".join(f"{families.count(name)} × {name.replace('_', ' ')}" for name in dict.fromkeys(families))

    @property
    def fingerprint(self) -> Figure:
        return Figure("", charts.fingerprint(self.study, self.heads), alt=f"Shares of |λ| in bins for every head of {self.study.title}")

    @property
    def horizons(self) -> Figure:
        series = charts.compared(self.study)
        endless = [(name, float(sum(measure(s).bars[4:]))) for name, s in series]
        text = "Endless, |λ| ≥ 1, and not drawn: " + ", ".join(f"{name} {percent(share)}" for name, share in endless) + "."
        return Figure("How long it remembers", charts.horizons(series), text, "Histogram of horizons in tokens")

    @property
    def medians(self) -> Figure | None:
        if len(self.study.layers) < 2:
            return None
        series = [(self.study.title, self.study)]
        heads = [self.heads]
        if self.study.initial is not None:
            series.append(("initialisation", self.study.initial))
            heads.append([])
        text = "Line: median of |λ| over the layer; band: quartiles" + ("." if self.summary.single else "; points: heads.")
        return Figure("Layer by layer", charts.medians(series, heads), text, "Median of |λ| by layer")

    @property
    def bars(self) -> list[Figure]:
        """One figure per layer, a group per head; of layers without heads one figure, a group per layer."""
        if self.summary.single:
            groups = [(str(h.layer), h.bars) for h in self.heads]
            return [Figure(f"{len(groups)} layers" if len(groups) > 1 else self.study.layers[0].name, charts.grouped_bars(groups, "layer"), alt="Shares of |λ| in bins by layer")]
        return [self._bars_of(i) for i in range(len(self.study.layers))]

    def _bars_of(self, i: int) -> Figure:
        layer, heads = self.study.layers[i], [h for h in self.heads if h.layer == i]
        verdicts = [h.verdict for h in heads]
        said = ", ".join(f"{verdicts.count(v)} {v if verdicts.count(v) == 1 or v == 'mixed' else v[:-1]}" for v in dict.fromkeys(verdicts))
        spec = charts.grouped_bars([(str(h.head), h.bars) for h in heads], "head")
        return Figure(f"Layer {i}", spec, f"{layer.name}{f' · {layer.family}' if layer.family else ''} · {said}", f"Shares of |λ| in bins by head of {layer.name}")

    @property
    def planes(self) -> list[Figure]:
        """Of some layers, evenly spaced; none where all eigenvalues are real and positive."""
        if charts.is_real_and_positive(self.summary.whole):
            return []
        shown = [i for i, layer in enumerate(self.study.layers) if not charts.is_real_and_positive(measure(layer.whole))]
        step = math.ceil(len(shown) / charts.MOST_PLANES)
        return [Figure(f"Layer {i}", charts.plane(self.study.layers[i].whole), self.study.layers[i].name, f"Complex plane of layer {i}") for i in shown[::step]]

    @property
    def positions(self) -> list[Figure]:
        if not self.study.positions_known:
            return []
        return [Figure(f"Layer {i}", charts.positions(layer), alt=f"Position by head of {layer.name}") for i, layer in enumerate(self.study.layers)]

    @property
    def notes(self) -> list[str]:
        """What the records say a reader must know, and how well replays agreed."""
        found = [f"{layer.name}: {layer.note}" for layer in self.study.layers if layer.note]
        errors = [layer.error for layer in self.study.layers if layer.error is not None]
        if errors:
            found.append(f"{len(errors)} of {len(self.study.layers)} recurrences were replayed from what was captured; the largest relative error against the model's own output is {max(errors):.1g}.")
        return list(dict.fromkeys(found))


def write(path: str | Path, *studies: Any, title: str = "") -> None:
    """Writes the report of one or several models: a page that needs no network and no other file.

    Args:
        path: of the page.
        studies: each a `Study`, or what `Study.of` takes: a `Run`, the file of one, a `Spectrum`, a mapping of names to `Spectrum`.  Of two the page also
            says how far they are apart.
        title: of the page; by default those of the models.

    Raises:
        ImportError: without vl-convert-python, which brings Vega-Lite.
        TypeError, ValueError: for what is no source of spectra, or has none.

    >>> import tempfile, torch, spectral_kernels as sk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sk.report.write(f"{folder}/report.html", {"layers.0": sk.Spectrum((2,)).update(torch.rand(9, 2, 1))}, title="by hand")
    """
    Path(path).write_text(page(*studies, title=title), encoding="utf-8")


def page(*studies: Any, title: str = "") -> str:
    """The page that `write` writes."""
    if not studies:
        raise ValueError("report: expected at least one model, got none")
    known = [Study.of(study) for study in studies]
    apart = differences(known[0], known[1]) if len(known) == 2 else None
    return _template().render(
        title=title or " and ".join(study.title for study in known),
        sections=[Section(study) for study in known],
        apart=apart,
        apart_figures=_apart(known, apart),
        bars=BARS,
        groups=_BAR_GROUPS,
        metrics=charts.METRICS,
        table=rows(known),
        css=_text("page.css"),
        js=_text("page.js"),
        vega=_vega(),
        version=__version__,
        limits={"holds": HOLDS, "forgets": FORGETS, "oscillates": percent(OSCILLATES)},
    )


_BAR_GROUPS = (("forgets", (0, 1)), ("fades", (2,)), ("holds", (3, 4)), ("grows", (5, 6, 7)))  # indices into BARS


def _apart(studies: Sequence[Study], apart: Difference | None) -> list[Figure]:
    if apart is None:
        return []
    series = [(study.title, charts.merged(study.layers)) for study in studies]
    figures = [Figure("How long they remember", charts.horizons(series), alt="Histograms of horizons of both")]
    if all(len(study.layers) > 1 for study in studies):
        figures.append(Figure("Layer by layer", charts.medians([(s.title, s) for s in studies], [heads_of(studies[0]), []]), alt="Medians of |λ| by layer of both"))
    return figures


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script."""
    try:
        import vl_convert
    except ImportError as error:
        raise ImportError("a report needs vl-convert-python, which brings Vega-Lite: pip install 'spectral_kernels[report]'") from error
    return str(vl_convert.javascript_bundle(_BUNDLE)).replace("</script", "<\\/script")


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """For a script element: shortened numbers, and nothing that ends it."""
    return json.dumps(_short(value), separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _short(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_short(v) for v in value]
    return value


def _cell(value: Any) -> str:
    """
    >>> _cell(0.123456), _cell(3), _cell(None), _cell(True), _cell(float("inf"))
    ('0.1235', '3', '', 'yes', '∞')
    """
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return "" if math.isnan(value) else "∞" if value == math.inf else "−∞" if value == -math.inf else f"{value:.4g}"
    return str(value)


@cache
def _template() -> Any:
    import jinja2  # torch requires it

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"json": _json, "cell": _cell, "percent": percent, "tokens": tokens, "large": large}
    return environment.from_string(_text("page.html"))
