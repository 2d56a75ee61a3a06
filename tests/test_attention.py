"""The log-sum-exp of attention's rows: the kernel against the definition, the definition against plain loops, the op's rules."""

from __future__ import annotations

import math

import pytest
import torch
from attention_cases import OPTIONS, TOLERANCE, inputs, ragged, randn

from spectral_kernels import ops
from spectral_kernels.ops import attention as op_module
from spectral_kernels.reference import attention_lse as reference


def lse(q, k, start, end, bias=None, key_bias=None, scale=0.3, softcap=0.0):
    return ops.attention_lse(q, k, start, end, bias, key_bias, scale, softcap)


SIZES = [(1, 1, 1, 1, 1, 1), (2, 4, 2, 1, 65, 16), (2, 4, 4, 17, 17, 3), (1, 6, 2, 65, 65, 64), (1, 2, 1, 50, 131, 33), (2, 2, 2, 7, 1, 8)]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("sight", ["causal", "ragged"])
def test_kernel_is_the_definition(option, dtype, sight):
    for B, H, Hk, T, S, D in SIZES:
        q, k, start, end = inputs(B, H, Hk, T, S, D, dtype)
        if sight == "ragged":
            start, end = ragged(B, T, S)
        options = {name: value(B, H, T, S, dtype) if callable(value) else value for name, value in OPTIONS[option].items()}
        found = lse(q, k, start, end, **options)
        expected = reference.attention_lse(q, k, start, end, **({"scale": 0.3} | options))
        assert found.dtype == torch.float64 and found.shape == (B, H, T)
        assert torch.equal(found == -math.inf, expected == -math.inf)
        torch.testing.assert_close(found, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype] / 10)


@pytest.mark.isa
def test_the_extension_has_the_kernel():
    """Without it the definition would serve, and pass."""
    assert torch._C._dispatch_has_kernel_for_dispatch_key("spectral_kernels::attention_lse", "CPU")


def test_definition_against_a_loop():
    q, k, _, _ = inputs(T=5, S=9, dtype=torch.float64)
    start, end = ragged(2, 5, 9)
    bias, key_bias = randn(2, 4, 5, 9), randn(2, 4, 9, seed=4)
    found = reference.attention_lse(q, k, start, end, bias, key_bias, 0.3, 2.0)
    for b in range(2):
        for h in range(4):
            for i in range(5):
                total = 0.0
                for j in range(9):
                    if start[b, i] <= j < end[b, i]:
                        dot = sum(float(x) * float(y) for x, y in zip(q[b, h, i], k[b, h // 2, j], strict=True))
                        total += math.exp(2.0 * math.tanh(0.3 * dot / 2.0) + float(bias[b, h, i, j]) + float(key_bias[b, h, j]))
                assert float(found[b, h, i]) == pytest.approx(math.log(total) if total else -math.inf, abs=1e-12)


@pytest.mark.isa
def test_logits_of_a_thousand_neither_overflow_nor_lose_their_digits():
    q, k, start, end = inputs(T=70, D=64)
    q = q * 1000 / 8
    found, expected = lse(q, k, start, end, scale=1.0), reference.attention_lse(q, k, start, end, scale=1.0)
    assert float(expected.abs().max()) > 1000
    assert float((found - expected).abs().max()) <= 64 * torch.finfo(torch.float32).eps * 1000  # the dot products' own rounding


@pytest.mark.isa
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_uniform_rows_count_their_keys(dtype):
    """Sums of up to 20 000 equal terms, exact in spite of float32: lambda = i / (i + 1)."""
    T = 20_000
    q = torch.zeros(1, 1, T, 4, dtype=dtype)
    position = torch.arange(T)[None]
    torch.testing.assert_close(lse(q, q, torch.zeros_like(position), position + 1)[0, 0], (position[0] + 1).double().log(), atol=1e-14, rtol=1e-15)


@pytest.mark.isa
def test_long_rows_do_not_drift():
    """The error of float32 sums does not grow with the number of keys."""
    q, k, _, _ = inputs(B=1, H=1, Hk=1, T=2, S=100_000, D=8)
    start, end = torch.zeros(1, 2, dtype=torch.int64), torch.full((1, 2), 100_000)
    assert float((lse(q, k, start, end) - reference.attention_lse(q, k, start, end, scale=0.3)).abs().max()) <= 2e-7


def test_large_cumulative_gates_keep_their_digits():
    q, k, start, end = inputs(T=300)
    key_bias = 1e6 + 3.0 * torch.arange(300, dtype=torch.float64).expand(1, 4, 300)
    torch.testing.assert_close(lse(q, k, start, end, key_bias=key_bias), reference.attention_lse(q, k, start, end, key_bias=key_bias, scale=0.3), atol=1e-6, rtol=0)


@pytest.mark.isa
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_query_harms_its_row_and_a_bad_key_who_sees_it(value):
    q, k, start, end = inputs(T=65)
    clean = lse(q, k, start, end)
    bad = q.clone()
    bad[0, 1, 20, 3] = value
    found = lse(bad, k, start, end)
    assert found[0, 1, 20].isnan()
    found[0, 1, 20] = clean[0, 1, 20]
    assert torch.equal(found, clean)
    bad = k.clone()
    bad[0, 0, 40] = value
    for options in ({}, {"softcap": 3.0}):
        clean = lse(q, k, start, end, **options)
        found = lse(q, bad, start, end, **options)
        sees = (torch.arange(65) >= 40).expand(2, 4, 65) & torch.tensor([[True, True, False, False], [False] * 4])[..., None]
        assert torch.equal(found[~sees], clean[~sees])
        if not options or value is math.nan:
            assert (found[sees].isnan() | ~reference.attention_lse(q, bad, start, end, scale=0.3)[sees].isnan()).all()
    hidden = torch.zeros(1, 1, 65, dtype=torch.float64)
    hidden[..., 40] = -math.inf
    assert lse(q, bad, start, end, key_bias=hidden).isfinite().all()
    assert lse(q, bad, start, end, bias=hidden.float()[:, :, None]).isfinite().all()


@pytest.mark.isa
def test_bits_do_not_depend_on_batch_block_or_threads():
    q, k, start, end = inputs(B=3, T=200, D=24)
    gates = randn(1, 1, 200).cumsum(-1)
    whole = lse(q, k, start, end, key_bias=gates)
    assert torch.equal(lse(q[1:2], k[1:2], start[1:2], end[1:2], key_bias=gates), whole[1:2])
    for first, count in ((0, 1), (37, 5), (90, 110)):  # one register of queries, or several; other block mates
        rows = slice(first, first + count)
        assert torch.equal(lse(q[:, :, rows], k, start[:, rows], end[:, rows], key_bias=gates), whole[:, :, rows])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(lse(q, k, start, end, key_bias=gates), whole)
    finally:
        torch.set_num_threads(before)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_strides(dtype):
    q, k, start, end = inputs(T=65, D=24, dtype=dtype)
    expected = lse(q, k, start, end)
    other = {
        "(B, T, H, D)": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        "(B, H, D, T)": lambda x: x.mT.contiguous().mT,
        "every other": lambda x: x.repeat_interleave(2, -1)[..., ::2],
        "a part": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    }
    for name, change in other.items():
        assert torch.equal(lse(change(q), change(k), start, end), expected), name
    one = k[:1, :1]
    assert torch.equal(lse(q, one.expand(2, 1, -1, -1), start, end), lse(q, one.repeat(2, 1, 1, 1), start, end))


def test_grouped_queries_are_repeated_keys():
    q, k, start, end = inputs(H=6, Hk=2)
    assert torch.equal(lse(q, k, start, end), lse(q, k.repeat_interleave(3, 1), start, end))


@pytest.mark.parametrize("shape", [(0, 2, 2, 5, 5, 4), (1, 0, 1, 5, 5, 4), (1, 2, 2, 0, 5, 4), (1, 2, 2, 5, 0, 4), (1, 2, 2, 5, 5, 0)])
def test_empty(shape):
    q, k, start, end = inputs(*shape[:3], T=shape[3], S=shape[4], D=shape[5])
    found = lse(q, k, start, end)
    torch.testing.assert_close(found, reference.attention_lse(q, k, start, end, scale=0.3))


@pytest.mark.parametrize("options", [{}, {"softcap": 1.5}, {"bias": (2, 1, 5, 7), "key_bias": (1, 4, 7)}], ids=["plain", "softcap", "biases"])
def test_gradients(options, monkeypatch):
    monkeypatch.setattr(op_module, "_LOGITS_AT_ONCE", 2 * 4 * 7 * 2)  # two queries at a time
    q, k, _, _ = inputs(T=5, S=7, D=3, dtype=torch.float64)
    start, end = torch.tensor([[0, 1, 2, 3, 4]] * 2), torch.tensor([[3, 4, 2, 7, 7]] * 2)  # the third query sees nothing
    tensors = {"q": q, "k": k} | {name: randn(*shape) for name, shape in options.items() if isinstance(shape, tuple)}
    plain = {name: value for name, value in options.items() if not isinstance(value, tuple)}
    leaves = [t.requires_grad_() for t in tensors.values()]

    def function(*values):
        named = dict(zip(tensors, values, strict=True))
        return lse(named.pop("q"), named.pop("k"), start, end, **named, **plain)[:, :, [0, 1, 3, 4]]

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)
    whole = lse(leaves[0], leaves[1], start, end)
    assert all(g.isfinite().all() for g in torch.autograd.grad(whole[:, :, [0, 1, 3, 4]].sum(), leaves[:2]))


def test_other_devices_run_the_definition_in_pieces(monkeypatch):
    monkeypatch.setattr(op_module, "_LOGITS_AT_ONCE", 2 * 4 * 17 * 3)
    q, k, start, end = inputs(dtype=torch.float64)
    bias, key_bias = randn(2, 1, 17, 17), randn(1, 4, 17)
    found = op_module._attention_lse(q, k, start, end, bias, key_bias, 0.3, 2.0)
    torch.testing.assert_close(found, reference.attention_lse(q, k, start, end, bias, key_bias, 0.3, 2.0), rtol=1e-14, atol=1e-14)


def test_opcheck_and_vmap():
    q, k, start, end = inputs(T=5, dtype=torch.float64)
    bias, key_bias = randn(2, 1, 5, 5), randn(1, 4, 5)
    for args in ((q, k, start, end, None, None, 0.3, 0.0), (q.requires_grad_(), k, start, end, bias.requires_grad_(), key_bias, 0.3, 2.0)):
        torch.library.opcheck(torch.ops.spectral_kernels.attention_lse.default, args)
    q, many = q.detach(), randn(3, 2, 2, 5, 16)
    found = torch.vmap(lambda keys: lse(q, keys, start, end, bias=bias.detach(), key_bias=key_bias))(many)
    torch.testing.assert_close(found, torch.stack([lse(q, keys, start, end, bias=bias.detach(), key_bias=key_bias) for keys in many]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.zeros(2, 3, 17, 16)}, "H a multiple of Hk"),
        ({"q": torch.zeros(2, 4, 17, 16, dtype=torch.float16)}, "both float32 or both float64"),
        ({"start": torch.zeros(2, 17, dtype=torch.int32)}, "of start"),
        ({"end": torch.zeros(2, 16, dtype=torch.int64)}, "of end"),
        ({"bias": torch.zeros(2, 4, 17, 16)}, "bias's axis 3"),
        ({"key_bias": torch.zeros(2, 4, 17)}, "of key_bias"),
    ],
)
def test_the_op_refuses(change, message):
    q, k, start, end = inputs()
    with pytest.raises(RuntimeError, match=message):
        lse(**({"q": q, "k": k, "start": start, "end": end} | change))


@pytest.mark.slow
def test_memory_is_linear():
    """T = 16 384: the logits would take 1 GiB."""
    import resource

    q, k, start, end = inputs(B=1, H=1, Hk=1, T=16_384, D=16)
    lse(q[:, :, :64], k[:, :, :64], start[:, :64], end[:, :64])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lse(q, k, start, end)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_torchs_flash_attention_agrees():
    q, k, start, end = inputs(B=2, H=3, Hk=3, T=130, D=32)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, torch.randn_like(k), 0.0, True, scale=0.3)[1]
    torch.testing.assert_close(lse(q, k, start, end), flash.double(), atol=2e-6, rtol=0)
