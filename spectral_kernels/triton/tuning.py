"""How the kernels divide their work: data, chosen by registers and by the bytes that a program has in flight, never measured on a GPU."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Tile(NamedTuple):
    """What one program works on at a time, and by how many warps."""

    elements: int
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
ZERO_ORDER_HOLD = {torch.float32: Tile(1024, 8), torch.float64: Tile(1024, 8)}
SKETCH_TILES = 8  # that a program of the sketch takes one after the other
