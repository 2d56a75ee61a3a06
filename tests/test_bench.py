"""The benchmarks: the registry, the parallel opponent, the gate that refuses wrong results, rows, the command line, the figure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spectral_kernels.api import cli, linalg
from spectral_kernels.api.bench import gate, opponents, record, runner, table
from spectral_kernels.api.bench.registry import BENCHMARKS, dense_inputs, hermitian_inputs, select

ROOT = Path(__file__).parents[1]
BRIEF = runner.Effort(rounds=2, seconds=0.0, least=1, settle=0.0)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def entry(name, **changes):
    """A registry entry cut down to float32, small matrices and a batch that is no multiple of anything."""
    original = next(b for b in BENCHMARKS if b.name == name)
    small = {"dtypes": (torch.float32,), "sizes": (4, 8), "quick_sizes": (4, 8, 16), "batch": lambda n, threads: 37 * threads}
    return replace(original, **(small | changes))


def command(*arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_names_are_unique():
    names = [point.name for point in select()]
    assert len(set(names)) == len(names)
    for benchmark in BENCHMARKS:
        assert len({o.name for o in benchmark.opponents} | {runner.OURS}) == len(benchmark.opponents) + 1


@pytest.mark.parametrize("measured", BENCHMARKS, ids=lambda b: b.name)
def test_entry_is_well_formed(measured):
    assert measured.what and measured.dtypes
    on_matrices = measured.inputs in (dense_inputs, hermitian_inputs)
    assert ({"torch", "lapack"} if on_matrices else {"torch"}) <= {o.name for o in measured.opponents}
    assert list(measured.sizes) == sorted(set(measured.sizes)) and set(measured.quick_sizes) <= set(measured.sizes)
    for n in measured.sizes:
        for threads in (1, 2, 64):
            assert measured.batch(n, threads) >= 3 * 32 * threads  # three groups of the widest lane for every thread
            assert measured.batch(n, threads) * n**2 <= 3_000_000 * threads
    for dtype in measured.dtypes:
        first, again = measured.make_inputs(8, dtype), measured.make_inputs(8, dtype)
        assert {len(tensor) for tensor in first} == {measured.batch(8, torch.get_num_threads())}
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("measured", BENCHMARKS, ids=lambda b: b.name)
def test_opponents_solve_the_same_problem(measured, two_threads):
    inputs = entry(measured.name).make_inputs(6, torch.float64)

    def eigenvalues(result):
        values = torch.as_tensor(result if isinstance(result, torch.Tensor) or not isinstance(result, tuple) else result[0])
        return values.abs().sort().values

    expected = eigenvalues(measured.function(*inputs))
    for opponent in measured.opponents:
        torch.testing.assert_close(eigenvalues(opponent.function(*inputs)), expected, msg=opponent.name)


def test_batch_parallel_runs_at_the_same_time(two_threads):
    meeting = threading.Barrier(2, timeout=20)  # breaks unless two pieces are under way at once

    def meet(A):
        meeting.wait()
        assert torch.get_num_threads() == 1
        return A, A.sum((-2, -1))

    A = torch.randn(11, 3, 3)
    same, sums = opponents.batch_parallel(meet)(A)
    assert torch.equal(same, A) and torch.equal(sums, A.sum((-2, -1)))
    assert torch.get_num_threads() == 2


def test_providers_are_timed_in_turn():
    calls = []
    times = runner.interleaved({name: lambda name=name: calls.append(name) for name in "ABC"}, runner.Effort(rounds=4, seconds=9.0, least=1, settle=0.0))
    assert "".join(calls) == "ABC" * 4
    assert {name: len(seconds) for name, seconds in times.items()} == {"A": 4, "B": 4, "C": 4}


def test_uncounted_calls_come_first():
    calls = []
    times = runner.interleaved({"A": lambda: calls.append("A")}, runner.Effort(rounds=1, seconds=0.0, least=1, settle=0.002))
    assert len(calls) > 1 and len(times["A"]) == 1


@pytest.mark.parametrize("ratios", [(9.9, 7.0), (0.0, 0.0)])
def test_green(ratios):
    gate.require_green("x", gate.Ratios(*ratios))


@pytest.mark.parametrize("ratios", [(20.1, 40.0), (7.6, 5.0), (float("nan"), 5.0), (float("inf"), float("inf"))])
def test_red(ratios):
    with pytest.raises(gate.RedGate, match="red"):
        gate.require_green("x", gate.Ratios(*ratios))


def neighbours_vectors(A):
    w, V = linalg.eig(A)
    return w, V.roll(1, -1)


def without_scaling(A):
    return linalg.eigvals(A) if A.abs().max() < 100 else linalg.eigvals(A) * 2


def last_matrix_forgotten(A):
    w, V = linalg.eig(A)
    return w, torch.cat([V[:-1], torch.zeros_like(V[-1:])])


def gives_up(A):
    raise torch.linalg.LinAlgError("no convergence")


WRONG = {
    "inexact": entry("eigvals", function=lambda A: linalg.eigvals(A) * (1 + 1e-3)),
    "NaN": entry("eigvals", function=lambda A: linalg.eigvals(A) * float("nan")),
    "right on easy matrices only": entry("eigvals", function=without_scaling),
    "the vectors of other values": entry("eig", function=neighbours_vectors),
    "ragged tail": entry("eig", function=last_matrix_forgotten),
    "no result": entry("eig", function=gives_up),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_wrong_results_give_no_figure(wrong, capsys, tmp_path):
    assert cli.bench(quick=True, pattern="", csv=tmp_path / "rows.csv", benchmarks=(wrong,)) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and "accuracy gate is red" in printed.err
    assert not list(tmp_path.iterdir())


def test_rows_and_their_csv(tmp_path, two_threads):
    points = select((entry("eigvals"), entry("eig", flops=None)))
    seen = []
    rows = runner.run(points, BRIEF, seen.append)
    assert len(seen) == runner.steps(points)
    assert [(r.benchmark, r.n) for r in rows[::4]] == [("eigvals", 4), ("eigvals", 8), ("eig", 4), ("eig", 8)]
    assert [r.provider for r in rows[:4]] == ["spectral_kernels", "torch", "lapack", "numpy"]
    for row in rows:
        assert 0 < row.p20_s <= row.median_s <= row.p80_s < 1
        assert row.rounds >= 1
        assert (row.peak_fraction is None) == (row.benchmark == "eig")
        assert (row.ratio is not None) == (row.provider in {"spectral_kernels", "torch"})
    file = tmp_path / "new" / "rows.csv"
    record.write_csv(file, rows)
    again = record.read_csv(file)
    assert [(r.provider, r.n, r.provenance) for r in again] == [(r.provider, r.n, r.provenance) for r in rows]
    assert all(r.median_s == pytest.approx(s.median_s, rel=1e-3) for r, s in zip(again, rows, strict=True))
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="expected the columns benchmark"):
        record.read_csv(file)


def test_table_of_known_times():
    origin = record.Provenance("cpu", 2, 2, "avx2", "2.13", "2.4", "0.1.0", "", "2026-01-01")

    def row(provider, n, seconds, ratio):
        return record.Row("eig", provider, "float32", n, 50, 3, seconds, seconds, seconds, 0.25, ratio, origin)

    rows = [row(runner.OURS, 4, 1e-6, 3.0), row("torch", 4, 8e-6, 4.0), row(runner.OURS, 8, 2e-6, 3.0), row("torch", 8, 4e-6, 4.0)]
    points = table.points_table(rows)
    assert points.lines[0] == ["eig", "float32", "4", "50", "1.00", "8.00", "8.0", "25.0%", "3.0"]
    assert table.means_table(rows).lines == [["eig", "float32", "4-8", "4.0", "3.0", "4.0"]]
    assert table.markdown(points).splitlines()[-1] == "| eig | float32 | 8 | 50 | 2.00 | 4.00 | 2.0 | 25.0% | 3.0 |"
    assert len({len(line) for line in table.text(points).splitlines()[2:]}) == 1


def test_serial_opponents_get_part_of_the_batch(two_threads):
    rows = runner.run([select((entry("eigvals"),))[0]], BRIEF)
    few = 37 // runner.SERIAL_SHARE  # of one thread's
    assert {r.provider: r.batch for r in rows} == {"spectral_kernels": 74, "torch": few, "lapack": 74, "numpy": few}


def test_select():
    assert [p.name for p in select(pattern="^eig float64 n=(8|16)$")] == ["eig float64 n=8", "eig float64 n=16"]
    with pytest.raises(ValueError, match="fits none"):
        select(pattern="svd")
    with pytest.raises(ValueError, match="regular expression"):
        select(pattern="(")


def test_command_line(tmp_path):
    done = command("-m", "spectral_kernels", "bench", "--quick", "--filter", "^eigvals float32 n=4$", "--csv", "rows.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "cores" in lines[0] and "torch" in lines[0]
    assert any(line.startswith("eigvals    float32  4") for line in lines)
    assert "[2/2] eigvals float32 n=4" in done.stderr
    assert [r.provider for r in record.read_csv(tmp_path / "rows.csv")] == ["spectral_kernels", "torch", "lapack", "numpy"]


def test_command_line_errors(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bench", "--filter", "svd"])
    assert stopped.value.code == 2 and "fits none" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([])


def test_info(capsys):
    assert cli.main(["info"]) == 0
    keys = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {"spectral_kernels", "torch", "cpu_isa", "machine", "cores"} <= keys


def test_repository_runner_draws_figure_and_table(tmp_path):
    pytest.importorskip("matplotlib")
    done = command(str(ROOT / "benchmarks" / "run.py"), "--quick", "--filter", "^eigvals float32 n=(4|8)$", "--csv", "rows.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rows.svg").read_text().count("<path") > 20
    page = (tmp_path / "rows.md").read_text()
    assert "(rows.svg)" in page and page.count("| eigvals | float32 |") == 3  # one mean, two points


def test_readme_shows_committed_results(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import plot

    page = plot.README.read_text()
    shown = [csv for csv in (ROOT / "benchmarks" / "results").glob("*.csv") if plot.replace_block(page, plot.readme_block(csv), plot.MARKS) == page]
    assert len(shown) == 1, "python benchmarks/plot.py benchmarks/results/<machine>.csv --readme"
