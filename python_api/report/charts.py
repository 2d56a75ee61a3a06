"""The charts of a report as Vega-Lite specifications.

Colours are CSS variables of the page (an SVG's attributes resolve them), so a chart follows light, dark and print without being drawn anew; bars
answer to the signal ``lit``, the bin that the reader points at in the legend, heat maps to ``metric``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spectral_kernels.api.report.measures import BARS, Measures, measure
from spectral_kernels.api.report.study import Layer, Study
from spectral_kernels.api.spectrum import Spectrum

Spec = dict[str, Any]
Shares = Sequence[float]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
METRICS = {"holds": "hold", "forgets": "forget", "grows": "grow", "median": "median |λ|"}  # of the heat maps, all shown from 0 to 1
MOST_COLUMNS = 512  # of a fingerprint; beyond that, and in heat maps beyond MOST_ROWS, heads are pooled
MOST_ROWS = 32
MOST_STRIPS = 10  # layers of one head that are drawn as rows with their names, not as columns
_PER_OCTAVE = 2  # bins of the histogram of horizons
_HORIZONS = range(-4, 19)  # octaves, tokens
_GAP = 0.12  # between two layers of a fingerprint, in layers

_LIT = {"name": "lit", "value": ""}
_BARS: Spec = {
    "color": {"field": "bar", "type": "nominal", "scale": {"domain": list(BARS), "range": [f"var(--bar{i})" for i in range(len(BARS))]}, "legend": None},
    "opacity": {"condition": {"test": "lit === '' || lit === datum.bar", "value": 1}, "value": 0.12},
}
_BAR_TIP: list[Spec] = [{"field": "bar", "title": "|λ|"}, {"field": "share", "title": "share", "type": "quantitative", "format": ".1%"}]
COLOURS = 6  # of series, that the page has
DASHES = ([1, 0], [5, 3], [2, 2], [8, 3])


def _chart(values: Sequence[Spec], height: int, **parts: Any) -> Spec:
    return {"$schema": SCHEMA, "width": "container", "height": height, "autosize": {"type": "fit-x", "contains": "padding"}, "data": {"values": list(values)}, **parts}


def _quiet(**more: Any) -> Spec:
    """An axis without line and ticks."""
    return {"ticks": False, "domain": False, "grid": False, **more}


# Bins of |lambda|


def _stacked(bars: Shares, **of_all: Any) -> list[Spec]:
    """From 0 to 1, a piece for every bin that is not empty; none where there are no eigenvalues."""
    pieces, at = [], 0.0
    for name, share in zip(BARS, bars, strict=True):
        if share > 0:
            pieces.append({"bar": name, "share": share, "from": at, "to": at + share, **of_all})
            at += share
    return pieces


def strips(rows: Sequence[tuple[str, Shares]]) -> Spec:
    """A stacked row for every name."""
    return _chart(
        [piece for name, bars in rows for piece in _stacked(bars, name=name)],
        34 * max(1, len(rows)),
        params=[_LIT],
        mark={"type": "bar", "height": {"band": 0.78}, "cornerRadius": 1},
        encoding={
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": _quiet(labelLimit=190, labelFontSize=12, labelColor="var(--ink)")},
            "x": {"field": "from", "type": "quantitative", "scale": {"domain": [0, 1], "nice": False}, "axis": {"format": "%", "tickCount": 5, "domain": False}, "title": None},
            "x2": {"field": "to"},
            "tooltip": [{"field": "name", "title": "where"}, *_BAR_TIP],
            **_BARS,
        },
    )


def fingerprint(study: Study) -> Spec:
    """A stacked column for every head, layer by layer, the whole model at a glance; few layers without heads as `strips`."""
    if study.single and len(study.layers) <= MOST_STRIPS:
        return strips([(layer.name, layer.measures.bars.tolist()) for layer in study.layers])
    if len(study.heads) <= MOST_COLUMNS:
        columns = [[(f"{h.label}: {h.verdict}", h.bars) for h in study.heads if h.layer == i] for i in range(len(study.layers))]
    else:
        columns = [[(f"layer {i}, all heads", tuple(layer.measures.bars.tolist()))] for i, layer in enumerate(study.layers)]
    values = []
    for i, of_layer in enumerate(columns):
        width = (1 - _GAP) / len(of_layer)
        for j, (label, bars) in enumerate(of_layer):
            left = i + _GAP / 2 + j * width
            values += _stacked(bars, left=left, right=left + width * 0.92, name=label, layer=study.layers[i].name)
    every = max(1, math.ceil(len(columns) / 24))
    centres = [i + 0.5 for i in range(0, len(columns), every)]
    return _chart(
        values,
        200,
        params=[_LIT],
        mark={"type": "rect"},
        encoding={
            "x": {
                "field": "left",
                "type": "quantitative",
                "scale": {"domain": [0, len(columns)], "nice": False},
                "axis": _quiet(values=centres, labelExpr="floor(datum.value)"),
                "title": "layer" + (", a column for every head" if any(len(c) > 1 for c in columns) else ""),
            },
            "x2": {"field": "right"},
            "y": {"field": "from", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 4}, "title": None},
            "y2": {"field": "to"},
            "tooltip": [{"field": "name", "title": "where"}, {"field": "layer", "title": "module"}, *_BAR_TIP],
            **_BARS,
        },
    )


def used_bins(groups: Sequence[Shares]) -> list[str]:
    """From the first bin to the last that some group has something in; that of 1 itself only where it has.

    >>> used_bins([(0, 0, 0.5, 0.5, 0, 0, 0, 0), (0, 0, 0, 0.4, 0, 0.6, 0, 0)])
    ['0.5-0.9', '0.9-1', '1-10']
    """
    full = [i for i in range(len(BARS)) if any(bars[i] >= 0.0005 for bars in groups)]
    return [BARS[i] for i in range(full[0], full[-1] + 1) if BARS[i] != "1" or i in full] if full else list(BARS)


def highest(groups: Sequence[Shares]) -> float:
    """The end of an axis that holds all shares, for charts that are to be compared.

    >>> highest([(0.1, 0.43, 0.2, 0.27)])
    0.5
    """
    return max(0.5, math.ceil(10 * max((share for bars in groups for share in bars if not math.isnan(share)), default=1.0)) / 10)


def grouped_bars(groups: Sequence[tuple[str, Shares]], title: str, bins: Sequence[str], top: float = 1.0) -> Spec:
    """The paper's figure: a group of bars for every head (or layer), a bar for every bin of ``|lambda|``, up to the share `top`."""
    values = [{"group": name, **piece} for name, bars in groups for piece in _stacked(bars) if piece["bar"] in bins]
    return _chart(
        values,
        120,
        params=[_LIT],
        mark={"type": "bar"},
        encoding={
            "x": {
                "field": "group",
                "type": "ordinal",
                "sort": None,
                "title": title,
                "axis": {"labelAngle": 0, "ticks": False, "labelOverlap": True},
                "scale": {"domain": [name for name, _ in groups], "paddingInner": 0.16, "paddingOuter": 0.08},
            },
            "xOffset": {"field": "bar", "type": "nominal", "sort": list(bins), "scale": {"domain": list(bins)}},
            "y": {"field": "share", "type": "quantitative", "scale": {"domain": [0, top]}, "axis": {"format": "%", "tickCount": 3, "domain": False}, "title": None},
            "tooltip": [{"field": "group", "title": title}, *_BAR_TIP],
            **_BARS,
        },
    )


# Horizons and medians, where several spectra share a chart


def _series(names: Sequence[str]) -> Spec:
    return _by_series(names, [f"var(--series{i % COLOURS})" for i in range(len(names))])


def _dashed(names: Sequence[str], dashed: bool) -> Spec:
    return _by_series(names, [DASHES[i % len(DASHES)] if dashed else [1, 0] for i in range(len(names))])


def _by_series(names: Sequence[str], values: list[Any]) -> Spec:
    return {"field": "series", "type": "nominal", "scale": {"domain": list(names), "range": values}, "legend": None}


def horizon_shares(spectrum: Spectrum) -> list[tuple[float, float, float]]:
    """Lower and upper edge in tokens, and the share of the eigenvalues, per bin; horizons outside of the axis count in its first and last bin, endless ones
    (``|lambda| >= 1``) in none."""
    histogram = spectrum.horizon()
    lower, counts = histogram.edges[:-1], histogram.counts.double()
    bins = len(_HORIZONS) * _PER_OCTAVE
    at = ((lower.clamp(min=2.0**-30).log2() - _HORIZONS.start) * _PER_OCTAVE + 1e-9).floor().clamp(0, bins - 1).nan_to_num(0).long()
    endless = torch.isinf(lower)
    shares = torch.zeros(bins, dtype=torch.float64).index_add_(0, at[~endless], counts[~endless]) / counts.sum()
    edges = [2.0 ** (_HORIZONS.start + i / _PER_OCTAVE) for i in range(bins + 1)]
    return list(zip(edges, edges[1:], shares.tolist(), strict=False))


def horizons(series: Sequence[tuple[str, Spectrum]], *, dashed: bool = True) -> Spec:
    """Shares of horizons on a logarithmic axis: the first series filled, and what it is compared with as lines; not dashed: all filled."""
    names = [name for name, _ in series]
    values = [{"series": name, "from": a, "to": b, "share": share} for name, spectrum in series for a, b, share in horizon_shares(spectrum)]
    x = {
        "field": "from",
        "type": "quantitative",
        "scale": {"type": "log", "base": 10, "domain": [2.0**_HORIZONS.start, 2.0**_HORIZONS.stop], "nice": False},
        "title": "horizon: tokens until a mode has decayed to 1/e",
        "axis": {"grid": False, "values": [10.0**k for k in range(-1, 6)], "labelExpr": "datum.value < 1000 ? format(datum.value, '~f') : format(datum.value / 1000, '~f') + ' k'"},
    }
    y = {"field": "share", "type": "quantitative", "axis": {"format": "%", "tickCount": 4, "domain": False}, "scale": {"domainMin": 0}, "title": None, "stack": None}
    tip = [
        {"field": "series", "title": "spectrum"},
        {"field": "from", "type": "quantitative", "format": ".3~r", "title": "from tokens"},
        {"field": "to", "type": "quantitative", "format": ".3~r", "title": "to"},
        {"field": "share", "title": "share", "type": "quantitative", "format": ".1%"},
    ]
    filled = [{"filter": {"field": "series", "oneOf": names[:1] if dashed else names}}]
    return _chart(
        values,
        220,
        encoding={"x": x, "y": y, "color": _series(names)},
        layer=[
            {"transform": filled, "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.25, "line": False}},
            {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2}, "encoding": {"strokeDash": _dashed(names, dashed)}},
            {"mark": {"type": "rect", "opacity": 0}, "encoding": {"x2": {"field": "to"}, "y2": {"datum": 0}, "tooltip": tip}},
        ],
    )


def medians(series: Sequence[tuple[str, Study]], *, dashed: bool = True) -> Spec:
    """The median of ``|lambda|`` by layer with its quartiles, and every head of the first study as a point."""
    names = [name for name, _ in series]
    values: list[Spec] = []
    top = 1.0
    for name, study in series:
        for i, layer in enumerate(study.layers):
            lower, median, upper = layer.measures.quartiles.tolist()
            if layer.measures.count > 0:
                top = max(top, upper)
                values.append({"series": name, "layer": i, "name": layer.name, "lower": lower, "median": median, "upper": upper, "kind": "layer"})
    if not series[0][1].single:
        values += [{"series": names[0], "layer": h.layer, "name": h.label, "median": h.median, "kind": "head"} for h in series[0][1].heads if h.count]
    layers = max(len(study.layers) for _, study in series)
    x = {
        "field": "layer",
        "type": "quantitative",
        "title": "layer",
        "axis": {"values": list(range(0, layers, max(1, math.ceil(layers / 16)))), "format": "d", "grid": False, "domain": False},
        "scale": {"domain": [0, layers - 1], "nice": False, "padding": 14},
    }
    y = {"field": "median", "type": "quantitative", "title": None, "scale": {"domain": [0, min(top * 1.03, 2)], "clamp": True}, "axis": {"tickCount": 5, "domain": False}}
    of_layer, of_head = ([{"filter": {"field": "kind", "equal": kind}}] for kind in ("layer", "head"))
    tip = [{"field": "series", "title": "spectrum"}, {"field": "name", "title": "where"}, {"field": "median", "type": "quantitative", "format": ".4~r", "title": "median |λ|"}]
    at_one = {"data": {"values": [{}]}, "mark": {"type": "rule", "color": "var(--soft)", "strokeDash": [3, 3]}, "encoding": {"y": {"datum": 1}}}
    shared = {"x": x, "color": _series(names)}
    return _chart(
        values,
        220,
        layer=[
            at_one,
            {"transform": of_layer, "mark": {"type": "area", "opacity": 0.16}, "encoding": {**shared, "y": {**y, "field": "lower"}, "y2": {"field": "upper"}}},
            {"transform": of_head, "mark": {"type": "circle", "size": 20, "opacity": 0.6}, "encoding": {**shared, "y": y, "tooltip": tip}},
            {
                "transform": of_layer,
                "mark": {"type": "line", "strokeWidth": 2.5, "point": {"size": 36}},
                "encoding": {**shared, "y": y, "tooltip": tip, "strokeDash": _dashed(names, dashed)},
            },
        ],
    )


# Positions


def telling_metric(layers: Sequence[Layer]) -> str:
    """Which of `METRICS` differs most between the cells of their heat maps."""
    cells = {name: torch.cat([_shown(layer.by_position)[name].flatten() for layer in layers]) for name in METRICS}
    return max(METRICS, key=lambda name: float(cells[name][cells[name].isfinite()].std().nan_to_num(0)))


def positions(layers: Sequence[tuple[str, Layer]], metric: str) -> Spec:
    """Position by head of one layer, or by layer of several without heads: a share, or the median, of every bucket, by the signal ``metric``, which begins as given."""
    rows: list[tuple[str, str, Spec]] = []
    for name, layer in layers:
        pooled = layer.heads > MOST_ROWS
        shown = _shown(layer.by_position)
        if pooled:
            shown = {name: of[None] for name, of in _shown(measure(layer.spectrum.pool("head"))).items()}
        starts = layer.spectrum.buckets
        for h in range(len(shown["holds"])):
            row = name if len(layers) > 1 else "all" if pooled else str(h)
            rows += [(row, _span(starts, b), {metric: float(of[h][b]) for metric, of in shown.items()}) for b in range(len(starts))]
    names = list(dict.fromkeys(row for row, _, _ in rows))
    title = "head" if len(layers) == 1 and len(names) > 1 else None
    return _chart(
        [{"row": row, "position": position, **of} for row, position, of in rows if not math.isnan(of["holds"])],
        len(names) * (22 if len(layers) > 1 else 13 if len(names) <= 16 else 8),
        params=[{"name": "metric", "value": metric}],
        transform=[{"calculate": "datum[metric]", "as": "shown"}],
        mark={"type": "rect"},
        encoding={
            "x": {"field": "position", "type": "ordinal", "sort": None, "title": "position", "axis": _quiet(labelOverlap=True, labelAngle=0)},
            "y": {"field": "row", "type": "ordinal", "sort": None, "title": title, "axis": _quiet(labels=len(names) > 1, labelOverlap=True, labelLimit=150)},
            "color": {"field": "shown", "type": "quantitative", "scale": {"scheme": "cividis", "domain": [0, 1]}, "legend": None},
            "tooltip": [{"field": "row", "title": title or "where"}, {"field": "position"}]
            + [{"field": name, "title": what, "type": "quantitative", "format": ".3~f" if name == "median" else ".1%"} for name, what in METRICS.items()],
        },
    )


def _shown(m: Measures) -> dict[str, Tensor]:
    return {"holds": m.holds, "forgets": m.forgets, "grows": m.grows, "median": m.quartiles[..., 1].clamp(max=1)}


def _span(starts: Sequence[int], bucket: int) -> str:
    """
    >>> _span((0, 16, 17, 64), 0), _span((0, 16, 17, 64), 1), _span((0, 16, 17, 64), 3)
    ('0-15', '16', '64 on')
    """
    first, last = starts[bucket], starts[bucket + 1] - 1 if bucket + 1 < len(starts) else None
    return f"{first} on" if last is None else str(first) if first == last else f"{first}-{last}"
