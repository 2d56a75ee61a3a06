"""Convolutions as recurrences: finite filters forget everything after their length, infinite ones have poles."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Companion, ShiftRegister


@family("Short convolution (LFM2, conv1d of every SSM)", "C9", cost="O(1)", range="0", source="transformers Lfm2ShortConv")
def short_conv(weight: Tensor) -> ShiftRegister:
    """Causal depthwise convolution, ``y_t = sum_j w_j x_{t-j}``: the state is the last L - 1 inputs, shifted by one at every step.

    In front of another recurrence it makes the whole block triangular: the spectrum is that of the recurrence, and these zeros.  Taps
    that depend on the input change nothing in this.

    Args:
        weight: ``(D, 1, L)`` as `torch.nn.Conv1d` has it, or ``(D, L)``.

    Returns:
        `ShiftRegister` of shape ``(D, L - 1, L - 1)``, constant in t.  Eigenvalues: all 0, in one Jordan block: after L - 1 steps an input is forgotten to the
        last bit.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor.

    Source: LFM2, transformers Lfm2ShortConv; Gu & Dao, arXiv:2312.00752, for the convolution in front of a scan.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.families.short_conv(torch.nn.Conv1d(6, 6, 4, groups=6).weight)
    >>> t.shape, t.spectral_radius().max().item(), bool((t.window(3).dense() == 0).all())
    (torch.Size([6, 3, 3]), 0.0, True)
    """
    (w,) = _arguments.tensors("short_conv", {"weight": "D 1 L" if getattr(weight, "ndim", 2) == 3 else "D L"}, weight=weight)
    return ShiftRegister(max(w.shape[-1] - 1, 0), w.new_zeros(w.shape[0]))


@family("Long convolution (Hyena)", "C9", cost="O(1)", range="0", source="arXiv:2302.10866")
def long_conv(k: Tensor) -> ShiftRegister:
    """Convolution with a filter as long as the sequence, ``y_t = sum_j k_j x_{t-j}``: as a recurrence, a register of L - 1 inputs.

    A filter distilled to a recurrence of few modes has poles: `iir`, or `s4d` where they are given.

    Args:
        k: ``(..., D, L)``, the filter.

    Returns:
        `ShiftRegister` of shape ``(..., D, L - 1, L - 1)``, constant in t.  Eigenvalues: all 0, in one Jordan block.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor.

    Source: Poli et al., arXiv:2302.10866.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.long_conv(torch.randn(6, 1024)).shape
    torch.Size([6, 1023, 1023])
    """
    (k,) = _arguments.tensors("long_conv", {"k": "... D L"}, k=k)
    return ShiftRegister(max(k.shape[-1] - 1, 0), k.new_zeros(k.shape[:-1]))


@family("Sliding buffer", "C9", cost="O(1)", range="0", source="arXiv:2004.05150")
def sliding_buffer(window: int, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> ShiftRegister:
    """The last `window` tokens, as a sliding-window cache keeps them: the newest in, the oldest out.

    This is the realisation of windowed attention with a finite state; `softmax_attention` with a window is the one with a normaliser.

    Args:
        window: how many tokens are kept.
        dtype, device: of the result.

    Returns:
        `ShiftRegister` of shape ``(window, window)``, constant in t.  Eigenvalues: all 0, in one Jordan block.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type or size of window.

    Source: Beltagy et al., arXiv:2004.05150.

    >>> import spectral_kernels as sk
    >>> sk.families.sliding_buffer(3).dense().tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    return ShiftRegister(_arguments.size("sliding_buffer", "window", window), torch.zeros((), dtype=dtype, device=device))


@family("Autoregression", "C9", cost="O(n^3)", range="any", source="Yule (1927)")
def autoregression(coefficients: Tensor) -> Companion:
    """``x_t = c_1 x_{t-1} + ... + c_p x_{t-p} + u_t``: the state is the last p values.

    Args:
        coefficients: ``(..., p)``, c_1 first.

    Returns:
        `Companion` of shape ``(..., p, p)``, constant in t.  Eigenvalues: the roots of ``x^p - c_1 x^(p-1) - ... - c_p``, of any modulus; repeated roots are
        defective.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor.

    Source: Yule (1927); Box & Jenkins (1970).

    >>> import torch, spectral_kernels as sk
    >>> sk.families.autoregression(torch.tensor([1.0, -0.5])).spectral_radius().round(decimals=4)  # (1 +- i) / 2
    tensor(0.7071)
    """
    return Companion(_arguments.tensors("autoregression", {"coefficients": "... p"}, coefficients=coefficients)[0], time=None)


@family("IIR filter (distilled Hyena)", "C9", cost="O(n^3)", range="|lambda| < 1 where stable", source="arXiv:2310.18780; scipy.signal.lfilter")
def iir(a: Tensor) -> Companion:
    """Recursive filter: ``a_0 y_t = b_0 x_t + ... + b_q x_{t-q} - a_1 y_{t-1} - ... - a_p y_{t-p}``; its poles, which b does not move.

    Args:
        a: ``(..., p + 1)``, the denominator, a_0 first, as `scipy.signal.lfilter` takes it.

    Returns:
        `Companion` of shape ``(..., p, p)``, constant in t.  Eigenvalues: the poles, ``|lambda| < 1`` for a stable filter.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor.

    Source: Massaroli et al., arXiv:2310.18780, for filters distilled from long convolutions; scipy.signal.lfilter.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.iir(torch.tensor([2.0, -1.8])).eigvals().real.round(decimals=4)
    tensor([0.9000])
    """
    (a,) = _arguments.tensors("iir", {"a": "... p+1"}, a=a)
    if a.shape[-1] < 1:
        raise ValueError(f"families.iir: expected a (..., p + 1) with at least a_0, got shape {tuple(a.shape)}")
    return Companion(-a[..., 1:] / a[..., :1], time=None)
