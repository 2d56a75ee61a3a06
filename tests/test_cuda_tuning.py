"""The table of mappings (`csrc/cuda/tuning.h`): every size has one, and what it asks for exists on the GPUs it is for."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
NONE, THREAD, TEAM, BLOCK = range(4)
SHARED, Z_GLOBAL, GLOBAL = range(3)
COLLECTIVES = 512  # bytes of a block that is a team


class Row(NamedTuple):
    shared_limit: int
    components: int
    real_bytes: int
    vectors: int
    n: int
    mapping: int
    team: int
    threads: int
    matrices: int
    slot_bytes: int
    shared_bytes: int
    placement: int
    workspace_bytes: int


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> list[Row]:
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    program = tmp_path_factory.mktemp("tuning") / "tuning"
    subprocess.run([COMPILER, "-std=c++17", "-Wall", "-Werror", f"-I{ROOT / 'csrc'}", ROOT / "tests" / "cuda" / "tuning.cpp", "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    return [Row(*map(int, line.split())) for line in lines]


def test_every_size_up_to_128_has_a_mapping(table):
    assert len(table) == 2 * 2 * 2 * 2 * 130
    assert all((row.mapping == NONE) == (row.n in (0, 129)) for row in table)


def test_mappings_grow_with_the_size(table):
    for before, row in itertools.pairwise(table):
        if 1 < row.n < 129:
            assert row.mapping >= before.mapping
            assert row.team >= before.team


def test_blocks_are_what_a_gpu_can_run(table):
    for row in table:
        if row.mapping == NONE:
            continue
        assert row.threads % 32 == 0 and 32 <= row.threads <= 1024
        assert row.shared_bytes == row.matrices * row.slot_bytes + COLLECTIVES * (row.mapping == BLOCK) <= row.shared_limit
        assert row.slot_bytes % row.real_bytes == 0
        assert row.matrices * row.team == row.threads
        if row.mapping == THREAD:
            assert row.team == 1 and row.n <= 8
            assert row.slot_bytes // row.real_bytes % 2 == 1  # free of bank conflicts
        if row.mapping == TEAM:
            assert row.team in (4, 8, 16, 32) and row.n <= 64 and row.threads == 32
            assert 2 * row.shared_bytes <= row.shared_limit  # two warps at least
            words = row.team * row.components * row.real_bytes // 4
            assert words >= 32 or row.slot_bytes // 4 % (2 * words) == words  # teams side by side use different banks
        if row.mapping == BLOCK:
            assert row.matrices == 1


def test_matrices_stand_in_shared_memory_or_in_the_workspace(table):
    for row in table:
        if row.mapping == NONE:
            continue
        matrix = row.n * (row.n | 1) * row.components * row.real_bytes
        shared = {SHARED: 1 + row.vectors, Z_GLOBAL: 1, GLOBAL: 0}[row.placement]
        if row.mapping == THREAD:
            assert row.workspace_bytes == 0
            continue
        assert row.slot_bytes >= shared * matrix
        vectors = 4 * row.n * row.team * row.real_bytes if row.vectors else 0  # in progress, in every thread
        assert row.workspace_bytes == row.matrices * (vectors + (1 + row.vectors - shared) * matrix)
        assert row.placement == SHARED or row.mapping == BLOCK
        assert row.placement != GLOBAL or row.components * row.real_bytes == 16
        if row.placement == GLOBAL:  # nothing else fits
            assert matrix + row.slot_bytes + COLLECTIVES > row.shared_limit
    assert {row.placement for row in table} == {SHARED, Z_GLOBAL, GLOBAL}
