"""What a trained GPT-2 keeps while it reads communities of microbes.

The model of the PyPI package microformer-mgm 0.5.8 (NingLab, MIT): eight layers of eight heads, trained on 263 302 microbial communities.  A word is a genus; a
community is written in the order of how far each genus exceeds what is usual for it.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
import transformers
from torch import Tensor

import spectral_kernels as sk

SPECIAL = ["<pad>", "<mask>", "<bos>", "<eos>"]
BUCKETS = (0, 2, 4, 8, 16, 24)
LENGTH = 32  # genera of a community

COMMUNITIES = {  # genera that are typical of a place, the most typical ones first
    "gut": "Bacteroides Faecalibacterium Alistipes Blautia Roseburia Parabacteroides Subdoligranulum Prevotella Akkermansia Agathobacter Phascolarctobacterium "
    "Bifidobacterium Ruminococcus Dialister Coprococcus Dorea Lachnospira Anaerostipes Oscillibacter Collinsella Parasutterella Bilophila Odoribacter Barnesiella "
    "Sutterella Butyricicoccus Intestinibacter Romboutsia Fusicatenibacter Christensenella Desulfovibrio Eggerthella",
    "mouth": "Streptococcus Veillonella Prevotella Neisseria Haemophilus Fusobacterium Rothia Porphyromonas Actinomyces Leptotrichia Gemella Granulicatella Capnocytophaga "
    "Alloprevotella Campylobacter Aggregatibacter Selenomonas Treponema Lautropia Kingella Atopobium Megasphaera Oribacterium Tannerella Corynebacterium Abiotrophia "
    "Cardiobacterium Stomatobaculum Bergeyella Mogibacterium Filifactor Dialister",
    "skin": "Cutibacterium Staphylococcus Corynebacterium Micrococcus Streptococcus Acinetobacter Moraxella Kocuria Lactobacillus Enhydrobacter Paracoccus Anaerococcus "
    "Finegoldia Peptoniphilus Brevibacterium Rothia Neisseria Haemophilus Veillonella Gemella Dermacoccus Brachybacterium Methylobacterium Sphingomonas Pseudomonas Bacillus "
    "Enterococcus Chryseobacterium Brevundimonas Janibacter Dietzia Rhodococcus",
    "soil": "Candidatus_Udaeobacter Bradyrhizobium Sphingomonas Candidatus_Solibacter Bryobacter Haliangium Acidothermus Mycobacterium Nocardioides Streptomyces Gemmatimonas "
    "Flavobacterium Pseudomonas Rhodanobacter Massilia Devosia Bacillus Gaiella Solirubrobacter Rhodoplanes Mesorhizobium Pseudolabrys Reyranella Microvirga Rubrobacter "
    "Pedobacter Mucilaginibacter Burkholderia Variovorax Lysobacter Arthrobacter Paenibacillus",
}


def folder() -> Path:
    """Of the package's files.  It is located, not imported: it asks for versions of its dependencies that are years old."""
    return Path(str(importlib.metadata.distribution("microformer-mgm").locate_file("mgm/resources")))


def load() -> tuple[transformers.GPT2LMHeadModel, transformers.GPT2LMHeadModel, dict[str, int]]:
    """The trained model, the same one with new weights, and the number of every word."""
    transformers.logging.set_verbosity_error()
    config = transformers.GPT2Config.from_pretrained(folder() / "general_model")
    config.use_cache = False
    torch.manual_seed(0)
    trained, initial = (transformers.GPT2LMHeadModel(config).eval() for _ in range(2))
    trained.load_state_dict(torch.load(folder() / "general_model" / "pytorch_model.bin", map_location="cpu", weights_only=True))
    genera = [line.partition(",")[0] for line in (folder() / "phylogeny.csv").read_text().splitlines()[1:]]
    return trained, initial, {word: i for i, word in enumerate([*SPECIAL, *genera])}


def sentences(words: dict[str, int]) -> Tensor:
    """``(communities, LENGTH + 1)``: their genera behind ``<bos>``."""
    return torch.tensor([[words["<bos>"], *(words[f"g__{genus}"] for genus in genera.split())] for genera in COMMUNITIES.values()])


def surprise(model: transformers.GPT2LMHeadModel, tokens: Tensor) -> Tensor:
    """Mean negative log likelihood of every sentence in nats per word."""
    with torch.inference_mode():
        log = model(tokens).logits[:, :-1].log_softmax(-1)
    return -log.gather(-1, tokens[:, 1:, None]).mean((1, 2))


def study() -> sk.report.Study:
    trained, initial, words = load()
    tokens = sentences(words)
    with sk.capture(trained, buckets=BUCKETS, title="GPT-2 on microbes") as run:
        found = surprise(trained, tokens)
    others = torch.randint(len(SPECIAL), len(words), tokens.shape, generator=torch.Generator().manual_seed(0))
    for name, nats in zip(COMMUNITIES, found.tolist(), strict=True):
        print(f"  {name:<16} {nats:.1f} nats per genus")
    print(f"  {'any genera':<16} {float(surprise(trained, others).mean()):.1f} nats per genus")
    with sk.capture(initial, buckets=BUCKETS) as before:
        surprise(initial, tokens)
    subtitle = f"microformer-mgm, {len(COMMUNITIES)} communities of {LENGTH} genera: {', '.join(COMMUNITIES)}"
    return sk.report.Study.of(run, initial=before, length=LENGTH + 1, subtitle=subtitle)
