"""How the kernels divide their work: data, chosen by registers and by the bytes that a program has in flight, never measured on a GPU."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Tile(NamedTuple):
    """What one program works on at a time, and by how many warps."""

    elements: int
    num_warps: int


DIAGONAL = {torch.float32: Tile(2048, 4), torch.float64: Tile(1024, 4)}
SKETCH = {torch.float32: Tile(2048, 8), torch.float64: Tile(2048, 8), torch.complex64: Tile(1024, 8), torch.complex128: Tile(1024, 8)}
SKETCH_TILES = 8  # that a program of the sketch takes one after the other
