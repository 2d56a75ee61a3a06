"""Long sequences and the price of capture: memory, and time beside the model's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import spectral_kernels as sk

HERE = Path(__file__).parent


@pytest.mark.parametrize(("length", "megabytes"), [(8192, 48), pytest.param(65536, 128, marks=pytest.mark.thorough)])
def test_a_long_sequence_through_a_hybrid_model(length, megabytes):
    """What capture adds to the peak of the process: the factors of one layer in float64 (at 64 K tokens 30 MiB), the logits to compare with, and what the allocator makes of them.

    The model itself takes 80 MiB and 680 MiB.
    """
    pytest.importorskip("transformers")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    ran = subprocess.run([sys.executable, "-W", "ignore", str(HERE / "capture_scale.py"), str(length)], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["same"] and found["growth"] <= megabytes, found
    assert [positions for positions, _ in found["records"].values()] == [length, length - 1]
    assert all(error <= 1e-5 for _, error in found["records"].values())


def test_the_state_of_a_run_does_not_grow():
    model = torch.nn.GRU(8, 4, batch_first=True)
    with torch.no_grad(), sk.capture(model) as run:
        for length in (3, 30, 300):
            model(torch.randn(2, length, 8))
    spectrum = run.spectra["GRU:l0"]
    assert spectrum.counts.untyped_storage().nbytes() + spectrum.sums.untyped_storage().nbytes() < 50_000
    assert run.batches == 3 and run.records["GRU:l0"].positions == 666


@pytest.mark.thorough
def test_capture_takes_at_most_a_quarter_of_the_forward_pass():
    """Three blocks of GPT-2 (d 768, 12 heads) at T = 1024; each costs what the others cost."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.GPT2Model(transformers.GPT2Config(n_layer=3, vocab_size=1000)).eval()
    x = torch.randint(0, 1000, (1, 1024))

    def seconds():
        began = time.process_time()
        model(x, use_cache=False)
        return time.process_time() - began

    with torch.no_grad():
        seconds()
        plain, captured = [], []
        for _ in range(4):
            plain.append(seconds())
            with sk.capture(model, verify="never"):
                captured.append(seconds())
    assert min(captured) <= 1.25 * min(plain)
