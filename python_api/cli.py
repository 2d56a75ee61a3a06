"""The command ``spectral-kernels``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from spectral_kernels.api.bench import record, runner, table
from spectral_kernels.api.bench.gate import RedGate
from spectral_kernels.api.bench.registry import BENCHMARKS, Benchmark, select
from spectral_kernels.api.info import build_info, machine_info


def _tqdm() -> ModuleType | None:
    try:
        import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return None
    return tqdm


class Progress:
    """One step after another on stderr: a bar in a terminal that has tqdm, else a line per step."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        tqdm = _tqdm() if sys.stderr.isatty() else None
        self.bar: Any = tqdm.tqdm(total=total, leave=False, bar_format="{n_fmt}/{total_fmt} {bar:24} {desc}") if tqdm else None

    def __call__(self, step: str) -> None:
        if self.bar is None:
            print(f"[{self.done + 1:{len(str(self.total))}}/{self.total}] {step}", file=sys.stderr, flush=True)
        else:
            self.bar.n = self.done  # the step begins: what is done is the steps before it
            self.bar.set_description_str(step)
        self.done += 1

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


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
    commands.add_parser("info", help="versions, instruction set in use, machine")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.command == "info":
        return info()
    try:
        return bench(chosen.quick, chosen.filter, chosen.csv)
    except ValueError as error:
        parser.error(str(error))
