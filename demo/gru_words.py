"""What a trained GRU keeps while it reads English words: the eigenvalues of its Jacobian at every letter.

The model is the grapheme-to-phoneme network of the PyPI package g2p_en 2.1.0 (Park & Kim, Apache-2.0), whose trained weights ship in the
package: a GRU of 256 units reads the letters, a second one writes the phonemes.  Run it by `make demo`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from torch import Tensor

import spectral_kernels as sk

WORDS = [
    "eigenvalue", "spectrum", "memory", "forget", "remember", "language", "machine", "learning", "matrix", "stable", "unstable", "horizon", "kernel",
    "recurrent", "network", "letter", "orthogonal", "complex", "circle", "mathematics", "physics", "chemistry", "knowledge", "through", "thought",
    "queue", "rhythm", "strength", "psychology", "beautiful", "extraordinary", "international",
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

EDGES = (0.0, 0.1, 0.5, 0.9, 1.0, 10.0)  # bins of |lambda|, half-open


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
    """One network on all words: its transitions at the steps that took place."""

    name: str
    transitions: sk.transitions.Jacobian  # (steps of all words, 256, 256)
    word: Tensor  # (steps of all words,), index into the words
    step: Tensor  # (steps of all words,), from 1
    symbols: list[str]  # read by the encoder, written by the decoder


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
        transitions = sk.families.gru(gru.embedding[inputs], *gru[1:], h0=h0)  # (words, steps, 256, 256), held as factors
        took_place = torch.arange(inputs.shape[1]) < steps[:, None]
        word, step = took_place.nonzero(as_tuple=True)
        readings.append(Reading(name, transitions[took_place], word, step + 1, [alphabet[int(i)] for i in symbols[took_place]]))
    said = [" ".join(PHONEMES[i] for i in row[:count] if i != END) for row, count in zip(written.tolist(), phoneme_steps.tolist(), strict=True)]
    return said, readings


def shares(eigenvalues: Tensor) -> Tensor:
    """Share of ``|lambda|`` in each bin of EDGES."""
    counts, _ = torch.histogram(eigenvalues.abs().flatten().double(), torch.tensor(EDGES, dtype=torch.float64))
    return counts / eigenvalues.numel()


def row(label: str, eigenvalues: Tensor) -> str:
    """One line of a table, of the eigenvalues ``(steps, n)`` at some steps: see `HEADER`."""
    radius, tokens = sk.transitions.spectral_radius(eigenvalues), sk.transitions.horizon(eigenvalues)
    low, high = (f"{radius.min():8.3f}", f"{radius.max():7.3f}") if len(radius) > 1 else ("", "")
    percent = "".join(f"{100 * share:8.1f}" for share in shares(eigenvalues).tolist())
    complex_count = (eigenvalues.imag != 0).sum(-1).float().mean()
    return f"{label:>10} {len(eigenvalues):6} {low:8} {radius.median():7.3f} {high:7} {percent} {tokens.median():9.1f} {complex_count:9.0f}"


HEADER = (
    f"{'':>10} {'':>6} {'spectral radius':^24} {'% of |lambda| in [low, high)':>40}  {'median':>8} {'complex':>9}\n"
    f"{'step':>10} {'count':>6} {'min':>8} {'median':>7} {'max':>7} "
    + "".join(f"{f'{low:g}-{high:g}':>8}" for low, high in itertools.pairwise(EDGES))
    + f" {'horizon':>9} {'of 256':>9}"
)


def report(words: list[str], reading: Reading, eigenvalues: Tensor) -> None:
    """Tables of one network: by step over all words, and letter by letter for the first word."""
    print(f"\n{reading.name}, dh_t/dh_(t-1) by step t, over {len(words)} words\n{HEADER}")
    for step in range(1, int(reading.step.max()) + 1):
        print(row(str(step), eigenvalues[reading.step == step]))
    print(row("all", eigenvalues))
    print(f"\n{reading.name}, '{words[0]}' symbol by symbol\n{HEADER}")
    for position in (reading.word == 0).nonzero()[:, 0].tolist():
        print(row(reading.symbols[position], eigenvalues[position, None]))


def draw(readings: list[Reading], eigenvalues: list[Tensor], words: int, path: Path) -> None:
    """Above, the complex plane with the unit circle, coloured by step; below, the shares of ``|lambda|`` by step."""
    figure = Figure(figsize=(13, 8.2), dpi=150, layout="constrained")
    planes, bars = figure.subplots(2, 2, sharex="row", sharey="row", height_ratios=(5, 2.6))
    steps = max(int(r.step.max()) for r in readings)
    norm, bin_colours = BoundaryNorm(np.arange(0.5, steps + 1), 256), colormaps["RdYlBu_r"](np.linspace(0.05, 0.95, len(EDGES) - 1))
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 721))
    for plane, bar, reading, w, verb in zip(planes, bars, readings, eigenvalues, ("reads letters", "writes phonemes"), strict=True):
        order = torch.randperm(w.numel(), generator=torch.Generator().manual_seed(0))  # no step lies on top of all others
        z, step = w.flatten()[order], reading.step[:, None].expand(w.shape).flatten()[order]
        plane.plot(circle.real, circle.imag, color="black", linewidth=1, zorder=3)
        plane.axhline(0, color="0.85", linewidth=0.6, zorder=0)
        plane.axvline(0, color="0.85", linewidth=0.6, zorder=0)
        dots = plane.scatter(z.real, z.imag, c=step, s=4, cmap="viridis_r", norm=norm, alpha=0.6, linewidths=0)
        radius = sk.transitions.spectral_radius(w)
        plane.set_title(f"{reading.name.capitalize()} {verb}: {len(w)} steps, $\\rho$ from {radius.min():.2f} to {radius.max():.2f}", fontsize=11)
        plane.set(aspect="equal", xlabel=r"Re $\lambda$", ylim=(-1.12, 1.12))
        x = np.arange(1, int(reading.step.max()) + 1)
        heights = torch.stack([shares(w[reading.step == t]) for t in x]).T.numpy() * 100
        for k, (low, high) in enumerate(itertools.pairwise(EDGES)):
            bar.bar(x, heights[k], bottom=heights[:k].sum(0), width=0.86, color=bin_colours[k], label=rf"${low:g} \leq |\lambda| < {high:g}$")
        bar.set(xlabel="step t", xticks=range(1, steps + 1), ylim=(0, 100))
        for axes in (plane, bar):
            axes.spines[["top", "right"]].set_visible(False)
    planes[0].set_ylabel(r"Im $\lambda$")
    bars[0].set_ylabel("% of eigenvalues")
    colour_bar = figure.colorbar(dots, cax=planes[1].inset_axes((1.03, 0, 0.03, 1)), ticks=range(1, steps + 1), label="step t")
    colour_bar.solids.set_alpha(1)
    handles, labels = bars[1].get_legend_handles_labels()
    bars[1].legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)  # in the order of the stack
    figure.suptitle(rf"Eigenvalues of $\partial h_t / \partial h_{{t-1}}$ in the trained GRU of g2p_en, on {words} English words", fontsize=13)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--words", nargs="+", default=WORDS, help="lower-case English words")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of the figure")
    args = parser.parse_args()
    said, readings = read(args.words)
    print(f"The trained GRU of g2p_en 2.1.0 pronounces {len(args.words)} words:\n")
    for word, phonemes in zip(args.words, said, strict=True):
        print(f"{word:>16}  {phonemes}")
    eigenvalues = []
    for reading in readings:
        start = time.perf_counter()
        eigenvalues.append(reading.transitions.eigvals())
        seconds = time.perf_counter() - start
        report(args.words, reading, eigenvalues[-1])
        print(f"\n{len(reading.step)} Jacobians of 256 x 256, formed and solved in {seconds:.1f} s")
    path = args.out / "gru_words.png"
    draw(readings, eigenvalues, len(args.words), path)
    print(f"\nfigure: {path}")


if __name__ == "__main__":
    main()
