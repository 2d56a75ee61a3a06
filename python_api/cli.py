"""The command ``spectral-kernels``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from spectral_kernels.api import analysis, report
from spectral_kernels.api.bench import record, runner, table
from spectral_kernels.api.bench.gate import RedGate
from spectral_kernels.api.bench.registry import BENCHMARKS, Benchmark, select
from spectral_kernels.api.info import build_info, machine_info
from spectral_kernels.api.progress import Progress


def bench(quick: bool, pattern: str, csv: Path | None, benchmarks: tuple[Benchmark, ...] = BENCHMARKS) -> int:
    """Measures and prints; returns the exit status: 1 when an accuracy gate is red, and then nothing is printed or written."""
    points = select(benchmarks, quick=quick, pattern=pattern)
    progress = Progress(runner.steps(points))
    try:
        rows = runner.run(points, runner.QUICK if quick else runner.FULL, progress)
    except RedGate as error:
        print(f"spectral-kernels: {error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    print(table.machine_line(rows[0].provenance))
    for show in (table.points_table, table.means_table):
        print(f"\n{table.text(show(rows))}")
    if csv is not None:
        record.write_csv(csv, rows)
    return 0


def analyze(settings: analysis.Settings, out: Path, file_format: str) -> int:
    """Runs the analysis, and prints what its report says."""
    progress = Progress()
    try:
        study = analysis.analyze(settings, out, file_format=file_format, step=progress)
    finally:
        progress.close()
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"{study.title}: {study.subtitle}\n")
        _say(report.sentences(study))
        print(f"\n{out / 'report.html'}")
    return 0


def compare(sources: Sequence[Path], titles: Sequence[str], out: Path) -> int:
    """Writes the page and the tables about two runs, and prints how far they are apart."""
    studies = [report.Study.of(_saved(path), title) for path, title in zip(sources, titles, strict=True)]
    out.mkdir(parents=True, exist_ok=True)
    report.write(out / "report.html", *studies)
    report.write_table(out / "spectrum.csv", studies)
    report.write_distances(out / "distances.csv", *studies)
    _say(report.differences(*studies).sentences())
    print(f"\n{out / 'report.html'}")
    return 0


def _saved(path: Path) -> Path:
    """The spectrum of an analysis, of its folder or its file."""
    if not path.is_dir():
        return path
    found = [file for suffix in (".npz", ".safetensors") if (file := path / f"spectrum{suffix}").exists()]
    if not found:
        raise FileNotFoundError(f"{path}: expected the folder of an analysis, got one without spectrum.npz")
    return found[0]


def _say(sentences: Sequence[tuple[str, str]]) -> None:
    for word, sentence in sentences:
        print(textwrap.fill(f"{word}: {sentence}", 110, subsequent_indent="  "))


def info() -> int:
    """Prints the versions, the instruction set in use and the machine."""
    for key, value in (build_info() | machine_info()).items():
        print(f"{key:<17} {value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spectral-kernels", description="Eigenvalues of state transitions, fast and right.")
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("bench", help="check the accuracy, then time the kernels against torch, LAPACK on all cores and numpy")
    measure.add_argument("--quick", action="store_true", help="fewer sizes and rounds: under a minute")
    measure.add_argument("--filter", default="", metavar="REGEX", help="only the points whose name matches, such as '^eigvals float32 n=(8|16)$'")
    measure.add_argument("--csv", type=Path, metavar="FILE", help="also write one row per point and provider")
    _add_analyze(commands.add_parser("analyze", help="a model of transformers or flash-linear-attention reads a text: spectra, table, report"))
    both = commands.add_parser("compare", help="two analyses: how far their spectra are apart, page and tables")
    both.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="the folder of an analysis, or its spectrum.npz")
    both.add_argument("--titles", nargs=2, default=("", ""), metavar="TITLE", help="what to call them, where their own titles do not tell")
    both.add_argument("--out", type=Path, required=True, metavar="DIR")
    commands.add_parser("info", help="versions, instruction set in use, machine")
    return parser


def _add_analyze(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", help="a folder, or a name on the hub")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="FILE", help="a text file")
    source.add_argument("--dataset", metavar="NAME", help="a JSON Lines file (.jsonl), or NAME[:CONFIG]:SPLIT of the datasets library")
    command.add_argument("--field", default="text", help="of the dataset's documents that holds their text (default: %(default)s)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="an interrupted analysis goes on with what it finds there")
    command.add_argument("--length", type=int, default=1024, metavar="TOKENS", help="of a sequence (default: %(default)s)")
    command.add_argument("--batch-size", type=int, default=1, metavar="N", help="sequences at a time (default: %(default)s)")
    command.add_argument("--max-tokens", type=int, default=1 << 15, metavar="N", help="of the text (default: %(default)s)")
    command.add_argument("--dtype", default="auto", help="of the model: float32, bfloat16 ...; default: as saved, which on a CPU leaves the weights memory-mapped")
    command.add_argument("--device", default="auto", help="default: a GPU where there is one")
    command.add_argument("--device-map", metavar="MAP", help="'auto' spreads a large model over devices, memory and disk; needs accelerate")
    command.add_argument("--tokenizer", default="", metavar="NAME", help="where the model's own is not there; 'bytes' for the bytes themselves")
    command.add_argument("--buckets", type=int, nargs="+", metavar="POSITION", help="at which position buckets begin (default: 0 and seven that double)")
    command.add_argument("--init-baseline", action="store_true", help="run the model with new weights too, and show what training changed")
    command.add_argument("--seed", type=int, default=0, help="of the new weights (default: %(default)s)")
    command.add_argument("--format", choices=("npz", "safetensors"), default="npz", help="of the spectra (default: %(default)s)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.command == "info":
        return info()
    try:
        if chosen.command == "bench":
            return bench(chosen.quick, chosen.filter, chosen.csv)
        if chosen.command == "compare":
            return compare(chosen.runs, chosen.titles, chosen.out)
        given = {field.name: getattr(chosen, field.name) for field in dataclasses.fields(analysis.Settings)}
        given["buckets"] = None if chosen.buckets is None else tuple(chosen.buckets)
        return analyze(analysis.Settings(**given), chosen.out, chosen.format)
    except (ValueError, ImportError, OSError) as error:
        parser.error(str(error))
