"""Recurrent layers and multi-head attention of torch: fused paths stay fused, outputs are the same, spectra those of the families."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spectral_kernels as sk

x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(0))
causal = nn.Transformer.generate_square_subsequent_mask(9)


def first(output):
    output = output[0] if isinstance(output, tuple) and not isinstance(output, nn.utils.rnn.PackedSequence) else output
    return output.data if isinstance(output, nn.utils.rnn.PackedSequence) else output


def captured(model, *args, keep="factors", **kwargs):
    """The run of a call, whose output must be the same bit for bit, with gradients and without."""
    model.eval()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            expected = first(model(*args, **kwargs))
            with sk.capture(model, keep) as run:
                found = first(model(*args, **kwargs))
        assert torch.equal(found, expected) and not run.skipped
        assert max(run.verify().values()) <= 1e-5
    return run


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_recurrent_layers(kind):
    torch.manual_seed(0)
    layer = getattr(nn, kind.upper())(8, 5, 2, batch_first=True)
    run = captured(layer, x)
    assert [(name, r.family, r.library) for name, r in run.records.items()] == [(f"{kind.upper()}:l{i}", kind, "torch") for i in range(2)]
    expected = getattr(sk.families, kind)(x, *(w.detach() for w in layer.all_weights[0]))
    assert torch.equal(run.transitions[f"{kind.upper()}:l0"][0].dense(), expected.dense())


@pytest.mark.parametrize("layer", [nn.LSTM(8, 5, bias=False), nn.GRU(8, 5, bidirectional=True), nn.RNN(8, 5, nonlinearity="relu")], ids=["LSTM", "GRU", "RNN"])
def test_sequences_first_and_unbatched(layer):
    directions = 2 if layer.bidirectional else 1
    h = torch.randn(directions, 9, 5)
    captured(layer, x, (h, h.tanh()) if isinstance(layer, nn.LSTM) else h)
    run = captured(layer, x[0])
    assert len(run.records) == directions and all(r.positions == 9 for r in run.records.values())


def test_packed_sequences_count_their_own_positions():
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 9]), batch_first=True, enforce_sorted=False)
    layer = nn.GRU(8, 5, 2, bidirectional=True)
    run = captured(layer, packed)
    assert [r.positions for r in run.records.values()] == [14] * 4
    alone = captured(layer, x[:1, :5].transpose(0, 1))
    for name, (t,) in run.transitions.items():
        (u,) = alone.transitions[name]
        assert (t.dense()[0, :5] - u.dense()[0]).abs().max() <= 1e-6, name


def test_what_cannot_be_run_again_says_so():
    with pytest.warns(UserWarning, match="proj_size"), sk.capture(model := nn.LSTM(8, 5, proj_size=3)):
        model(x)
    with pytest.warns(UserWarning, match="dropout"), sk.capture(model := nn.GRU(8, 5, 2, dropout=0.5)):
        model(x)
    with pytest.warns(UserWarning, match="order of positions"), sk.capture(model := nn.MultiheadAttention(8, 2)):
        model(x, x, x)


MASKS = {
    "causal": {"attn_mask": causal, "is_causal": True},
    "boolean": {"attn_mask": causal < 0},
    "padded": {"attn_mask": causal < 0, "key_padding_mask": torch.arange(9).expand(2, 9) >= torch.tensor([[7], [9]])},
}


@pytest.mark.parametrize("masks", MASKS, ids=MASKS)
def test_multihead_attention(masks):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    run = captured(layer, x, x, x, need_weights=False, **MASKS[masks])
    assert run.records["MultiheadAttention"].positions == (14 if masks == "padded" else 16)
    q, k, _ = torch.nn.functional.linear(x, layer.in_proj_weight, layer.in_proj_bias).detach().unflatten(-1, (3, 2, 4)).unbind(2)
    (t,) = run.transitions["MultiheadAttention"]
    expected = sk.families.softmax_attention(q, k)
    assert (t.alpha - expected.alpha)[t.valid].abs().max() <= 1e-5


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("boolean", [False, True])
def test_encoder_layers_stay_fused(norm_first, boolean):
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first), 2, enable_nested_tensor=False)
    run = captured(model, x, mask=causal < 0 if boolean else causal)
    assert list(run.records) == ["layers.0.self_attn", "layers.1.self_attn"]
    assert all("forward" not in vars(m) for m in model.modules())
    assert [r.positions for r in run.records.values()] == [16, 16]


def test_attention_by_scaled_dot_product():
    class Attention(nn.Module):
        def forward(self, q, k, v):
            return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    q, k, v = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    run = captured(Attention(), q, k, v)
    (t,) = run.transitions["Attention"]
    assert torch.equal(t.alpha, sk.families.softmax_attention(q.transpose(1, 2), k.transpose(1, 2)).alpha)
