"""Layers of flash-linear-attention, their Triton kernels in the interpreter: captured, replayed, outputs the same, all put back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAMILIES = {
    "GatedLinearAttention": "gla",
    "GatedDeltaNet": "gated_deltanet",
    "KimiDeltaAttention": "kda",
    "RWKV7Attention": "rwkv7",
    "DeltaNet": "deltanet",
    "HGRN2Attention": "hgrn2",
    "MultiScaleRetention": "retnet",
    "GatedDeltaProduct": "gated_deltaproduct",
    "Comba": "comba",
    "PaTHAttention": "path_attention",
}
MORE = {
    "HGRNAttention": "hgrn",
    "RWKV6Attention": "rwkv6",
    "GatedSlotAttention": "gsa",
    "GatedDeltaNet2": "gated_deltanet2",
    "PrecondGatedDeltaNet": "precond_gated_deltanet",
    "PrecondKDA": "precond_kda",
    "MomentumDeltaNet": "momentum_deltanet",
    "Raven": "raven",
    "LinearAttention": "linear_attention",
    "ForgettingAttention": "forgetting_attention",
    "ReBasedLinearAttention": "rebased",
    "ABCAttention": "abc",
    "MesaNet": "mesa_net",
}


@pytest.mark.parametrize("families", [FAMILIES, pytest.param(MORE, marks=pytest.mark.thorough)], ids=["ten", "more"])
def test_layers(families):
    pytest.importorskip("fla.layers")
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(HERE.parent)}
    ran = subprocess.run([sys.executable, str(HERE / "capture_fla.py"), *families], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    for name, family in families.items():
        layer = found[name]
        assert layer["same"] and layer["restored"] and not layer["skipped"], (name, layer)
        assert {r["family"] for r in layer["records"].values()} == {family}, (name, layer)
        assert len(layer["records"]) == (2 if name == "PaTHAttention" else 1)
        assert all(r["error"] is not None and r["error"] <= 1e-5 for r in layer["records"].values()), (name, layer)
