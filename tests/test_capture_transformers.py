"""Tiny random models of transformers: every recurrence captured and replayed, outputs the same bit for bit, all put back."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
import torch
from capture_models import MODELS, build, tokens

import spectral_kernels as sk

pytest.importorskip("transformers")


def forget(model):
    """RecurrentGemma keeps its state on its modules, from one call to the next."""
    for module in model.modules():
        if hasattr(module, "recurrent_states"):
            module.recurrent_states = None


def everything_patched(model):
    """All that a capture may replace."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    consumers = {sys.modules[type(m).__module__] for m in model.modules()}
    state = {id(c): {name: value for name, value in vars(c).items() if callable(value)} for c in consumers}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), sorted(vars(m))) for m in model.modules()]
    of_torch = (torch.softmax, torch.nn.functional.softmax, torch.nn.functional.scaled_dot_product_attention)
    return state, hooks, of_torch, dict(ALL_ATTENTION_FUNCTIONS._local_mapping)


@pytest.mark.parametrize("stem", MODELS)
def test_every_recurrence_of(stem):
    model, x = build(stem), tokens()
    before = everything_patched(model)
    with torch.no_grad():
        expected = model(x, use_cache=False).logits
        forget(model)
        with sk.capture(model) as run:
            logits = model(x, use_cache=False).logits
    assert torch.equal(logits, expected)
    assert everything_patched(model) == before
    assert not run.skipped
    assert dict(Counter(r.family for r in run.records.values())) == MODELS[stem][1]
    errors = run.verify()
    assert max(errors.values()) <= 1e-5
    assert {n for n, r in run.records.items() if n not in errors} == {n for n, r in run.records.items() if r.family == "short_conv"}
    for name, record in run.records.items():
        per_position = record.n * record.multiplicity
        assert record.positions in (x.numel(), x.numel() - len(x)), name
        assert run.spectra[name].count.tolist() == [record.positions * per_position] * record.heads
        assert int(run.spectra[name].nonfinite.sum()) == 0
        assert record.library == "transformers" and record.module
