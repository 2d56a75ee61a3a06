"""The shared check of the families' tensors."""

from __future__ import annotations

import re

import pytest
import torch

from spectral_kernels.api.families import _arguments

SHAPES = {"g": "... T H", "A": "H 2", "L": "complex H ?", "bias": "H ?"}
GOOD = {"g": torch.zeros(2, 4, 5, 3), "A": torch.zeros(3, 2), "L": torch.zeros(3, dtype=torch.complex64), "bias": torch.zeros(3)}


def test_widest_precision_and_optional():
    g, A, L, bias = _arguments.tensors("x", SHAPES, **GOOD | {"g": GOOD["g"].half(), "A": GOOD["A"].double(), "bias": None})
    assert g.dtype == A.dtype == bias.dtype == torch.float64 and L.dtype == torch.complex128
    assert bias.shape == () and float(bias) == 0 and g.shape == (2, 4, 5, 3)
    assert all(t.dtype.to_real() == torch.float32 for t in _arguments.tensors("x", SHAPES, **{k: v if k == "L" else v.bfloat16() for k, v in GOOD.items()}))
    assert _arguments.tensors("x", {"g": "... T"}, g=torch.zeros(0, 5))[0].shape == (0, 5)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"g": None}, TypeError, "families.x: g must be Tensor, not NoneType"),
        ({"A": 1.0}, TypeError, "A must be Tensor, not float"),
        ({"g": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "expected g of a real floating dtype, got torch.int64"),
        ({"A": torch.zeros(3, 2, dtype=torch.complex64)}, TypeError, "expected A of a real floating dtype, got torch.complex64"),
        ({"A": torch.zeros(3, 2, device="meta")}, TypeError, "expected all tensors on one device, got A on meta beside cpu"),
        ({"g": torch.zeros(3)}, ValueError, "expected g (..., T, H), got g of shape (3,)"),
        ({"A": torch.zeros(1, 3, 2)}, ValueError, "expected A (H, 2), got A of shape (1, 3, 2)"),
        ({"A": torch.zeros(3, 4)}, ValueError, "expected A (H, 2), got A of shape (3, 4)"),
        ({"bias": torch.zeros(4)}, ValueError, "expected bias (H) with H = 3, as in g (..., T, H) of shape (2, 4, 5, 3); got bias of shape (4,)"),
    ],
)
def test_errors(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        _arguments.tensors("x", SHAPES, **GOOD | change)


def test_alternatives_choices_sizes():
    assert _arguments.one_of("x", a=None, b=3) == ("b", 3)
    for given, got in (({"a": None, "b": None}, "none"), ({"a": 1, "b": 2}, "a and b")):
        with pytest.raises(TypeError, match=f"exactly one of a, b; got {got}"):
            _arguments.one_of("x", **given)
    assert _arguments.choice("x", "disc", "zoh", ("zoh", "bilinear")) == "zoh"
    with pytest.raises(ValueError, match="expected disc 'zoh' or 'bilinear', got 'euler'"):
        _arguments.choice("x", "disc", "euler", ("zoh", "bilinear"))
    with pytest.raises(ValueError, match="expected n >= 1, got 0"):
        _arguments.size("x", "n", 0, 1)
    with pytest.raises(TypeError, match="n must be int, not bool"):
        _arguments.size("x", "n", True)
