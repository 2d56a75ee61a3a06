"""The recurrence, run with `dense()`, gives what the reference implementations give: fla's naive functions and transformers' torch functions, in float32."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

import spectral_kernels as sk

F = sk.families
B, T, H, K, V = 2, 12, 3, 4, 5
TOLERANCE = 1e-5


def randn(*shape, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + 31 * len(shape)))


def heads_first(*tensors):
    return [x.transpose(1, 2).contiguous() for x in tensors]


def states(t, write):
    """S_t = A_t S_{t-1} + write_t, ``(B, T, ..., n, V)``; A_t from the transition, its heads and parameters broadcast against the batch."""
    A = t.dense()
    S, out = torch.zeros_like(write[:, 0]), []
    for s in range(write.shape[1]):
        S = (A if t.lti else A[:, s]) @ S + write[:, s]
        out.append(S)
    return torch.stack(out, 1)


def matrix_state(t, k, v):
    return states(t, k[..., :, None] * v[..., None, :])


def read(q, S, scale):
    return scale * torch.einsum("...k,...kv->...v", q, S)


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


q, k, v = randn(B, T, H, K), randn(B, T, H, K) + 0.1 * randn(B, T, H, K).flip(1), randn(B, T, H, V)
gate, head_gate = randn(B, T, H, K), randn(B, T, H)


@pytest.fixture(scope="module")
def fla():
    return pytest.importorskip("fla.ops")


def test_retnet(fla):
    from fla.ops.retention.naive import naive_retention

    expected = naive_retention(*heads_first(q, k, v)).transpose(1, 2)
    assert relative(read(q, matrix_state(F.retnet(H, K), k, v), K**-0.5), expected) <= TOLERANCE


@pytest.mark.parametrize("raw", [False, True])
def test_simple_gla(fla, raw):
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    g = logsigmoid(head_gate) / 16
    t = F.simple_gla(head_k_dim=K, gk_proj=head_gate) if raw else F.simple_gla(g, K)
    assert relative(read(q, matrix_state(t, k, v), K**-0.5), naive_recurrent_simple_gla(q, k, v, g)[0]) <= TOLERANCE


def test_lightning_attention(fla):
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    g = (-(8 / H * (1 - 2 / 5)) * torch.arange(H, dtype=torch.float)).expand(B, T, H)  # what chunk_lightning_attn gives chunk_simple_gla
    expected = naive_recurrent_simple_gla(q, k, v, g)[0]
    assert relative(read(q, matrix_state(F.lightning_attention(H, 2, 5, K), k, v), K**-0.5), expected) <= TOLERANCE


def test_minimax_lightning_attention():
    modeling = pytest.importorskip("transformers.models.minimax.modeling_minimax")
    from transformers import MiniMaxConfig

    torch.manual_seed(0)
    config = MiniMaxConfig(hidden_size=H * K, num_attention_heads=H, head_dim=K, num_hidden_layers=4, block_size=8, num_key_value_heads=H)
    layer = modeling.MiniMaxLightningAttention(config, layer_idx=1).eval()
    x = randn(B, T, H * K)
    with torch.no_grad():
        expected = layer(x, None, None)[0]
        qkv = layer.act_fn(layer.qkv_proj(x)).reshape(B, T, H, 3 * K)
        q, k, v = qkv.split(K, -1)
        S = matrix_state(F.minimax_lightning_attention(layer.slope_rate, K), k, v)
        o = layer.norm(read(q, S, 1.0).reshape(B, T, H * K))
        assert relative(layer.out_proj(torch.sigmoid(layer.output_gate(x)) * o), expected) <= TOLERANCE


GLA_LIKE = {
    "gla": lambda: (F.gla(gk_proj=gate, gate_logit_normalizer=4), logsigmoid(gate) / 4, k),
    "hgrn2": lambda: (F.hgrn2(f=gate, lower_bound=torch.full((H, K), 0.3)), (0.3 + 0.7 * torch.sigmoid(gate)).log(), 0.7 * torch.sigmoid(-gate)),
    "rodimus": lambda: (F.rodimus(g_gate=gate, tau_gate=q), -softplus(gate) * torch.sigmoid(q), k * softplus(gate) ** torch.sigmoid(q)),
    "lightnet": lambda: (F.lightnet(k), *additive_gate(k)),
}


def additive_gate(x):
    """g and exp(x - z) as fla's additive gate makes them."""
    z = x.logcumsumexp(1)
    return torch.cat([z[:, :1], z[:, :-1]], 1) - z, (x - z).exp()


@pytest.mark.parametrize("name", GLA_LIKE)
def test_gla_and_its_like(fla, name):
    from fla.ops.gla.naive import naive_recurrent_gla

    t, gk, key = GLA_LIKE[name]()
    assert relative(read(q, matrix_state(t, key, v), K**-0.5), naive_recurrent_gla(q, key, v, gk)[0]) <= TOLERANCE


def test_hgrn(fla):
    from fla.ops.hgrn.naive import naive_recurrent_hgrn

    x, f, bound = randn(B, T, 6), randn(B, T, 6), torch.full((6,), 0.2)
    g = (bound + (1 - bound) * torch.sigmoid(f)).log()
    assert relative(states(F.hgrn(f=f, lower_bound=bound), x[..., None])[..., 0], naive_recurrent_hgrn(x, g)[0]) <= TOLERANCE


@pytest.mark.parametrize("version", [5, 6])
def test_rwkv5_and_6(fla, version):
    from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6

    u, decay = randn(H, K), randn(H, K) if version == 5 else gate
    t = F.rwkv5(time_decay=decay) if version == 5 else F.rwkv6(w_proj=decay)
    expected = naive_recurrent_rwkv6(*heads_first(q, k, v, (-decay.exp()).expand(B, T, H, K)), u)[0].transpose(1, 2)
    kv = k[..., :, None] * v[..., None, :]
    S = matrix_state(t, k, v)
    before = torch.cat([torch.zeros_like(S[:, :1]), S[:, :-1]], 1)  # read before the update
    assert relative(read(q, before + u[..., None] * kv, K**-0.5), expected) <= TOLERANCE


@pytest.mark.parametrize("normalised", [False, True])
def test_rwkv4(normalised):
    modeling = pytest.importorskip("transformers.models.rwkv.modeling_rwkv")
    decay, first, key, value = randn(6), randn(6), randn(B, T, 6), randn(B, T, 6) + 1
    expected, (num, den, top) = modeling.rwkv_linear_attention_cpu(decay, first, key, value, return_state=True)
    if normalised:  # the average itself; its read-out has the bonus, so compare the state after the last position
        weights = (key - decayed_log_sum(key, -decay.exp())).exp()
        average = states(F.rwkv4(decay, key=key), (weights * value)[..., None])[:, -1, :, 0]
        assert relative(average, num / den) <= TOLERANCE
        return
    both = states(F.rwkv4(decay), torch.stack([key.exp() * value, key.exp()], -1))
    assert relative(both[:, -1], torch.stack([num, den], -1) * top.exp()[..., None]) <= TOLERANCE
    before = torch.cat([torch.zeros_like(both[:, :1]), both[:, :-1]], 1)
    bonus = (first + key).exp()
    assert relative((before[..., 0] + bonus * value) / (before[..., 1] + bonus), expected) <= TOLERANCE


def decayed_log_sum(key, rate):
    logs = [key[:, 0]]
    for s in range(1, key.shape[1]):
        logs.append(torch.logaddexp(logs[-1] + rate, key[:, s]))
    return torch.stack(logs, 1)


def two_pass(t, s):
    """Slot attention: keys by slots, softmax over the slots, values by slots; both memories decay with the transition."""
    keys = matrix_state(t, s, k)  # (B, T, H, M, K)
    weights = torch.softmax(torch.einsum("...k,...mk->...m", q * K**-0.5, keys), -1)
    return read(weights, matrix_state(t, s, v), 1.0)


@pytest.mark.parametrize("family", ["gsa", "raven"])
def test_gsa_and_raven(fla, family):
    from fla.ops.gsa.naive import naive_recurrent_gsa

    f = randn(B, T, H, 6)
    t = F.gsa(f=f) if family == "gsa" else F.raven(router=randn(B, T, H, 6).flip(-1), f=f, topk=2)
    g = logsigmoid(f) / 8 if family == "gsa" else t.value
    s = 1 - g.exp()
    assert relative(two_pass(t, s), naive_recurrent_gsa(q, k, v, s, g)[0]) <= TOLERANCE


def test_abc(fla):
    from fla.ops.abc.naive import naive_cumsum_abc, naive_recurrent_abc

    logits = randn(B, T, H, 6)
    o = two_pass(F.abc(logits), additive_gate(logits)[1])
    assert relative(o, naive_recurrent_abc(*heads_first(q, k, v, logits))[0].transpose(1, 2)) <= TOLERANCE
    assert relative(o, naive_cumsum_abc(*heads_first(q, k, v, logits))[0].transpose(1, 2)) <= TOLERANCE


@pytest.mark.parametrize("model", ["mamba", "falcon_mamba", "jamba", "zamba"])
def test_mamba(model):
    modeling = pytest.importorskip(f"transformers.models.{model}.modeling_{model}")
    D, N = 3, 4
    u, dt, A_log, Bt, Ct, bias = randn(B, D, T), randn(B, D, T), randn(D, N), randn(B, N, T), randn(B, N, T), randn(D)
    out = modeling.mamba_selective_scan(u, dt, -A_log.exp(), Bt, Ct, delta_bias=bias, delta_softplus=True)
    expected = out[0] if isinstance(out, tuple) else out
    t = F.mamba(dt.transpose(1, 2), A_log=A_log, delta_bias=bias, delta_softplus=True)
    write = (t.delta * u.transpose(1, 2))[..., None] * Bt.transpose(1, 2)[:, :, None]
    h = states(t, write.reshape(B, T, D * N, 1)).reshape(B, T, D, N)
    assert relative(torch.einsum("btdn,bnt->bdt", h, Ct), expected) <= TOLERANCE


@pytest.mark.parametrize("model", ["mamba2", "zamba2", "bamba", "granitemoehybrid", "nemotron_h", "falcon_h1"])
def test_mamba2(model):
    modeling = pytest.importorskip(f"transformers.models.{model}.modeling_{model}")
    x, dt, A_log, bias, limit = randn(B, T, H, V), head_gate, randn(H), randn(H), (0.1, 1.5)
    Bt, Ct = randn(B, T, 1, K), randn(B, T, 1, K).flip(1)
    out = modeling.mamba2_chunk_scan(x, dt, -A_log.exp(), Bt, Ct, chunk_size=8, dt_bias=bias, dt_softplus=True, dt_limit=limit)
    expected = out[0] if isinstance(out, tuple) else out
    t = F.mamba2(dt, A_log=A_log, dt_bias=bias, dt_softplus=True, dt_limit=limit, d_state=K)
    delta = softplus(dt + bias).clamp(*limit)
    S = matrix_state(t, delta[..., None] * Bt.expand(B, T, H, K), x)
    assert relative(read(Ct.expand(B, T, H, K), S, 1.0), expected) <= TOLERANCE


def test_mamba3():
    """The kernels' own gauge, keys and queries rotated by the summed angles and a scalar decay, against the rotation in the transition."""
    N, S = 6, 2
    delta, log, angle = softplus(head_gate), -softplus(randn(B, T, H)), randn(B, T, H, S)
    theta = math.pi * torch.tanh(angle) * delta[..., None]
    total = theta.cumsum(1)
    key, query = randn(B, T, H, N), randn(B, T, H, N).flip(1)

    def turned(x):
        pairs = torch.view_as_complex(x[..., : 2 * S].unflatten(-1, (S, 2)).contiguous()) * torch.exp(1j * total)
        return torch.cat([torch.view_as_real(pairs).flatten(-2), x[..., 2 * S :]], -1)

    kernel = matrix_state(F.simple_gla(log * delta, N), turned(key), v)
    ours = matrix_state(F.mamba3(delta, angle, N, ADT=log * delta), key, v)
    assert relative(read(query, ours, 1.0), read(turned(query), kernel, 1.0)) <= TOLERANCE


def test_rg_lru():
    modeling = pytest.importorskip("transformers.models.recurrent_gemma.modeling_recurrent_gemma")
    from transformers import RecurrentGemmaConfig

    torch.manual_seed(0)
    layer = modeling.RecurrentGemmaRglru(RecurrentGemmaConfig(num_attention_heads=2, lru_width=8))
    for name, p in layer.named_parameters():
        torch.nn.init.normal_(p, std=0.5 if "weight" in name else 1.0)
    x, positions = randn(B, T, 8), torch.arange(T).repeat(B, 1)
    positions[1, 7:] -= 7  # two documents in one row
    seen = {}
    scan = layer._rnn_scan
    layer._rnn_scan = lambda **kw: seen.update(kw) or scan(**kw)
    with torch.no_grad():
        expected = layer(x, positions)
        logits = torch.baddbmm(layer.recurrent_gate_bias[:, None], x.reshape(B * T, 2, 4).transpose(0, 1), layer.recurrent_gate_weight)
        t = F.rg_lru(recurrent_gate_logits=logits.transpose(0, 1).reshape(B, T, 8), recurrent_param=layer.recurrent_param, reset=positions == 0)
        assert relative(states(t, seen["hidden_states"][..., None])[..., 0], expected) <= TOLERANCE
    assert not bool(t.valid[1, 7]) and bool(t.valid[1, 8]) and float(t.spectral_radius()[1, 7]) == 0


@pytest.mark.parametrize("normalised", [False, True])
def test_mlstm(normalised):
    modeling = pytest.importorskip("transformers.models.xlstm.modeling_xlstm")
    if not hasattr(modeling, "mlstm_recurrent_sequence_native"):
        pytest.skip("transformers has no mLSTM of its own where the package xlstm is installed")
    igate, fgate = 2 * randn(B, T, H), head_gate + 1
    out = modeling.mlstm_recurrent_sequence_native(*heads_first(q, k, v, igate, fgate), eps=0.0)
    expected = (out[0] if isinstance(out, tuple) else out).transpose(1, 2)
    log_eta = torch.zeros(B, T, H)
    t = F.mlstm(fgate, head_k_dim=K)
    n = matrix_state(t, igate.exp()[..., None] * k, torch.ones(B, T, H, 1))
    eta = read(q, n, K**-0.5)[..., 0].abs().clamp(min=1)
    if normalised:
        t, log_eta = F.mlstm(fgate, igate=igate, query=q, key=k, head_k_dim=K), eta.log()
    C = matrix_state(t, (igate - log_eta).exp()[..., None] * k, v)
    o = read(q, C, K**-0.5)
    assert relative(o if normalised else o / eta[..., None], expected) <= TOLERANCE


@pytest.mark.parametrize("decayed", [False, True])
def test_mesa_net(fla, decayed):
    from fla.ops.mesa_net.naive import naive_mesa_net_exact

    key, v, beta, lamb = torch.nn.functional.normalize(k, dim=-1), randn(B, T, H, K).flip(2), torch.sigmoid(head_gate), torch.rand(H, K) + 0.5
    g = logsigmoid(randn(B, T, H) + 2) if decayed else torch.zeros(B, T, H)
    expected, H_kk, H_kv = naive_mesa_net_exact(q, key, v, g, lamb, beta)
    sums = F.mesa_net(g, K)
    assert relative(matrix_state(sums, beta[..., None] * key, key)[:, -1], H_kk) <= TOLERANCE
    assert relative(matrix_state(sums, beta[..., None] * key, v)[:, -1], H_kv) <= TOLERANCE
    weight = F.mesa_net_fast_weight(key, beta, lamb, g=g if decayed else None)
    inverse = torch.linalg.inv(matrix_state(sums, beta[..., None] * key, key) + torch.diag_embed(lamb))
    W = matrix_state(weight, torch.einsum("...ij,...j->...i", inverse, beta[..., None] * key), v)
    assert relative(read(q, W, 1.0), expected) <= TOLERANCE
