"""The SIMT emulation itself: kernels run in every order of their threads, every seeded bug is reported at its line, and its right twin is clean."""

from __future__ import annotations

import numpy as np
import pytest
import simt_library

BUGS = (simt_library.FOLDER / "simt" / "seeded_bugs.cpp").read_text().split("\n")
# what the emulation finds by its rules, and what it says
RULES = {
    "mask_lacks_caller": "__shfl_sync: the mask does not name the calling lane 31",
    "mask_names_exited": "the mask names lane 7, which has ended",
    "mask_names_nobody": "the mask names lane 20, which the block does not have",
    "divergent_shuffle": "two collectives under one mask",
    "inactive_source": "the source, lane 16, does not take part",
    "crossed_masks": "lanes that wait for each other under two masks",
    "width_of_three": "the width is no power of two up to 32: 3",
    "barrier_in_branch": "threads meet at a barrier from two lines",
    "barrier_after_exit": "barrier",
    "deadlock": "deadlock: nobody can run",
}
RACES = ("missing_syncwarp", "shuffle_as_fence", "sync_of_half", "missing_syncthreads", "missing_second_barrier", "global_race", "race_of_blocks")
OVERRUNS = {"overrun_of_shared": "heap-buffer-overflow", "overrun_of_registers": "index 4 out of bounds for type 'double [4]'", "shift_too_far": "shift exponent 32 is too large"}
SCRIPT = simt_library.ROOT / "tests" / "simt_seeded.py"


def line_of(name: str) -> int:
    return next(i for i, line in enumerate(BUGS, 1) if line.endswith(f"// {name}"))


def run(name: str, bug: int, order: str, seed: int = 0) -> np.ndarray:
    kernels = simt_library.load("simt/seeded_bugs.cpp")
    kernels.order, kernels.seed = order, seed
    out = np.zeros(64)
    kernels.call(f"run_{name}", out, bug)
    return out


@pytest.mark.parametrize("order", simt_library.ORDERS)
@pytest.mark.parametrize("flags", [(), ("-DSK_SIMT_UCONTEXT",)], ids=["own switch", "ucontext"])
def test_example(flags, order):
    x = np.random.default_rng(0).standard_normal((10, 100))
    y = np.full(10, np.nan)
    kernels = simt_library.load("simt/example.cpp", flags=flags)
    kernels.order = order
    kernels.call("row_sum_f64", x, y, 10, 100)
    np.testing.assert_allclose(y, x.sum(1), rtol=1e-14)
    assert kernels.launches() == [("row_sum", 3, 128, 32)]


@pytest.mark.parametrize("order", simt_library.ORDERS)
@pytest.mark.parametrize("name", RULES)
def test_broken_rule_is_reported_at_its_line(name, order):
    with pytest.raises(simt_library.SimtError, match=RULES[name]) as error:
        run(name, 1, order)
    assert f"seeded_bugs.cpp:{line_of(name)}:" in str(error.value)
    run(name, 0, order)  # after an error the library goes on; the twin is clean


def test_unset_shared_memory_is_nan():
    assert np.flatnonzero(np.isnan(run("unset_read", 1, "forward"))).tolist() == [9]
    assert not np.isnan(run("unset_read", 0, "forward")).any()


def test_orders_tell_a_missing_barrier():
    results = [run("order_of_lanes", 1, order)[:32] for order in simt_library.ORDERS]
    assert [r[0] for r in results[:2]] == [1, 32]
    assert not np.array_equal(results[2], run("order_of_lanes", 1, "random", seed=1)[:32])
    np.testing.assert_array_equal(results[2], run("order_of_lanes", 1, "random")[:32])  # a seed gives one order
    for order in simt_library.ORDERS:
        assert (run("order_of_lanes", 0, order)[:32] == 32).all()


def test_races_are_reported_at_their_lines():
    found = simt_library.sanitized(SCRIPT, "tsan", "1", *RACES)
    assert found.returncode == 66, found.stderr
    missed = [name for name in RACES if f"seeded_bugs.cpp:{line_of(name)}" not in found.stderr]
    assert not missed, found.stderr


def test_right_twins_have_no_race():
    clean = simt_library.sanitized(SCRIPT, "tsan", "0", *RACES, *RULES, "unset_read", "order_of_lanes")
    assert (clean.returncode, clean.stdout) == (0, "done\n"), clean.stderr


@pytest.mark.parametrize("name", OVERRUNS)
def test_overruns_are_reported_at_their_lines(name):
    found = simt_library.sanitized(SCRIPT, "asan", "1", name)
    assert found.returncode != 0
    assert OVERRUNS[name] in found.stderr
    assert f"seeded_bugs.cpp:{line_of(name)}" in found.stderr


def test_right_twins_have_no_overrun():
    clean = simt_library.sanitized(SCRIPT, "asan", "0", *OVERRUNS, *RACES, *RULES)
    assert (clean.returncode, clean.stdout) == (0, "done\n"), clean.stderr


@pytest.mark.parametrize("grid, threads, shared, opt_in, message", [
    (1, 1025, 0, 0, "a block has 1 to 1024 threads, got 1025"),
    (0, 32, 256, 0, "a grid has at least one block"),
    (1, 64, 49153, 0, "more than 48 KB of shared memory"),
    (1, 64, 60000, 50000, "more than 48 KB of shared memory"),
    (1, 64, 227 * 1024 + 1, 227 * 1024, "at most 227 KB of shared memory, got 232449 bytes"),
])
def test_impossible_launches_are_refused(grid, threads, shared, opt_in, message):
    kernels = simt_library.load("simt/seeded_bugs.cpp")
    with pytest.raises(simt_library.SimtError, match=message):
        kernels.call("launch_with", np.zeros(1100), grid, threads, shared, opt_in)
    kernels.call("launch_with", np.zeros(1024), 1, 1024, 227 * 1024, 227 * 1024)
