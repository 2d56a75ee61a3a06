"""Families of softmax and linear attention: replay of the reference recurrences, every mask, the paper's released routine."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import elu, logsigmoid, normalize, scaled_dot_product_attention, softplus

import spectral_kernels as sk
from spectral_kernels.api.families import linear

families = sk.families


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def qkv(B=2, T=33, H=4, Hk=2, D=8, S=None, dtype=torch.float64):
    S = T if S is None else S
    return randn(B, T, H, D, seed=1).to(dtype), randn(B, S, Hk, D, seed=2).to(dtype), randn(B, S, Hk, D, seed=3).to(dtype)


def logits(q, k, scale=None):
    """``(B, H, T, S)``, by plain products."""
    return torch.einsum("bthd,bshd->bhts", q, k.repeat_interleave(q.shape[2] // k.shape[2], 2)) * (q.shape[-1] ** -0.5 if scale is None else scale)


def causal(s):
    return s.masked_fill(~torch.ones(s.shape[-2:], dtype=torch.bool).tril(s.shape[-1] - s.shape[-2]), -math.inf)


def eigenvalues(t):
    """``(B, T, H)`` real."""
    return t.eigvals()[..., 0].real


def expected(s, decay=None, sink=None):
    """lambda of ``(B, H, T, S)`` logits: decay and the ratio of normalisers; 0 at the first position."""
    eta = s.exp().sum(-1) + (0 if sink is None else sink.exp()[:, None])
    ratio = torch.zeros_like(eta)
    ratio[..., 1:] = eta[..., :-1] / eta[..., 1:] * (1 if decay is None else decay[..., 1:])
    return ratio.transpose(1, 2)


def test_definition():
    q, k, _ = qkv()
    t = families.softmax_attention(q, k)
    assert t.shape == (2, 33, 4, 1, 1) and t.gauge == "normalised" and t.dtype == torch.float64
    torch.testing.assert_close(eigenvalues(t), expected(causal(logits(q, k))), rtol=1e-12, atol=0)
    assert not t.valid[:, 0].any() and t.valid[:, 1:].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_recurrence_reproduces_torchs_attention(dtype):
    """h_t = lambda_t h_{t-1} + e_t v_t / eta_t on the exponential kernel, whose features are the logits of all queries."""
    q, k, v = (x.to(dtype) for x in qkv(H=2))
    t = families.softmax_attention(q, k)
    q, k, v = q.float(), k.float(), v.float()
    assert t.dtype == torch.float32
    lam, s = eigenvalues(t).double(), logits(q, k).double()
    eta = causal(s).exp().sum(-1)
    h = torch.zeros(2, 2, 33, 8, dtype=torch.float64)  # phi(q_i)^T h for every query i
    outputs = []
    for step in range(33):
        h = lam[:, step, :, None, None] * h + s[..., step].exp()[..., None] * v[:, step].double()[:, :, None] / eta[..., step, None, None]
        outputs.append(h[:, :, step])
    exact = scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), is_causal=True)
    torch.testing.assert_close(torch.stack(outputs, 2).float(), exact, atol=1e-5, rtol=1e-5)


def test_uniform_attention_and_telescoping():
    q, k, _ = qkv(T=300)
    lam = eigenvalues(families.softmax_attention(torch.zeros_like(q), k))
    torch.testing.assert_close(lam[0, :, 0], torch.arange(300) / (torch.arange(300) + 1.0).double(), rtol=1e-14, atol=0)
    L = causal(logits(q, k)).logsumexp(-1)
    log = families.softmax_attention(q, k).value
    torch.testing.assert_close(log[:, 1:].sum(1), L[..., 0] - L[..., -1], rtol=1e-12, atol=1e-12)


def test_digits_next_to_one():
    """float32 q and k: 1 - lambda is about 1 / t, and keeps its digits as a logarithm."""
    q = torch.zeros(1, 20_000, 1, 4)
    log = families.softmax_attention(q, q).value[0, 1:, 0]
    t = torch.arange(1, 20_000).double()
    torch.testing.assert_close(log.double(), (t / (t + 1)).log(), rtol=1e-7, atol=0)


def test_window_of_one_key():
    q, k, _ = qkv()
    own = logits(q, k).diagonal(dim1=2, dim2=3)
    lam = eigenvalues(families.softmax_attention(q, k, sliding_window=1))[:, 1:]
    torch.testing.assert_close(lam, (own[..., :-1] - own[..., 1:]).exp().transpose(1, 2))


@pytest.mark.parametrize("window", [1, 2, 7, 33, 100])
def test_sliding_window(window):
    q, k, _ = qkv()
    s = causal(logits(q, k)).masked_fill(torch.ones(33, 33, dtype=torch.bool).tril(-window), -math.inf)
    torch.testing.assert_close(eigenvalues(families.softmax_attention(q, k, sliding_window=window)), expected(s), rtol=1e-12, atol=0)


def test_softcap_sink_scale():
    q, k, _ = qkv()
    sink = randn(4, seed=5)
    s = 2.0 * torch.tanh(logits(q, k, 0.9) / 2.0)
    t = families.softmax_attention(q, k, scale=0.9, softcap=2.0, s_aux=sink)
    torch.testing.assert_close(eigenvalues(t), expected(causal(s), sink=sink), rtol=1e-12, atol=0)


@pytest.mark.parametrize("with_sink", [False, True])
def test_alibi(with_sink):
    q, k, _ = qkv()
    slopes, sink = torch.tensor([0.5, 0.25, 0.1, 0.0], dtype=torch.float64), randn(4, seed=5) if with_sink else None
    distance = torch.arange(33.0)[:, None] - torch.arange(33.0)
    s = causal(logits(q, k) - slopes[:, None, None] * distance)
    t = families.softmax_attention(q, k, alibi_slopes=slopes, s_aux=sink)
    decay = (-slopes).exp()[:, None].expand(4, 33)
    torch.testing.assert_close(eigenvalues(t), expected(s, decay, sink), rtol=1e-12, atol=0)


def test_additive_and_boolean_masks():
    q, k, _ = qkv()
    seen = torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0)) > 0.3
    seen |= torch.eye(33, dtype=torch.bool)
    bias = randn(1, 4, 33, 33, seed=6)
    whole = causal(logits(q, k)).masked_fill(~seen, -math.inf)
    torch.testing.assert_close(eigenvalues(families.softmax_attention(q, k, attention_mask=seen)), expected(whole), rtol=1e-12, atol=0)
    torch.testing.assert_close(eigenvalues(families.softmax_attention(q, k, attention_mask=bias)), expected(causal(logits(q, k) + bias)), rtol=1e-12, atol=0)
    smallest = torch.zeros(2, 1, 33, 33).masked_fill(~(seen & torch.ones(33, 33, dtype=torch.bool).tril()), torch.finfo(torch.float32).min)
    t = families.softmax_attention(q, k, causal=False, attention_mask=smallest)
    torch.testing.assert_close(eigenvalues(t), expected(whole), rtol=1e-12, atol=0)


@pytest.mark.parametrize("family", ["softmax", "sink", "forgetting"])
def test_padding_changes_nothing(family):
    q, k, _ = qkv(T=20)
    g = logsigmoid(randn(2, 20, 4, seed=7))

    def run(q, k, g, mask=None):
        if family == "forgetting":
            return families.forgetting_attention(q, k, g, attention_mask=mask)
        return families.softmax_attention(q, k, s_aux=torch.ones(4, dtype=q.dtype) if family == "sink" else None, attention_mask=mask)

    alone = run(q, k, g)
    for left, right in ((5, 0), (0, 3), (50, 60)):

        def padded(x, left=left, right=right):
            return torch.cat([randn(2, left, *x.shape[2:], seed=8), x, randn(2, right, *x.shape[2:], seed=9)], 1)

        mask = torch.zeros(2, left + 20 + right, dtype=torch.int64)
        mask[:, left : left + 20] = 1
        t = run(padded(q), padded(k), -padded(g).abs(), mask)
        assert torch.equal(t.valid[:, left : left + 20], alone.valid)
        assert not t.valid[:, :left].any() and not t.valid[:, left + 20 :].any()
        torch.testing.assert_close(eigenvalues(t)[:, left : left + 20], eigenvalues(alone), rtol=1e-11, atol=0)
        assert (eigenvalues(t)[~t.valid] == 0).all()


@pytest.mark.parametrize("family", ["softmax", "forgetting"])
def test_packed_documents_are_documents_alone(family):
    q, k, _ = qkv(B=1, T=40)
    g = logsigmoid(randn(1, 40, 4, seed=7))
    ends = [0, 1, 17, 18, 40]

    def run(q, k, g, **packing):
        return families.softmax_attention(q, k, **packing) if family == "softmax" else families.forgetting_attention(q, k, g, **packing)

    t = run(q, k, g, cu_seqlens=torch.tensor(ends, dtype=torch.int32))
    for a, b in itertools.pairwise(ends):
        alone = run(q[:, a:b], k[:, a:b], g[:, a:b])
        torch.testing.assert_close(eigenvalues(t)[:, a:b], eigenvalues(alone), rtol=1e-11, atol=0)
        assert torch.equal(t.valid[:, a:b], alone.valid)
    if family == "softmax":
        seq_idx = torch.tensor([3] + [0] * 16 + [7] + [0] * 22)[None]
        assert torch.equal(run(q, k, g, seq_idx=seq_idx).value, t.value)
        both_ways = families.softmax_attention(q, k, seq_idx=seq_idx, causal=False)
        s = logits(q, k).masked_fill(seq_idx[0, :, None] != seq_idx[0], -math.inf)
        s[..., 1:17, 18:] = s[..., 18:, 1:17] = -math.inf  # two runs of one number are two documents
        both = expected(s)
        torch.testing.assert_close(eigenvalues(both_ways)[both_ways.valid], both[both_ways.valid], rtol=1e-12, atol=0)


def test_pieces_are_the_whole():
    q, k, _ = qkv(T=50, dtype=torch.float32)
    g = logsigmoid(randn(2, 50, 4, seed=7))
    for run in (lambda q, k: families.softmax_attention(q, k, sliding_window=9, s_aux=torch.ones(4)), lambda q, k: families.forgetting_attention(q, k, g[:, : k.shape[1]])):
        whole = run(q, k)
        for a, b in ((1, 20), (20, 21), (21, 50)):
            piece = run(q[:, a - 1 : b], k[:, :b])
            assert not piece.valid[:, 0].any() and piece.valid[:, 1:].all()
            torch.testing.assert_close(piece.value[:, 1:], whole.value[:, a:b], rtol=0, atol=1e-6)


def test_grouped_queries_are_repeated_keys():
    q, k, _ = qkv()
    assert torch.equal(families.softmax_attention(q, k).value, families.softmax_attention(q, k.repeat_interleave(2, 2)).value)


@pytest.mark.parametrize("window", [None, 5])
def test_forgetting_attention_is_flas(window):
    naive = pytest.importorskip("fla.ops.forgetting_attn.naive").naive_forgetting_attn
    q, k, v = qkv(dtype=torch.float32)
    g = logsigmoid(randn(2, 33, 4, seed=7)).float()
    t = families.forgetting_attention(q, k, g, window_size=window)
    G = g.double().cumsum(1).transpose(1, 2)
    s = causal(logits(q.double(), k.double()) + G[..., None] - G[..., None, :])
    if window:
        s = s.masked_fill(torch.ones(33, 33, dtype=torch.bool).tril(-window), -math.inf)
    torch.testing.assert_close(eigenvalues(t), expected(s, g.double().exp().transpose(1, 2)).float(), rtol=1e-5, atol=0)
    if window is None:  # h_t = lambda_t h_{t-1} + ...: weights are products of eigenvalues
        first = s[..., 0, 0].exp()
        weight = t.value.double()[:, 1:].cumsum(1).exp().transpose(1, 2)  # of key 0, over exp(logit of key 0 now - then)
        ours = weight * (logits(q.double(), k.double())[..., 1:, 0]).exp() / first[..., None]
        only_first = torch.zeros_like(v)
        only_first[:, 0] = 1
        torch.testing.assert_close(ours.float(), naive(q, k, only_first, g)[:, 1:, :, 0].transpose(1, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("T", [1, 33, 64, 130])
@pytest.mark.parametrize("gated", [False, True])
def test_path_attention_is_flas(T, gated):
    naive = pytest.importorskip("fla.ops.path_attn.naive").naive_path_attn
    q, k, _ = qkv(T=T, dtype=torch.float32)
    w, beta = normalize(randn(2, T, 2, 8, seed=4), dim=-1).float(), (2 * torch.sigmoid(randn(2, T, 2, seed=5))).float()
    g = logsigmoid(randn(2, T, 4, seed=7)).float() if gated else None
    t = families.path_attention(q, k, w, beta, g, scale=0.4)
    assert t.path.shape == (2, T, 2, 8, 8) and t.attention.shape == (2, T, 4, 1, 1)
    # keys that move by H_t and then softmax: the logits one query at a time
    keys, rows = torch.zeros(2, 0, 2, 8, dtype=torch.float64), []
    for i in range(T):
        keys = torch.cat([torch.einsum("bhij,bshj->bshi", t.path.dense()[:, i].double(), keys), k[:, i : i + 1].double()], 1)
        rows.append(torch.nn.functional.pad(logits(q[:, i : i + 1].double(), keys, 0.4)[:, :, 0], (0, T - 1 - i), value=-math.inf))
    G = torch.zeros(2, 4, T).double() if g is None else 0.4 * g.double().cumsum(1).transpose(1, 2)
    s = torch.stack(rows, 2) + G[..., None] - G[..., None, :]
    decay = torch.ones(2, 4, T).double() if g is None else (0.4 * g.double()).exp().transpose(1, 2)
    torch.testing.assert_close(eigenvalues(t.attention), expected(s, decay).float(), rtol=2e-5, atol=0)
    eye = torch.eye(T).expand(2, 2, T, T).transpose(1, 2).contiguous()  # values that show the weights
    weights = naive(q, k, eye, w, beta, torch.zeros(2, T, 4) if g is None else g, 0.4)
    torch.testing.assert_close(s.softmax(-1).float(), weights.transpose(1, 2), atol=1e-5, rtol=1e-4)


def released_routine(q, k):
    """The loop of the closed form: masked scores count as 0, without scale; float32 products, the rest in float64."""
    s = np.einsum("bthd,bshd->bhts", q.numpy(), k.numpy())
    B, H, T, _ = s.shape
    m, nu = np.zeros((B, H, T)), np.zeros((B, H, T))
    for i in range(T):
        row = np.where(np.arange(T) <= i, s[:, :, i], 0.0).astype(np.float64)
        m[:, :, i] = row.max(-1)
        nu[:, :, i] = np.exp(row - m[:, :, i, None]).sum(-1)
    return torch.from_numpy(nu[..., :-1] / nu[..., 1:] * np.exp(m[..., :-1] - m[..., 1:])).transpose(1, 2)


def test_the_papers_released_routine():
    q, k, _ = qkv(H=2, T=64, D=16, dtype=torch.float32)
    t = families.softmax_attention(q, k, paper_compat=True)
    torch.testing.assert_close(eigenvalues(t)[:, 1:].double(), released_routine(q, k), rtol=1e-5, atol=0)
    d = families.attention.paper_difference(q, k)
    exact, released = expected(causal(logits(q.double(), k.double())))[:, 1:], released_routine(q, k)
    deviation = ((released - exact).abs() / exact).transpose(1, 2).transpose(0, 1).flatten(1).median(1).values
    torch.testing.assert_close(d.deviation, deviation, rtol=1e-3, atol=0)
    for h in range(2):
        shares = np.histogram(exact[..., h].numpy(), [*d.edges[:-1], 1e300])[0] / exact[..., h].numel()
        np.testing.assert_allclose(d.exact[h].numpy(), shares, atol=1e-12)
    assert float(d.released.sum(1).min()) >= 1 - 1e-12 and float((d.released - d.exact).abs().max()) > 0.1
    with pytest.raises(ValueError, match="alone with paper_compat"):
        families.softmax_attention(q, k, scale=1.0, paper_compat=True)


@pytest.mark.parametrize("normalized", [True, False])
def test_linear_attention_is_flas(normalized):
    naive = pytest.importorskip("fla.ops.linear_attn.naive").naive_recurrent_linear_attn
    q, k = (elu(x) + 1 for x in (randn(2, 20, 3, 8, seed=1).float(), randn(2, 20, 3, 8, seed=2).float()))
    v = randn(2, 20, 3, 8, seed=3).float()
    t = families.linear_attention(q, k, feature_map="identity", normalize=normalized)
    eta = (q * k.cumsum(1)).sum(-1) if normalized else torch.ones(2, 20, 3)
    S, outputs = torch.zeros(2, 3, 8, 8), []
    for i in range(20):
        S = t.dense()[:, i] @ S + k[:, i, :, :, None] * v[:, i, :, None] / eta[:, i, :, None, None]
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, i], S))
    torch.testing.assert_close(torch.stack(outputs, 1), naive(q, k, v, scale=1.0, normalize=normalized)[0], atol=1e-5, rtol=1e-4)


def test_linear_attention_of_the_paper():
    q, k = randn(2, 20, 3, 8, seed=1), randn(2, 20, 3, 8, seed=2)
    scores = torch.einsum("bthd,bshd->bhts", elu(q) + 1, elu(k) + 1).tril()
    nu = scores.sum(-1).transpose(1, 2)
    for compat in (False, True):
        torch.testing.assert_close(eigenvalues(families.linear_attention(q, k, paper_compat=compat))[:, 1:], nu[:, :-1] / nu[:, 1:])
    q[:, 4] = 0
    zero = families.linear_attention(q, k.abs(), feature_map="relu", paper_compat=True)
    assert zero.value.isfinite().all() and (zero.value[:, 4] > 1e20).all() and not torch.isfinite(families.linear_attention(q, k.abs(), feature_map="relu").value[:, 4]).any()


@pytest.mark.parametrize("norm_fn", ["exp", "softplus", "elu", "sigmoid"])
def test_norm_attention(norm_fn):
    n, offset = randn(2, 9, 3), randn(3, seed=1)
    f = {"exp": torch.exp, "softplus": softplus, "elu": elu, "sigmoid": torch.sigmoid}[norm_fn]
    eta = f(n + offset).exp()
    t = families.norm_attention(n, offset, norm_fn=norm_fn)
    torch.testing.assert_close(eigenvalues(t)[:, 1:], eta[:, :-1] / eta[:, 1:])
    if norm_fn == "sigmoid":
        assert float(t.value[:, 1:].abs().max()) < 1
    if norm_fn != "elu":
        eta = f(n)
        torch.testing.assert_close(eigenvalues(families.norm_attention(n, norm_fn=norm_fn, parameterisation="2405.15731"))[:, 1:], eta[:, :-1] / eta[:, 1:])
    else:
        with pytest.raises(ValueError, match="norm_fn"):
            families.norm_attention(n, norm_fn=norm_fn, parameterisation="2405.15731")


@pytest.mark.parametrize("family", ["based", "rebased"])
def test_quadratic_features(family, monkeypatch):
    monkeypatch.setattr(linear, "_CHUNK", 7)
    q, k = randn(2, 20, 3, 4, seed=1), randn(2, 20, 3, 4, seed=2)
    s = logits(q, k)
    eta = (1 + s + s * s / 2 if family == "based" else s * s).tril().sum(-1).transpose(1, 2)
    t = getattr(families, family)(q, k)
    torch.testing.assert_close(eigenvalues(t)[:, 1:], eta[:, :-1] / eta[:, 1:], rtol=1e-9, atol=0)
    assert not t.valid[:, 0].any() and t.valid[:, 1:].all()


def test_gradients_reach_the_tensors():
    q, k, _ = qkv(B=1, T=5, H=2, Hk=1, D=3)
    g, sink, w, beta = logsigmoid(randn(1, 5, 2, seed=4)), randn(2, seed=5), randn(1, 5, 1, 3, seed=6), torch.rand(1, 5, 1, dtype=torch.float64)
    mask = torch.tensor([[0, 1, 1, 1, 1]])
    functions = {
        "softmax": (lambda q, k, sink: families.softmax_attention(q, k, s_aux=sink, softcap=2.0, attention_mask=mask), (q, k, sink)),
        "forgetting": (lambda q, k, g: families.forgetting_attention(q, k, g, attention_mask=mask), (q, k, g)),
        "path": (lambda q, k, w, beta, g: families.path_attention(q, k, w, beta, g).attention, (q, k, w, beta, g)),
        "linear": (lambda q, k: families.linear_attention(q, k), (q, k.repeat_interleave(2, 2))),
        "norm": (lambda n: families.norm_attention(n), (g,)),
        "based": (lambda q, k: families.based(q, k), (q, k.repeat_interleave(2, 2))),
    }
    for name, (function, given) in functions.items():
        leaves = [x.detach().clone().requires_grad_() for x in given]
        assert torch.autograd.gradcheck(lambda *x, f=function: f(*x).eigvals().real, leaves), name


def test_nan_stays_in_its_row():
    q, k, _ = qkv(T=70)
    clean = families.softmax_attention(q, k).value
    q[0, 40, 1] = math.nan
    found = families.softmax_attention(q, k).value
    bad = torch.zeros_like(found, dtype=torch.bool)
    bad[0, 40:42, 1] = True  # L_40 stands in two ratios
    assert found[bad].isnan().all() and torch.equal(found[~bad], clean[~bad])


@pytest.mark.parametrize(("B", "T"), [(0, 5), (2, 0), (2, 1)])
def test_empty_and_one(B, T):
    q, k, _ = qkv(B=B, T=T)
    w, beta, g = k, k[..., 0], q[..., 0]
    same = k.repeat_interleave(2, 2)
    for t in (
        families.softmax_attention(q, k),
        families.softmax_attention(q, k, paper_compat=True),
        families.forgetting_attention(q, k, g),
        families.path_attention(q, k, w, beta).attention,
        families.linear_attention(q, same),
        families.norm_attention(g),
        families.based(q, same),
    ):
        assert t.eigvals().shape[:3] == (B, T, 4)
        assert not t.valid.any()
        assert dataclasses.replace(t, multiplicity=4).multiplicity == 4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k": torch.zeros(2, 33, 3, 8)}, ValueError, "multiple of the number of key heads"),
        ({"k": torch.zeros(2, 20, 2, 8)}, ValueError, "at least as many keys"),
        ({"k": torch.zeros(2, 33, 2, 9)}, ValueError, "with D = 8"),
        ({"sliding_window": 0}, ValueError, "sliding_window >= 1"),
        ({"sliding_window": 2, "causal": False}, ValueError, "causal attention only"),
        ({"alibi_slopes": torch.ones(4), "causal": False}, ValueError, "causal attention only"),
        ({"s_aux": torch.ones(3)}, ValueError, "s_aux"),
        ({"attention_mask": torch.ones(2, 7)}, ValueError, "attention_mask of shape"),
        ({"attention_mask": torch.ones(2, 1, 33, 33, dtype=torch.int64)}, TypeError, "floating dtype or boolean"),
        ({"cu_seqlens": torch.tensor([0, 33])}, ValueError, "batch of one row"),
        ({"cu_seqlens": torch.tensor([0, 33]), "seq_idx": torch.zeros(2, 33)}, TypeError, "at most one"),
        ({"seq_idx": torch.zeros(2, 5)}, ValueError, "seq_idx of shape"),
    ],
)
def test_errors(change, error, message):
    q, k, _ = qkv(dtype=torch.float32)
    arguments = {"q": q, "k": k} | change
    with pytest.raises(error, match=message):
        families.softmax_attention(arguments.pop("q"), arguments.pop("k"), **arguments)
