"""What a trained Mamba keeps while it reads source code: typeseg's Mamba, which tells for every character what language it is part of.

The model of the PyPI package typeseg 0.2.7 (Dallinger, Apache-2.0): six blocks, each of which scans the text forwards and backwards.  Its forward pass is numpy and lets
the caller bring the selective scan, which is where its steps are listened to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typeseg import _mamba_kernel as kernel

import spectral_kernels as sk

PAGE = Path(sk.report.__file__).parent  # this package's own sources: HTML, CSS, JavaScript and Python
FILES = ("page.html", "page.css", "page.js", "page.py")
LENGTH = 700  # characters of each
BUCKETS = (0, 32, 64, 128, 256, 512)
BLOCKS = 6


def load() -> tuple[dict[str, np.ndarray], list[str]]:
    """Weights, and the names of the classes."""
    data = resources.files("typeseg") / "data"
    with (data / "mamba_al.npz").open("rb") as file, np.load(file) as found:
        weights = {name.replace("__", "/"): found[name].astype(np.float32) for name in found.files}
    return weights, json.loads((data / "manifest.json").read_text())["labels"]


def text(name: str) -> str:
    """The middle of a file, which is more telling than its head."""
    whole = (PAGE / name).read_text()
    begin = max(0, len(whole) // 2 - LENGTH // 2)
    return whole[begin : begin + LENGTH].encode("ascii", "replace").decode()


def read(run: sk.Run, weights: dict[str, np.ndarray], read_text: str) -> np.ndarray:
    """The class of every character; the steps of the forward scans go into the run, block by block: those of the backward ones are the same."""
    blocks = iter([block for block in range(BLOCKS) for _ in ("forwards", "backwards")])
    seen: set[int] = set()

    def scan(xp: Any, u: np.ndarray, dt: np.ndarray, B: np.ndarray, C: np.ndarray, A: np.ndarray, D: np.ndarray) -> np.ndarray:
        if (block := next(blocks)) not in seen:
            seen.add(block)
            t = sk.families.mamba(torch.from_numpy(np.ascontiguousarray(dt))[None], A=torch.from_numpy(A))
            run.add(f"block {block}", t, family="mamba", library="numpy", kernel="scan", module="CheckpointMambaBlock1D")
        return kernel._selective_scan_seq(xp, u, dt, B, C, A, D)

    tokens = np.frombuffer(read_text.encode(), dtype=np.uint8)
    return kernel.mamba_forward(np, weights, tokens, n_layers=BLOCKS, scan=scan).argmax(-1)


def study(files: Iterable[str] = FILES) -> sk.report.Study:
    """What each block keeps."""
    weights, classes = load()
    run = sk.Run("Mamba on source code", buckets=BUCKETS)
    for name in files:
        found = np.bincount(read(run, weights, text(name)), minlength=len(classes))
        print(f"  {name:<16} {classes[found.argmax()]}, {100 * found.max() / found.sum():.0f} % of its characters")
    return sk.report.Study.of(run, subtitle=f"typeseg, {LENGTH} characters each of HTML, CSS, JavaScript and Python")
