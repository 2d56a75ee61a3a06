"""`report.html`: one self-contained page, charts, tables and the library that draws them included."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from spectral_kernels._version import __version__
from spectral_kernels.api.report import charts
from spectral_kernels.api.report.measures import BARS, FORGETS, HOLDS, OSCILLATES
from spectral_kernels.api.report.section import Apart, Glance, Section
from spectral_kernels.api.report.study import Study
from spectral_kernels.api.report.summary import percent
from spectral_kernels.api.report.table import rows

_BUNDLE = "window.vegaEmbed = vegaEmbed;"
_BAR_GROUPS = (("forgets", (0, 1)), ("fades", (2,)), ("holds", (3, 4)), ("grows", (5, 6, 7)))  # indices into BARS


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
    return str(
        _template().render(
            title=title or " and ".join(study.title for study in known),
            glance=Glance(known) if len(known) > 1 else None,
            sections=[Section(study) for study in known],
            apart=Apart(known[0], known[1]) if len(known) == 2 else None,
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
    )


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
        return "" if math.isnan(value) else "∞" if value == math.inf else "\u2212∞" if value == -math.inf else f"{value:.4g}"
    return str(value)


@cache
def _template() -> Any:
    import jinja2  # torch requires it

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"json": _json, "cell": _cell, "percent": percent}
    return environment.from_string(_text("page.html"))
