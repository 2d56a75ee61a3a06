"""Delta rules: whole sequences, run with `dense()`, against fla's naive functions and transformers' torch functions, in float32."""

from __future__ import annotations

import importlib

import pytest
import torch

import spectral_kernels as sk

F = sk.families


def normed(x):
    """What the kernels' l2norm gives."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def replay(t, inputs, q, initial=None):
    """``q_t^T S_t`` of ``S_t = A_t S_{t-1} + inputs_t`` with S (B, H, n, V), scaled as the kernels scale."""
    A, S, out = t.dense(), torch.zeros_like(inputs[:, 0]) if initial is None else initial, []
    for s in range(inputs.shape[1]):
        S = A[:, s] @ S + inputs[:, s]
        out.append(torch.einsum("bhk,bhkv->bhv", q[:, s], S[:, :, : q.shape[-1]]))
    return torch.stack(out, 1) * q.shape[-1] ** -0.5, S


def naive(module, name):
    return getattr(importlib.import_module(f"fla.ops.{module}"), name)


def heads_first(*tensors):
    return [x.transpose(1, 2) for x in tensors]


def sample(seed=0, length=20, heads=3, values=None):
    """q, k, v, g, beta, and gates per channel, in float32; what is drawn afterwards repeats too."""
    torch.manual_seed(seed)
    G = torch.Generator().manual_seed(seed)
    HV = values or heads
    q, kk, v = (torch.randn(2, length, h, n, generator=G) for h, n in ((heads, 8), (heads, 8), (HV, 5)))
    return q, kk, v, -torch.rand(2, length, HV, generator=G), torch.rand(2, length, HV, generator=G), -torch.rand(2, length, HV, 8, generator=G)


def outer(k, beta, v):
    return torch.einsum("bthk,bthv->bthkv", k * beta[..., None], v)


def close(a, b):
    assert float((a - b).abs().max()) <= 1e-5 * max(1.0, float(b.abs().max()))


def test_deltanet_replays_the_reference():
    q, k, v, _, beta, _ = sample()
    k = torch.nn.functional.normalize(k, dim=-1)
    expected, _ = naive("delta_rule.naive", "delta_rule_recurrence")(*heads_first(q, k, v, beta))
    close(replay(F.deltanet(k, beta), outer(k, beta, v), q)[0], expected.transpose(1, 2))


def test_gated_deltanet_replays_the_reference():
    q, k, v, g, beta, _ = sample()
    k = torch.nn.functional.normalize(k, dim=-1)
    expected, state = naive("gated_delta_rule.naive", "naive_recurrent_gated_delta_rule")(q, k, v, 2 * beta, g, output_final_state=True)
    o, S = replay(F.gated_deltanet(g, k, 2 * beta), outer(k, 2 * beta, v), q)
    close(o, expected)
    close(S, state)


def test_gated_deltanet_takes_what_the_kernel_takes():
    """Raw gates and logits, as the activations of the reference give them."""
    _, k, _, g, beta, _ = sample(values=6)
    A_log, dt_bias = torch.randn(6), torch.randn(6)
    ready = naive("gated_delta_rule.gate", "naive_gdn_gate")(g, A_log, dt_bias)
    flags = {"use_gate_in_kernel": True, "use_beta_sigmoid_in_kernel": True, "use_qk_l2norm_in_kernel": True, "allow_neg_eigval": True}
    t = F.gated_deltanet(g, k, beta, A_log=A_log, dt_bias=dt_bias, **flags)
    close(t.dense(), F.gated_deltanet(ready, normed(k), 2 * beta.sigmoid()).dense())


@pytest.mark.parametrize("name", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
def test_gated_deltanet_replays_transformers(name):
    module = importlib.import_module("transformers.models.qwen3_next.modeling_qwen3_next")
    function = getattr(module, name)
    function = getattr(function, "__wrapped__", function)  # the torch reference behind the dispatch to kernels
    q, k, v, g, beta, _ = sample(values=6 if "chunk" in name else 3)
    expected, state = function(q, k, v, g, beta, initial_state=None, output_final_state=True, use_qk_l2norm_in_kernel=True)
    heads = v.shape[2] // k.shape[2]
    k, q = (normed(x).repeat_interleave(heads, 2) for x in (k, q))
    o, S = replay(F.gated_deltanet(g, k, beta), outer(k, beta, v), q)
    close(o, expected)
    close(S, state)


@pytest.mark.parametrize("name, read_first", [("naive_chunk_comba", True), ("naive_recurrent_comba", False)])
def test_comba_replays_the_reference(name, read_first):
    q, k, v, g, beta, _ = sample()
    k = torch.nn.functional.normalize(k, dim=-1)
    p = 0.7 * k
    expected, _ = naive("comba.naive", name)(q=q, k=k, v=v, p=p, g=g, beta=beta)
    close(replay(F.comba(g, k, beta, p, decay_first=not read_first), outer(k, beta, v), q)[0], expected)


@pytest.mark.parametrize("gate", [True, False])
def test_deltaproduct_replays_the_reference(gate):
    m = 3
    q, _, _, g, _, _ = sample()
    _, k, v, _, beta, _ = sample(1, 20 * m)
    k, beta = torch.nn.functional.normalize(k, dim=-1), 2 * beta
    expected, _ = naive("gated_delta_product.naive", "naive_recurrent_gated_delta_product")(q, k, v, g if gate else None, beta, 8**-0.5, num_householder=m)
    t = F.gated_deltaproduct(g, k, beta, m) if gate else F.deltaproduct(k, beta, m)
    rules = F.deltanet(k, beta).dense().unflatten(1, (20, m))
    writes = outer(k, beta, v).unflatten(1, (20, m))
    total = torch.zeros_like(writes[:, :, 0])
    for j in range(m):
        total = rules[:, :, j] @ total + writes[:, :, j]
    close(replay(t, total, q)[0], expected)
    if gate:
        spread = torch.zeros(2, 20, m, 3)
        spread[:, :, 0] = g
        assert torch.equal(F.gated_deltaproduct(spread.flatten(1, 2), k, beta, m).dense(), t.dense())


def test_path_transition_carries_the_keys():
    q, k, v, _, beta, _ = sample(length=24)
    w, beta = torch.nn.functional.normalize(torch.randn_like(k), dim=-1), 2 * beta
    expected = naive("path_attn.naive", "naive_path_attn")(q, k, v, w, beta, torch.zeros(2, 24, 3), scale=0.3, chunk_size=8)
    expected = expected[0] if isinstance(expected, tuple) else expected
    A, carried, out = F.path_transition(w, beta).dense(), torch.zeros(2, 3, 0, 8), []
    for t in range(24):
        carried = torch.cat([torch.einsum("bhij,bhsj->bhsi", A[:, t], carried), k[:, t, :, None]], 2)
        weights = (0.3 * torch.einsum("bhk,bhsk->bhs", q[:, t], carried)).softmax(-1)
        out.append(torch.einsum("bhs,bshv->bhv", weights, v[:, : t + 1]))
    close(torch.stack(out, 1), expected)


def test_kda_replays_the_references():
    q, k, v, _, beta, g = sample(values=6)
    expected, state = naive("kda.naive", "naive_recurrent_kda")(q, normed(k), v, g, beta, output_final_state=True)
    keys, queries = (x.repeat_interleave(2, 2) for x in (normed(k), q))
    o, S = replay(F.kda(g, k, beta, use_qk_l2norm_in_kernel=True), outer(keys, beta, v), queries)
    close(o, expected)
    close(S, state)
    function = importlib.import_module("transformers.models.kimi_linear.modeling_kimi_linear").recurrent_kimi_delta_attention
    function = getattr(function, "__wrapped__", function)
    expected, _ = function(queries, k.repeat_interleave(2, 2), v, g, beta, None, True, use_qk_l2norm_in_kernel=True)
    close(replay(F.kda(g, k, beta, use_qk_l2norm_in_kernel=True), outer(keys, beta, v), normed(queries))[0], expected)


@pytest.mark.parametrize("lower_bound", [None, -5.0])
def test_kda_takes_what_the_kernel_takes(lower_bound):
    _, k, _, _, beta, g = sample()
    A_log, dt_bias = torch.randn(3), torch.randn(24)
    gates = importlib.import_module("fla.ops.kda.gate")
    ready = gates.naive_kda_gate(g, A_log, dt_bias) if lower_bound is None else gates.naive_kda_lowerbound_gate(g, A_log, dt_bias, lower_bound)
    for bias in (dt_bias, dt_bias.reshape(3, 8)):
        close(F.kda(g, k, beta, A_log=A_log, dt_bias=bias, lower_bound=lower_bound, use_gate_in_kernel=True).dense(), F.kda(ready, k, beta).dense())
    if lower_bound is not None:
        ready = gates.naive_kda_lowerbound_gate(g, None, dt_bias, lower_bound)
        close(F.kda(g, k, beta, dt_bias=dt_bias, lower_bound=lower_bound, use_gate_in_kernel=True).dense(), F.kda(ready, k, beta).dense())


def test_gated_deltanet2_replays_the_reference():
    q, k, v, _, _, g = sample()
    b, w, k = torch.rand_like(k), torch.rand_like(v), torch.nn.functional.normalize(k, dim=-1)
    expected, _ = naive("gdn2.naive", "naive_recurrent_gdn2")(q, k, v, g, b, w)
    close(replay(F.gated_deltanet2(g, k, b), outer(k, torch.ones(2, 20, 3), w * v), q)[0], expected)


def test_generalised_rules_replay_the_references():
    q, k, v, _, beta, g = sample()
    kk = torch.nn.functional.normalize(torch.randn_like(k), dim=-1)
    a, b = -kk, kk * torch.rand_like(kk)
    inputs = outer(k, torch.ones_like(beta), v)
    expected, _ = naive("generalized_delta_rule.dplr.naive", "dplr_recurrence")(*heads_first(q, k, v, a, b, g))
    close(replay(F.dplr_delta_rule(g, a, b), inputs, q)[0], expected.transpose(1, 2))
    close(replay(F.rwkv7(g, a, b=b), inputs, q)[0], expected.transpose(1, 2))
    expected, _ = naive("generalized_delta_rule.iplr.naive", "iplr_recurrence")(*heads_first(q, k, v, a, b))
    close(replay(F.iplr_delta_rule(a, b), inputs, q)[0], expected.transpose(1, 2))


@pytest.mark.parametrize("scale", [None, 0.3, "learned"])
def test_preconditioned_rules_replay_the_references(scale):
    q, k, v, g_atk, beta_atk, _ = sample(values=3)
    _, _, wide, g, beta, gk = sample(1, values=6)
    scale = torch.randn(3) if scale == "learned" else scale
    function = naive("precond_gated_delta_rule.naive", "naive_recurrent_precond_gated_delta_rule")
    normalised = torch.nn.functional.normalize
    expected, _, _ = function(q, k, wide, g_atk, g, beta_atk, beta, log_atk_scale=scale)
    t = F.precond_gated_deltanet(normalised(k, dim=-1), g_atk, g, beta_atk, beta, log_atk_scale=scale, use_qk_l2norm_in_kernel=False)
    write = t.k  # M k, per value head
    close(replay(t, outer(write, beta, wide), normalised(q, dim=-1).repeat_interleave(2, 2))[0], expected)
    k, gk, beta = normalised(k, dim=-1), gk[:, :, :3], beta[:, :, :3]
    expected, _, _ = naive("precond_kda.naive", "naive_recurrent_precond_kda")(q, k, v, gk, g_atk, beta_atk, beta, log_atk_scale=scale)
    t = F.precond_kda(k, gk, g_atk, beta_atk, beta, log_atk_scale=scale, use_qk_l2norm_in_kernel=False)
    close(replay(t, torch.einsum("bthk,bthv->bthkv", -t.b, v), q)[0], expected)


def test_log_linear_replays_the_reference():
    length = 20
    q, k, v, g, beta, _ = sample(length=length)
    L = length.bit_length() + 1 if length & (length - 1) else length.bit_length()
    scales = torch.rand(2, length, 3, L)
    expected = naive("log_linear_attn.naive", "naive_log_linear_attn")(q, k, v, g, scales, scale=None)
    inputs = torch.zeros(2, length, 3, L, 8, 5)
    inputs[:, :, :, 0] = outer(k, torch.ones_like(beta), v)
    t, S, out = F.log_linear_mamba2(g, 8, levels=L), torch.zeros(2, 3, L * 8, 5), []
    for s in range(length):
        S = t.dense()[:, s] @ S + inputs[:, s].flatten(2, 3)
        out.append(torch.einsum("bhl,bhk,bhlkv->bhv", scales[:, s], q[:, s], S.unflatten(2, (L, 8))))
    close(torch.stack(out, 1) * 8**-0.5, expected)


def test_log_linear_levels_add_up():
    """With every level read alike, log-linear Gated DeltaNet is Gated DeltaNet."""
    _, k, v, g, beta, _ = sample()
    k = torch.nn.functional.normalize(k, dim=-1)
    t, one = F.log_linear_gated_deltanet(g, k, beta), F.gated_deltanet(g, k, beta)
    A, S, plain = t.dense(), torch.zeros(2, 3, t.size, 5), torch.zeros(2, 3, 8, 5)
    for s in range(20):
        write = outer(k, beta, v)[:, s]
        S, plain = A[:, s] @ S, one.dense()[:, s] @ plain + write
        S[:, :, :8] += write
        close(S.unflatten(2, (-1, 8)).sum(2), plain)
    late = F.log_linear_gated_deltanet(g[:, 8:], k[:, 8:], beta[:, 8:], levels=t.levels, offset=8)
    assert torch.equal(late.dense(), A[:, 8:]) and bool(late.valid.all())
    with pytest.raises(ValueError, match="at least 6 levels for the positions up to 19, got 5"):
        F.log_linear_mamba2(g, levels=5)
