"""The numbers of a report as a tidy table: a row per head, or per head and position bucket."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spectral_kernels.api.report.difference import Pair, differences
from spectral_kernels.api.report.heads import Head
from spectral_kernels.api.report.measures import BARS, PHASES
from spectral_kernels.api.report.study import Study

Row = dict[str, Any]

_SCALARS = ("forgets", "fades", "holds", "grows", "turns", "negative", "lower", "median", "upper", "horizon", "smallest", "largest", "mean_log", "from_initial")


def rows(studies: Sequence[Study]) -> list[Row]:
    """A row per model, layer and head: counts, quartiles of ``|lambda|``, the horizon of the median, and shares.

    >>> import torch, spectral_kernels as sk
    >>> row = rows([Study.of({"layers.0": sk.Spectrum((2,)).update(torch.full((9, 2, 1), 0.99))}, "by hand")])[1]
    >>> row["module"], row["head"], row["count"], row["verdict"], row["|lambda| 0.9-1"]
    ('layers.0', 1, 9, 'holds', 1.0)
    """
    return [_row(study.title, head) for study in studies for head in study.heads]


def _row(title: str, head: Head) -> Row:
    first = {
        "model": title,
        "layer": head.layer,
        "module": head.name,
        "family": head.family,
        "gauge": head.gauge,
        "head": head.head,
        "count": head.count,
        "nonfinite": head.nonfinite,
        "verdict": head.verdict,
        "oscillates": head.oscillates,
        "unstable": head.unstable,
    }
    shares = {f"|lambda| {name}": share for name, share in zip(BARS, head.bars, strict=True)}
    phases = {f"|arg| {name.removesuffix('°')} degrees": share for name, share in zip(PHASES, head.phases, strict=True)}
    return first | {name: getattr(head, name) for name in _SCALARS} | shares | phases


def write_table(path: str | Path, studies: Sequence[Study]) -> None:
    """Writes `rows` to a ``.csv``, or a ``.parquet`` where pandas and pyarrow are installed.

    Raises:
        ValueError: for another suffix.
    """
    _write(Path(path), rows(studies))


def write_distances(path: str | Path, a: Study, b: Study) -> None:
    """Writes a row per layer of how far two models are apart, and one for all layers together, as `write_table` does."""
    apart = differences(a, b)
    _write(Path(path), [_distance(apart.titles, pair) for pair in (*apart.layers, apart.whole)])


def _distance(titles: tuple[str, str], pair: Pair) -> Row:
    row: Row = {}
    for i in (0, 1):
        row |= {f"model {i + 1}": titles[i], f"module {i + 1}": pair.names[i], f"median {i + 1}": pair.medians[i], f"holds {i + 1}": pair.holds[i]}
    return row | {"wasserstein ln|lambda|": pair.wasserstein, "jensen-shannon bits": pair.jensen_shannon}


def _write(path: Path, table: list[Row]) -> None:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    elif path.suffix == ".parquet":
        try:
            import pandas  # type: ignore[import-untyped, unused-ignore]
            import pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
        except ImportError as error:
            raise ImportError("a .parquet table needs pandas and pyarrow: pip install pandas pyarrow, or use .csv") from error
        pandas.DataFrame(table).to_parquet(path, index=False)
    else:
        raise ValueError(f"{path}: expected a file name that ends in .csv or .parquet")
