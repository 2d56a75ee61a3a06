"""What a trained GRU keeps while it reads English words: the eigenvalues of its Jacobian at every letter.

The model is the grapheme-to-phoneme network of the PyPI package g2p_en 2.1.0 (Park & Kim, Apache-2.0), whose trained weights ship in the
package: a GRU of 256 units reads the letters, a second one writes the phonemes.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import spectral_kernels as sk

WORDS = [
    "eigenvalue", "spectrum", "remember", "language", "learning", "unstable", "horizon", "recurrent", "orthogonal", "complex", "mathematics", "knowledge",
    "through", "strength", "psychology", "beautiful",
]

GRAPHEMES = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = [
    "<pad>", "<unk>", "<s>", "</s>", "AA0", "AA1", "AA2", "AE0", "AE1", "AE2", "AH0", "AH1", "AH2", "AO0", "AO1", "AO2", "AW0", "AW1", "AW2", "AY0",
    "AY1", "AY2", "B", "CH", "D", "DH", "EH0", "EH1", "EH2", "ER0", "ER1", "ER2", "EY0", "EY1", "EY2", "F", "G", "HH", "IH0", "IH1", "IH2", "IY0",
    "IY1", "IY2", "JH", "K", "L", "M", "N", "NG", "OW0", "OW1", "OW2", "OY0", "OY1", "OY2", "P", "R", "S", "SH", "T", "TH", "UH0", "UH1", "UH2", "UW",
    "UW0", "UW1", "UW2", "V", "W", "Y", "Z", "ZH",
]
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")
LONGEST = 20  # phonemes, g2p_en's own limit
BUCKETS = (0, 1, 2, 4, 8, 12)  # steps


class Gru(NamedTuple):
    """One GRU layer with the embedding of its input symbols.

    The order of the gates is torch's: g2p_en's `grucell` splits the rows of its weights into r, z, n and computes
    ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``, ``h' = (1 - z) * n + z * h``, which is `torch.nn.GRUCell`.
    """

    embedding: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


class Reading(NamedTuple):
    """One network on all words: its transitions, valid at the steps that took place."""

    name: str
    transitions: sk.transitions.Jacobian  # (words, steps, 256, 256)
    symbols: list[list[str]]  # of every word, read by the encoder, written by the decoder


def load() -> tuple[Gru, Gru, Tensor, Tensor]:
    """Encoder, decoder, and the output layer's weight and bias.  The package is located, not imported: importing it downloads nltk data."""
    path = importlib.metadata.distribution("g2p_en").locate_file("g2p_en/checkpoint20.npz")
    with np.load(str(path)) as file:
        w = {name: torch.from_numpy(file[name]) for name in file.files}
    encoder, decoder = (Gru(*(w[f"{part}_{name}"] for name in ("emb", "w_ih", "w_hh", "b_ih", "b_hh"))) for part in ("enc", "dec"))
    return encoder, decoder, w["fc_w"], w["fc_b"]


def spell(words: list[str]) -> tuple[Tensor, Tensor]:
    """Letters with ``</s>`` behind each word, ``(words, longest + 1)`` padded, and the number of steps of each word."""
    for word in words:
        if not word or not set(word) <= set(GRAPHEMES[3:]):
            raise ValueError(f"expected words of the letters a-z, got {word!r}")
    rows = [torch.tensor([GRAPHEMES.index(c) for c in word] + [GRAPHEMES.index("</s>")]) for word in words]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def pronounce(letters: Tensor, lengths: Tensor, encoder: Gru, decoder: Gru, fc_w: Tensor, fc_b: Tensor) -> tuple[Tensor, Tensor]:
    """g2p_en's `predict` on a batch: greedy phonemes ``(words, LONGEST)`` and the encoder's last state ``(words, 256)``."""
    h, last = torch.zeros(2, len(letters), encoder.weight_hh.shape[1])
    for t in range(letters.shape[1]):
        h = torch.gru_cell(encoder.embedding[letters[:, t]], h, *encoder[1:])
        last = torch.where((lengths == t + 1)[:, None], h, last)
    h, symbol, written = last, torch.full((len(letters),), START), []
    for _ in range(LONGEST):
        h = torch.gru_cell(decoder.embedding[symbol], h, *decoder[1:])
        symbol = (h @ fc_w.T + fc_b).argmax(-1)
        written.append(symbol)
    return torch.stack(written, 1), last


def read(words: list[str]) -> tuple[list[str], list[Reading]]:
    """Pronunciations, and for encoder and decoder the Jacobians dh_t/dh_{t-1} at every step of every word."""
    encoder, decoder, fc_w, fc_b = load()
    letters, letter_steps = spell(words)
    written, state = pronounce(letters, letter_steps, encoder, decoder, fc_w, fc_b)
    ended = (written == END).int().cumsum(1) > 0
    phoneme_steps = (~ended).sum(1).add(1).clamp(max=LONGEST)  # </s> is a step too
    fed = torch.cat([torch.full((len(words), 1), START), written[:, :-1]], 1)  # the decoder reads what it wrote
    readings = []
    for name, gru, inputs, h0, steps, symbols, alphabet in (
        ("encoder", encoder, letters, None, letter_steps, letters, GRAPHEMES),
        ("decoder", decoder, fed, state, phoneme_steps, written, PHONEMES),
    ):
        inputs = inputs[:, : int(steps.max())]
        transitions = sk.families.gru(gru.embedding[inputs], *gru[1:], h0=h0)  # (words, steps, 256, 256), held as factors
        took_place = torch.arange(inputs.shape[1]) < steps[:, None]
        spelt = [[alphabet[i] for i in row[:count]] for row, count in zip(symbols.tolist(), steps.tolist(), strict=True)]
        readings.append(Reading(name, replace(transitions, valid=took_place), spelt))
    said = [" ".join(PHONEMES[i] for i in row[:count] if i != END) for row, count in zip(written.tolist(), phoneme_steps.tolist(), strict=True)]
    return said, readings


def study() -> sk.report.Study:
    """What encoder and decoder keep at every step of every word."""
    said, readings = read(WORDS)
    print("\n".join(f"  {word:<16} {pronounced}" for word, pronounced in list(zip(WORDS, said, strict=True))[:4]))
    run = sk.Run("GRU that spells", buckets=BUCKETS)
    for reading in readings:
        run.add(reading.name, reading.transitions, family="gru", library="numpy", kernel="grucell", module="G2p")
    return sk.report.Study.of(run, subtitle=f"g2p_en, {len(WORDS)} English words: the encoder reads letters, the decoder writes phonemes")
