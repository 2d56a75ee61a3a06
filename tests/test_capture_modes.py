"""Sequences in pieces and with padding, packed documents, half precision, compilation, checkpointing: the spectrum is that of the whole sequence."""

from __future__ import annotations

import warnings

import pytest
import torch
from capture_models import build, tokens

import spectral_kernels as sk

pytest.importorskip("transformers")

KINDS = ["Llama", "GPT2", "Gemma2", "Mamba", "Mamba2", "Qwen3Next", "KimiLinear", "Rwkv", "Bloom", "MiniMax"]
PIECES = {"chunks": [16, 9, 15], "token by token": [20] + [1] * 4}


def cached(model, pieces, x, **options):
    """The logits of a sequence in pieces, with the model's own cache."""
    cache, out, end = None, [], 0
    for length in pieces:
        given = {"use_cache": True, **options}
        name = {"Mamba": "cache_params", "Mamba2": "cache_params", "Rwkv": "state"}.get(type(model).__name__.removesuffix("ForCausalLM"), "past_key_values")
        result = model(x[:, end : end + length], **{name: cache}, **given)
        cache = getattr(result, name)
        out.append(result.logits)
        end += length
    return torch.cat(out, 1), end


@pytest.mark.parametrize("pieces", PIECES, ids=PIECES)
@pytest.mark.parametrize("stem", KINDS)
def test_pieces_give_the_spectrum_of_the_whole(stem, pieces):
    if pieces == "chunks" and stem in ("Mamba", "Mamba2", "Rwkv", "MiniMax"):
        pytest.skip("the model itself takes a whole prompt and then single tokens")
    model, x = build(stem), tokens(1 if stem == "Rwkv" else 2)  # RWKV-4 of transformers 5.23 mixes up the sequences of a batch token by token
    with torch.no_grad():
        expected, end = cached(model, PIECES[pieces], x)
        with sk.capture(model, "eigenvalues", buckets=(0, 20)) as run:
            logits, _ = cached(model, PIECES[pieces], x)
        with sk.capture(model, "eigenvalues", buckets=(0, 20)) as whole:
            model(x[:, :end], use_cache=False)
    assert torch.equal(logits, expected) and not run.skipped
    assert list(run.records) == list(whole.records)
    assert max(run.verify().values()) <= 1e-5
    for name, record in run.records.items():
        assert record.positions == whole.records[name].positions, name
        assert run.spectra[name].count.tolist() == whole.spectra[name].count.tolist(), name
        if not record.lti and stem != "MiniMax":  # whose cache, in transformers 5.23, counts tokens in its first layer, which keeps none: positions begin anew
            ours, theirs = torch.cat(run.eigenvalues[name], 1), torch.cat(whole.eigenvalues[name], 1)
            assert (ours - theirs).abs().max() <= 2e-4 * theirs.abs().max(), name


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("stem", ["Llama", "Mistral", "GptOss"])
def test_padding_of_attention_changes_nothing(stem, implementation, side):
    """The masks that the model makes are the ones that are used: with padding and with a window."""
    model, x = build(stem), tokens()
    if stem == "GptOss" and implementation == "sdpa":
        pytest.skip("attention with a sink is eager")
    model.set_attn_implementation(implementation)
    mask = torch.ones_like(x)
    mask[1, slice(0, 7) if side == "left" else slice(33, 40)] = 0
    with torch.no_grad():
        expected = model(x, attention_mask=mask, use_cache=False).logits
        with sk.capture(model, "factors") as run:
            logits = model(x, attention_mask=mask, use_cache=False).logits
        alone = x[1:, 7:] if side == "left" else x[1:, :33]
        ids = torch.arange(7, 40)[None] if side == "left" else None
        with sk.capture(model, "factors") as single:
            model(alone, use_cache=False, position_ids=ids)
    assert torch.equal(logits[mask == 1], expected[mask == 1]) and not run.skipped
    assert max(run.verify().values()) <= 1e-5
    for name, record in run.records.items():
        assert record.positions == 39 + 32, name
        t, u = run.transitions[name][0], single.transitions[name][0]
        padded = t[1:, 7:] if side == "left" else t[1:, :33]
        assert torch.equal(padded.valid, u.valid)
        assert (padded.alpha - u.alpha)[u.valid].abs().max() <= 1e-4 * u.alpha.max(), name


@pytest.mark.parametrize("stem", ["Mamba", "Qwen3Next", "Rwkv"])
def test_padding_does_not_count(stem):
    model, x = build(stem), tokens()
    mask = torch.ones_like(x)
    mask[1, :7] = 0
    with torch.no_grad(), sk.capture(model) as run:
        model(x, attention_mask=mask, use_cache=False)
    for name, record in run.records.items():
        assert record.positions == (73 if record.family != "softmax_attention" else 71), name


@pytest.mark.parametrize("stem", ["Llama", "Mistral"])
def test_packed_documents_are_those_documents(stem):
    model, x = build(stem), tokens(1)
    ids = torch.cat([torch.arange(15), torch.arange(25)])[None]
    with torch.no_grad():
        with sk.capture(model, "factors") as run:
            model(x, position_ids=ids, use_cache=False)
        with sk.capture(model, "factors") as apart:
            model(x[:, :15], use_cache=False)
            model(x[:, 15:], use_cache=False)
    for name, record in run.records.items():
        assert record.positions == 38 and apart.records[name].positions == 38
        t, parts = run.transitions[name][0], apart.transitions[name]
        assert t.valid[0, :, 0].nonzero()[:, 0].tolist() == [*range(1, 15), *range(16, 40)]
        apart_alpha = torch.cat([part.alpha[part.valid] for part in parts])
        together = torch.cat([t[:, :15].alpha[t[:, :15].valid], t[:, 15:].alpha[t[:, 15:].valid]])
        assert (together - apart_alpha).abs().max() <= 1e-4 * apart_alpha.max()


@pytest.mark.parametrize("stem", ["Llama", "Mamba2", "Qwen3Next", "KimiLinear", "Zamba"])
def test_half_precision(stem):
    model, x = build(stem).bfloat16(), tokens()
    with torch.no_grad():
        expected = model(x, use_cache=False).logits
        with sk.capture(model, "factors") as run:
            logits = model(x, use_cache=False).logits
    assert torch.equal(logits, expected) and not run.skipped
    assert max(run.verify().values()) <= 2e-2
    assert all(r.tolerance == 2e-2 for r in run.records.values())
    assert all(t.dtype == torch.float32 for calls in run.transitions.values() for t in calls)


@pytest.mark.parametrize("order", ["compiled first", "captured first"])
def test_a_compiled_model_runs_as_it_is(order):
    model, x = build("Qwen3Next"), tokens(1, 20)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        if order == "compiled first":
            compiled(x, use_cache=False)
        expected = model(x, use_cache=False).logits
        for captured in (compiled, model):
            with sk.capture(captured) as run:
                logits = compiled(x, use_cache=False).logits
            assert torch.equal(logits, expected) and len(run.records) == 2 and not run.skipped
            assert run.batches == 1 and "model.layers.0.linear_attn" in run.records
        assert torch.equal(compiled(x, use_cache=False).logits, expected)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_counts_once_and_gradients_are_the_same(reentrant):
    model, x = build("Llama"), tokens()
    model.train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})

    def gradients():
        model.zero_grad()
        embedded = model.get_input_embeddings()(x).detach().requires_grad_()
        model(inputs_embeds=embedded, use_cache=False).logits.square().mean().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    expected = gradients()
    with sk.capture(model) as run:
        found = gradients()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)) and len(found) == len(expected)
    assert [r.calls for r in run.records.values()] == [1, 1] and [r.positions for r in run.records.values()] == [78, 78]
    assert max(run.verify().values()) <= 1e-5


def test_inference_mode_and_autocast():
    model, x = build("Llama"), tokens()
    with torch.inference_mode(), sk.capture(model) as run:
        model(x, use_cache=False)
    with sk.capture(model, into=run), torch.autocast("cpu", torch.bfloat16):
        model(x, use_cache=False)
    assert [r.calls for r in run.records.values()] == [2, 2]


@pytest.mark.parametrize("cache", [None, "static"])
def test_generation_with_padding_is_captured_token_by_token(cache):
    """A static cache is longer than what is in it, and masks say what is."""
    model, x = build("Mistral"), tokens(2, 12)
    mask = torch.ones_like(x)
    mask[1, :4] = 0
    options = {"attention_mask": mask, "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "cache_implementation": cache}
    expected = model.generate(x, **options)
    with sk.capture(model, "eigenvalues", verify="all") as run:
        generated = model.generate(x, **options)
    assert torch.equal(generated, expected) and not run.skipped and max(run.verify().values()) <= 1e-5
    whole_mask = torch.nn.functional.pad(mask, (0, 5), value=1)
    with torch.no_grad(), sk.capture(model, "eigenvalues") as whole:
        model(expected[:, :-1], attention_mask=whole_mask, position_ids=(whole_mask.cumsum(1) - 1).clamp(min=0), use_cache=False)
    for name, record in run.records.items():
        assert record.positions == whole.records[name].positions == 16 + 12
        difference = (torch.cat(run.eigenvalues[name], 1) - whole.eigenvalues[name][0]).abs()
        assert difference[0].max() <= 1e-5 and difference[1, 5:].max() <= 1e-5


def test_shared_blocks_and_parallel_mixers_have_records_of_their_own():
    x = tokens()
    with torch.no_grad(), sk.capture(zamba := build("Zamba")) as run:
        zamba(x, use_cache=False)
    shared = [name for name, r in run.records.items() if r.family == "softmax_attention"]
    assert len(shared) == 2 and (shared[1].endswith("#1") or shared[0] != shared[1])
    assert all(r.heads == 2 and r.n == 32 * 8 for r in run.records.values() if r.family == "mamba")
    with torch.no_grad(), sk.capture(falcon := build("FalconH1")) as run:
        falcon(x, use_cache=False)
    assert sorted(r.layer for r in run.records.values()) == [0, 0, 1, 1]


def test_a_wrong_transition_is_noticed(monkeypatch):
    model, x = build("Mamba2"), tokens()
    from spectral_kernels.api import families

    right = families.mamba2
    monkeypatch.setattr(families, "mamba2", lambda dt, A, **options: right(dt, 1.01 * A, **options))
    with torch.no_grad(), pytest.warns(UserWarning, match="is not what the kernel returned for backbone"), sk.capture(model) as run:
        model(x, use_cache=False)
    with pytest.raises(ArithmeticError, match="mamba2_chunk_scan"):
        run.verify()


def test_an_encoder_is_left_out_with_a_reason():
    import transformers

    config = transformers.BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48)
    model = transformers.BertModel(config).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with sk.capture(model) as run:
            model(tokens())
    assert not run.records and "no recurrence" in run.skipped["encoder.layer.0.attention.self"]
