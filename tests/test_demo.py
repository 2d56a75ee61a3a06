"""The demo's job on a part of its input: the trained models do what they were trained for, and the spectra are theirs."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import spectral_kernels as sk

for package in ("g2p_en", "typeseg", "microformer-mgm", "transformers"):
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package}, which the demo reads, is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def demo():
    """The demo's modules by name."""
    folder = str(Path(__file__).parents[1] / "demo")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)
    for name in ("words", "source_code", "microbes"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def words(demo):
    return demo("words")


def test_pronounces_as_g2p_en_does(words):
    said, (encoder, decoder) = words.read(["eigenvalue", "queue", "strength"])  # expected: what g2p_en's own predict returns
    assert said == ["AY1 G AH0 N V OW2 L", "K Y UW1", "S T R EH1 NG K TH"]
    assert encoder.symbols == [[*word, "</s>"] for word in ("eigenvalue", "queue", "strength")]
    assert decoder.symbols == [[*word.split(), "</s>"] for word in said]
    assert encoder.transitions.shape == (3, 11, 256, 256) and encoder.transitions.valid.sum(1).tolist() == [11, 6, 9]
    assert decoder.transitions.shape == (3, 8, 256, 256) and decoder.transitions.valid.sum(1).tolist() == [8, 4, 8]


def test_jacobians_are_those_of_torchs_cell(words):
    gru, *_ = words.load()
    letters, _ = words.spell(["horizon"])
    _, (reading, _) = words.read(["horizon"])
    h = torch.zeros(256)
    for t, letter in enumerate(letters[0]):

        def step(h, x=gru.embedding[letter]):
            return torch.gru_cell(x[None], h[None], *gru[1:])[0]

        expected = torch.autograd.functional.jacobian(step, h)
        assert float((reading.transitions[0, t].dense() - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
        h = step(h)


def test_spectral_radius_of_the_trained_gru(words):
    """Measured in float64 by numpy: the encoder holds its state at rho close to 1; the decoder starts there and exceeds it."""
    _, readings = words.read(["stable"])
    for reading, low, high in zip(readings, (0.99, 0.99), (1.15, 1.6), strict=True):
        exact = np.abs(np.linalg.eigvals(reading.transitions.dense().double().numpy())).max(-1)
        rho = reading.transitions.spectral_radius().numpy()
        assert np.abs(rho - exact).max() <= 1e-3 and low <= exact.min() and exact.max() <= high
    assert torch.equal(readings[0].transitions.spectral_radius(), sk.transitions.spectral_radius(readings[0].transitions.eigvals()))


def test_refuses_what_is_no_word(words):
    with pytest.raises(ValueError, match="letters a-z, got 'Euler'"):
        words.read(["Euler"])


def test_the_mamba_tells_languages_apart(demo, capsys):
    """And its steps give the decays that its own scan computes with; 0.57 and 0.86 are the medians of its first and last block on other sources."""
    code = demo("source_code")
    weights, classes = code.load()
    run = sk.Run(buckets=code.BUCKETS)
    text = code.text("page.css")
    assert {classes[i] for i in code.read(run, weights, text)} == {"css"}
    assert list(run.spectra) == [f"block {i}" for i in range(6)]
    assert run.records["block 0"].positions == len(text) == code.LENGTH and run.spectra["block 0"].count.sum() == code.LENGTH * 256 * 16
    first, last = (float(run.spectra[f"block {i}"].pool().median()) for i in (0, 5))
    assert 0.5 < first < 0.65 and 0.8 < last < 0.95


def test_the_gpt2_knows_what_lives_together(demo):
    microbes = demo("microbes")
    trained, initial, vocabulary = microbes.load()
    tokens = microbes.sentences(vocabulary)
    assert tokens.shape == (4, microbes.LENGTH + 1) and len(vocabulary) == trained.config.vocab_size
    with sk.capture(trained) as run:
        known = microbes.surprise(trained, tokens)
    assert (known < 6).all() and (microbes.surprise(initial, tokens) > 8.5).all()
    assert len(run.spectra) == 8 and all(s.count.tolist() == [4 * microbes.LENGTH] * 8 for s in run.spectra.values())
    assert max(run.verify().values()) <= 1e-5
