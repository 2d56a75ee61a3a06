"""One row per measured point and provider, with where and when it was measured; the CSV that results are kept in."""

from __future__ import annotations

import csv
import datetime
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

import spectral_kernels.api
from spectral_kernels.api.info import build_info, cores, cpu_model


@dataclass(frozen=True)
class Provenance:
    """Where, when and with what a row was measured."""

    machine: str
    cores: int
    threads: int
    isa: str
    torch: str
    numpy: str
    version: str
    commit: str
    date: str


@dataclass(frozen=True)
class Row:
    """Times are seconds per matrix.  ``peak_fraction`` by the flop model; ``ratio`` is the worst of the accuracy gate."""

    benchmark: str
    provider: str
    dtype: str
    n: int
    batch: int
    rounds: int
    median_s: float
    p20_s: float
    p80_s: float
    peak_fraction: float | None
    ratio: float | None
    provenance: Provenance


def commit() -> str:
    """Short commit of the checkout this package runs from, with ``-dirty`` if files differ; empty for an installed wheel."""
    folder = Path(spectral_kernels.api.__path__[0]).resolve()

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # a wheel may lie inside somebody else's repository
        return git("describe", "--always", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return ""


def provenance() -> Provenance:
    """Of this process, now."""
    info = build_info()
    return Provenance(
        machine=cpu_model(),
        cores=cores(),
        threads=torch.get_num_threads(),
        isa=info["cpu_isa"],
        torch=info["torch"],
        numpy=np.__version__,
        version=info["spectral_kernels"],
        commit=commit(),
        date=datetime.date.today().isoformat(),
    )


_MEASURED = [field.name for field in fields(Row) if field.name != "provenance"]
COLUMNS = [*_MEASURED, *(field.name for field in fields(Provenance))]


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Replaces the file by these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = {**{name: getattr(row, name) for name in _MEASURED}, **asdict(row.provenance)}
            writer.writerow({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()})


_FROM_TEXT: dict[str, Any] = {"int": int, "float": float, "str": str, "float | None": lambda text: float(text) if text else None}


def read_csv(path: Path) -> list[Row]:
    """The rows of a file that `write_csv` wrote.

    Raises:
        ValueError: when its columns are others.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, got {', '.join(reader.fieldnames or ())}")
        return [_row(line) for line in reader]


def _row(line: dict[str, str]) -> Row:
    def values(of: type) -> dict[str, Any]:
        return {field.name: _FROM_TEXT[str(field.type)](line[field.name]) for field in fields(of) if field.name != "provenance"}

    return Row(**values(Row), provenance=Provenance(**values(Provenance)))
