"""The report: its numbers against the eigenvalues themselves, its charts drawn by Vega, its page complete in itself."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from html.parser import HTMLParser

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.report import charts
from spectral_kernels.api.report.difference import differences
from spectral_kernels.api.report.measures import BARS, measure
from spectral_kernels.api.report.page import page
from spectral_kernels.api.report.plane import RIM, plane
from spectral_kernels.api.report.section import Section
from spectral_kernels.api.report.study import Study
from spectral_kernels.api.report.summary import Summary, percent, spans

vl_convert = pytest.importorskip("vl_convert")

BUCKETS = (0, 4, 8)


def attention(layers=2, heads=3, T=16, scale=1.0, title="attention"):
    torch.manual_seed(0)
    run = sk.Run(title, buckets=BUCKETS)
    for i in range(layers):
        q, k = (scale * torch.randn(2, T, heads, 8) for _ in "qk")
        run.add(f"h.{i}.attn", sk.families.softmax_attention(q, k), family="softmax_attention", error=1e-7)
    return run


def rotations():
    torch.manual_seed(1)
    run = sk.Run("recurrent")
    for name, gain in (("reader", 0.9), ("writer", 1.6)):
        run.add(name, sk.transitions.Dense(gain * torch.randn(9, 8, 8) / 8**0.5), family="rnn")
    return run


@pytest.fixture(scope="module")
def studies():
    known = attention()
    return [Study.of(known, initial=attention(scale=0.01), length=16), Study.of(rotations())]


def test_measures_are_those_of_the_eigenvalues():
    torch.manual_seed(0)
    w = 0.5 * torch.randn(500, dtype=torch.complex128) * torch.rand(500).double().exp()
    w[:20], w[20:40], w[40:45] = 1.0, -0.95, 0.0
    m, r, degrees = measure(sk.Spectrum().update(w[None])), w.abs(), w.angle().abs().rad2deg()
    edges = [0, 0.1, 0.5, 0.9, 1, 1, 10, 100, math.inf]
    expected = [((r == 1) if i == 4 else (r >= a) & (r < b) & (r != 1)).double().mean() for i, (a, b) in enumerate(itertools.pairwise(edges))]
    torch.testing.assert_close(m.bars, torch.stack(expected))
    assert len(BARS) == 8 and float(m.bars.sum()) == pytest.approx(1)
    shares = {"forgets": r < 0.5, "fades": (r >= 0.5) & (r < 0.9), "grows": r.log() >= 2.0**-10, "turns": degrees >= 10, "negative": (w.imag == 0) & (w.real < 0)}
    for name, where in shares.items():
        assert float(getattr(m, name)) == pytest.approx(float(where.double().mean())), name
    assert float(m.forgets + m.fades + m.holds + m.grows) == pytest.approx(1)
    assert float(m.horizon) == pytest.approx(float(-1 / m.quartiles[1].log()))


def test_empty_groups_and_nan_make_no_number():
    s = sk.Spectrum((2,)).update(torch.tensor([[[math.nan], [0.5]]]))
    study = Study.of({"layer": s})
    assert math.isnan(study.heads[0].median) and study.heads[0].nonfinite == 1 and study.heads[1].verdict == "fades"
    assert ("Broken", "NaN or Inf in layer 0, head 0: 1 eigenvalues.") in Summary(study).sentences()
    assert Summary(Study.of({"layer": s[0]})).sentences() == [("Broken", "NaN or Inf in layer 0: 1 eigenvalues.")]
    assert "NaN" not in "".join(re.findall(r'<script type="application/json">(.*?)</script>', page(study), re.DOTALL))


def test_heads_know_what_they_do():
    values = {"forgets": 0.2, "fades": 0.7, "holds": 0.99, "grows": 1.5}
    study = Study.of({"layer": sk.Spectrum((5,)).update(torch.stack([torch.full((9, 1), x) for x in values.values()] + [torch.linspace(0.1, 1.4, 9)[:, None]], 1))})
    assert [h.verdict for h in study.heads] == [*values, "mixed"]
    assert not study.heads[3].unstable, "nothing is known of the gauge"
    raw = Study.of(rotations())
    assert [h.unstable for h in raw.heads] == [False, True] or all(h.unstable for h in raw.heads)
    assert all(h.oscillates for h in raw.heads)


def test_sources_of_a_study(tmp_path):
    run = attention()
    run.save(tmp_path / "run.npz")
    for source in (run, tmp_path / "run.npz", str(tmp_path / "run.npz")):
        study = Study.of(source)
        assert (study.title, [layer.name for layer in study.layers]) == ("attention", ["h.0.attn", "h.1.attn"])
        assert study.layers[1].gauge == "normalised" and study.layers[1].spectrum.equal(run.spectra["h.1.attn"])
    total = run.spectrum()
    assert [layer.spectrum.equal(s) for layer, s in zip(Study.of(total, "x").layers, run.spectra.values(), strict=True)] == [True, True]
    total.save(tmp_path / "spectrum.npz")
    assert len(Study.of(tmp_path / "spectrum.npz").layers) == 2
    pooled = Study.of({"a": sk.Spectrum({"batch": 2, "head": 3}).update(torch.rand(5, 2, 3, 1)), "b": sk.Spectrum().update(torch.rand(5, 1))})
    assert [layer.heads for layer in pooled.layers] == [3, 1]
    with pytest.raises(TypeError, match=r"expected a Run.*got list"):
        Study.of([1])
    with pytest.raises(ValueError, match="at least one spectrum in 'none'"):
        Study.of({}, "none")


def test_baselines(studies):
    study = studies[0]
    assert study.uniform.equal(sk.spectrum.uniform_attention(16)) and studies[1].uniform is None
    words = dict(Summary(study).sentences())
    assert "all 16 tokens alike would hold 47" in words["Against uniform attention"]
    ours, theirs = (percent(float(measure(s.whole).holds)) for s in (study, study.initial))
    assert f"went from {theirs} to {ours}" in words["Against its initialisation"]
    distance = sk.spectrum.wasserstein(study.layers[0].by_head, study.initial.layers[0].by_head)
    assert [h.from_initial for h in study.heads[:3]] == distance.tolist()


def test_the_summary_says_what_is_unstable_and_what_is_not():
    words = dict(Summary(Study.of(rotations())).sentences())
    assert "complex pairs" in words["Oscillates"] and "layer 1" in words["Unstable"]
    stable = dict(Summary(Study.of({"a": sk.Spectrum((1,)).update(torch.rand(9, 1, 1) * 0.9)})).sentences())
    assert "no |λ| exceeds 1" in stable["Stable"] and "real and positive" in stable["Turns"]
    assert "no instability" in dict(Summary(Study.of(attention())).sentences())["Grows"]
    assert spans([4, 1, 2, 3, 9]) == "1-4, 9"


def drawn(spec):
    """The elements of a chart as Vega draws it, by the role of their group."""
    spec = spec | {"width": 300} if spec.get("width") == "container" else spec
    return vl_convert.vegalite_to_svg(json.loads(json.dumps(charts_json(spec))), vl_version="6.4")


def charts_json(spec):
    from spectral_kernels.api.report.page import _short

    return _short(spec)


@pytest.mark.parametrize("which", [0, 1])
def test_vega_draws_every_chart(studies, which):
    section = Section(studies[which])
    figures = [section.fingerprint, section.horizons, section.medians, *section.bars[:1], *section.positions[:1], *section.planes[:1]]
    assert len(figures) == 5  # attention has positions, the other planes
    for figure in figures:
        svg = drawn(figure.spec)
        assert svg.count("<path") + svg.count("<rect") > 5 and "NaN" not in svg, figure.title


def test_bars_have_the_heights_of_the_shares(studies):
    head = studies[0].heads[0]
    spec = charts.grouped_bars([("0", head.bars)], "head", BARS)
    heights = {v["bar"]: v["share"] for v in spec["data"]["values"]}
    assert heights == {bar: share for bar, share in zip(BARS, head.bars, strict=True) if share > 0}
    rows = charts.fingerprint(studies[0])["data"]["values"]
    by_head = {}
    for v in rows:
        by_head.setdefault(v["left"], []).append(v)
    assert len(by_head) == 6 and all(pieces[0]["from"] == 0 and pieces[-1]["to"] == pytest.approx(1) for pieces in by_head.values())


def test_horizons_are_shares_of_all():
    s = sk.Spectrum().update(torch.tensor([[0.5, 0.5, math.exp(-1 / 100), 1.0, 2.0, 0.0, 1e-300]], dtype=torch.float64))
    found = charts.horizon_shares(s)
    assert sum(share for *_, share in found) == pytest.approx(5 / 7)
    assert next(share for a, b, share in found if a <= 100 < b) == pytest.approx(1 / 7)
    assert found[0][2] == pytest.approx(2 / 7)


def test_the_plane_shows_where_eigenvalues_are():
    w = torch.tensor([[0.5j, -0.5j, 0.8, -3.0, 1.0]], dtype=torch.complex128)
    cells = next(layer for layer in plane(sk.Spectrum().update(w))["layer"] if "color" in layer.get("encoding", {}))
    values = plane(sk.Spectrum().update(w))["data"]["values"]
    assert len(values) == 5 and cells
    for v in values:
        middle = (v["inner"] + v["outer"]) / 2
        z = complex(middle * math.sin((v["from"] + v["to"]) / 2), middle * math.cos((v["from"] + v["to"]) / 2))  # clockwise from the top
        assert min(abs(z - (e if abs(e) < RIM else -RIM)) for e in w[0].tolist()) < 0.06


class Page(HTMLParser):
    """What a page refers to, and whether its elements close."""

    VOID = frozenset({"meta", "line", "br", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_complete_in_itself(studies, tmp_path):
    sk.report.write(tmp_path / "report.html", *studies, title="Two <models>")
    text = (tmp_path / "report.html").read_text()
    assert len(text) < 1_300_000
    parsed = Page(text)
    assert not parsed.open and all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links), parsed.links
    assert "Two &lt;models&gt;" in text and "Two <models>" not in text
    specs = [json.loads(spec) for spec in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)]
    assert len(specs) > 10 and all(spec["$schema"] == charts.SCHEMA for spec in specs)
    for head in (*studies[0].heads, *studies[1].heads):
        assert f"<td>{head.count}</td>" in text


def test_pages_need_a_model():
    with pytest.raises(ValueError, match="at least one model"):
        sk.report.write("never.html")


def test_runs_report_themselves(tmp_path):
    attention().report(tmp_path / "report.html", initial=attention(scale=0.1), length=16)
    assert "uniform attention, 16 tokens" in (tmp_path / "report.html").read_text()


def test_tables(studies, tmp_path):
    sk.report.write_table(tmp_path / "spectrum.csv", studies)
    rows = list(csv.DictReader((tmp_path / "spectrum.csv").open()))
    heads = [h for study in studies for h in study.heads]
    assert len(rows) == len(heads) == 8
    for row, head in zip(rows, heads, strict=True):
        assert (row["module"], int(row["head"]), float(row["median"])) == (head.name, head.head, head.median)
        assert sum(float(value) for name, value in row.items() if name.startswith("|lambda|")) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"ends in \.csv or \.parquet"):
        sk.report.write_table(tmp_path / "spectrum.xlsx", studies)


def test_differences(studies, tmp_path):
    a, b = studies[0], Study.of(attention(scale=0.01), "other")
    apart = differences(a, b)
    assert [pair.names for pair in apart.layers] == [(layer.name, layer.name) for layer in a.layers]
    assert apart.whole.wasserstein == float(sk.spectrum.wasserstein(a.whole, b.whole))
    assert apart.whole.jensen_shannon == float(sk.spectrum.jensen_shannon(a.whole, b.whole))
    assert differences(a, studies[1]).layers, "as many layers, by order"
    assert not differences(a, Study.of({"only": sk.Spectrum((1,)).update(torch.rand(9, 1, 1))})).layers
    sk.report.write_distances(tmp_path / "distances.csv", a, b)
    assert len(list(csv.DictReader((tmp_path / "distances.csv").open()))) == 3
