"""The demo's job on a few words: the trained model pronounces them, and its Jacobians are those of torch's own cell."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import spectral_kernels as sk

try:
    importlib.metadata.distribution("g2p_en")
except importlib.metadata.PackageNotFoundError:
    pytest.skip("g2p_en, whose checkpoint the demo reads, is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("gru_words", Path(__file__).parents[1] / "demo" / "gru_words.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_pronounces_as_g2p_en_does(demo):
    said, (encoder, decoder) = demo.read(["eigenvalue", "queue", "strength"])  # expected: what g2p_en's own predict returns
    assert said == ["AY1 G AH0 N V OW2 L", "K Y UW1", "S T R EH1 NG K TH"]
    assert encoder.symbols == [*"eigenvalue", "</s>", *"queue", "</s>", *"strength", "</s>"]
    assert decoder.symbols == [s for word in said for s in (*word.split(), "</s>")]
    assert encoder.transitions.shape == (26, 256, 256) and decoder.transitions.shape == (20, 256, 256)


def test_jacobians_are_those_of_torchs_cell(demo):
    gru, *_ = demo.load()
    letters, _ = demo.spell(["horizon"])
    _, (reading, _) = demo.read(["horizon"])
    h = torch.zeros(256)
    for t, letter in enumerate(letters[0]):

        def step(h, x=gru.embedding[letter]):
            return torch.gru_cell(x[None], h[None], *gru[1:])[0]

        expected = torch.autograd.functional.jacobian(step, h)
        assert float((reading.transitions[t].dense() - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
        h = step(h)


def test_spectral_radius_of_the_trained_gru(demo):
    """Measured in float64 by numpy: the encoder holds its state at rho close to 1; the decoder starts there and exceeds it."""
    _, readings = demo.read(["stable"])
    for reading, low, high in zip(readings, (0.99, 0.99), (1.15, 1.6), strict=True):
        exact = np.abs(np.linalg.eigvals(reading.transitions.dense().double().numpy())).max(-1)
        rho = reading.transitions.spectral_radius().numpy()
        assert np.abs(rho - exact).max() <= 1e-3 and low <= exact.min() and exact.max() <= high
    assert torch.equal(readings[0].transitions.spectral_radius(), sk.transitions.spectral_radius(readings[0].transitions.eigvals()))


def test_prints_the_tables_and_writes_the_figure(demo, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gru_words.py", "--words", "queue", "letter", "--out", str(tmp_path)])
    demo.main()
    printed = capsys.readouterr().out
    assert "K Y UW1" in printed and "encoder, 'queue' symbol by symbol" in printed and "decoder, dh_t/dh_(t-1) by step t, over 2 words" in printed
    assert "nan" not in printed.split()
    assert (tmp_path / "gru_words.png").read_bytes().startswith(b"\x89PNG")


def test_shares_are_those_of_half_open_bins(demo):
    w = torch.tensor([0.0, 0.05, -0.5, 0.9, 0.95j, 1.0, 2.0, 9.0], dtype=torch.complex128)
    assert demo.shares(w).tolist() == [2 / 8, 0, 1 / 8, 2 / 8, 3 / 8]


def test_refuses_what_is_no_word(demo):
    with pytest.raises(ValueError, match="letters a-z, got 'Euler'"):
        demo.read(["Euler"])
