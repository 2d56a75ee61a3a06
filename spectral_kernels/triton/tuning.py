"""How the kernels divide their work: data, chosen by registers and by the bytes that a program has in flight, never measured on a GPU."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Tile(NamedTuple):
    """What one program works on at a time, and by how many warps."""

    elements: int
    num_warps: int


class RowTile(NamedTuple):
    """Vectors, and entries of each, that a program takes at a time."""

    rows: int
    columns: int
    num_warps: int


class AttentionTile(NamedTuple):
    """Queries of a program, keys and depth of a matrix product in it."""

    queries: int
    keys: int
    depth: int
    num_warps: int
    num_stages: int


ATTENTION_LSE = {  # by dtype, and whether there are biases, which take registers
    (torch.float32, False): AttentionTile(64, 64, 16, 8, 2),
    (torch.float32, True): AttentionTile(32, 64, 16, 8, 2),
    (torch.float64, False): AttentionTile(32, 32, 32, 8, 2),
    (torch.float64, True): AttentionTile(32, 32, 32, 8, 2),
}
DIAGONAL = {torch.float32: Tile(2048, 4), torch.float64: Tile(1024, 4)}
EXPAND_EXP = {torch.float32: Tile(2048, 4), torch.float64: Tile(1024, 4)}
RANK_ONE = {torch.float32: Tile(2048, 4), torch.float64: Tile(1024, 4)}
SKETCH = {dtype: Tile(1024, 16) for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128)}
RANK_ONE_SKETCH = {torch.float32: RowTile(256, 8, 8), torch.float64: RowTile(256, 4, 8)}
ZERO_ORDER_HOLD = {torch.float32: Tile(1024, 8), torch.float64: Tile(1024, 8)}
SKETCH_TILES = 8  # that a program of the sketch takes one after the other


class Rows(NamedTuple):
    """Up to ``n`` entries: rows of as many lanes that one program works on at a time, and by how many warps."""

    n: int
    rows: int
    num_warps: int


SECULAR = (Rows(8, 32, 4), Rows(16, 16, 4), Rows(32, 8, 4), Rows(64, 2, 4), Rows(128, 1, 4), Rows(256, 1, 8), Rows(512, 1, 8), Rows(1024, 1, 8))
SECULAR_VECTORS = (Rows(8, 64, 4), Rows(16, 64, 4), Rows(32, 32, 4), Rows(64, 16, 4), Rows(128, 8, 4), Rows(256, 4, 4), Rows(512, 2, 4), Rows(1024, 1, 4))
SECULAR_LIMIT = SECULAR[-1].n


def rows_for(table: tuple[Rows, ...], n: int) -> Rows:
    """The first entry of a table that serves n."""
    return next(entry for entry in table if n <= entry.n)


class Core(NamedTuple):
    """Matrices of a program, how many entries of each of their vectors it reads at a time, and its warps."""

    rows: int
    columns: int
    num_warps: int


HOUSEHOLDER = {torch.float32: Core(128, 4, 4), torch.float64: Core(128, 4, 4)}
HOUSEHOLDER_LIMIT = 4  # vectors
SKETCH_PROGRAMS = 4096  # at most, where each has memory to work in
