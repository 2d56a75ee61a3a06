"""RWKV-4, 5 and 6: decays per channel, ``exp(-exp(.))`` of what the model learns or computes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Diagonal


@family("RWKV-4", "C1", cost="O(n)", range="(0, 1); normalised (0, 1)", gauge="raw, normalised", source="arXiv:2305.13048; transformers RwkvSelfAttention")
def rwkv4(time_decay: Tensor, *, key: Tensor | None = None) -> Diagonal:
    """RWKV-4, numerator and denominator of an average per channel::

        num_t = lambda num_{t-1} + e^{k_t} v_t          den_t = lambda den_{t-1} + e^{k_t}          lambda = exp(-exp(time_decay))

    With the keys, the decay of the average num/den itself: ``lambda den_{t-1} / den_t``, which depends on the position (the bonus of the
    current token, `time_first`, only enters the read-out and is left aside).

    Args:
        time_decay: ``(D,)``, the layer's parameter.
        key: ``(..., T, D)``, for the normalised gauge.

    Returns:
        `Diagonal` of shape ``(D, D)`` with log lambda, constant in t, multiplicity 2 for num and den; with key of shape ``(..., T, D, D)``, whose
        first position, with nothing before it, is 0 and not valid.
        Eigenvalues: real, in (0, 1).  Gauge: raw (the running maximum that the kernels subtract is no part of it), or normalised with key.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Peng et al., arXiv:2305.13048; transformers rwkv_linear_attention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.rwkv4(torch.zeros(2)).horizon().tolist()
    [1.0, 1.0]
    """
    decay, k = _arguments.tensors("rwkv4", {"time_decay": "D", "key": "... T D ?"}, time_decay=time_decay, key=key)
    decay = -decay.exp()
    if key is None:
        return Diagonal(decay, log=True, time=None, multiplicity=2)
    den, logs = k.new_full((*k.shape[:-2], k.shape[-1]), -torch.inf), []
    for k_t in k.unbind(-2):
        logs.append(logsigmoid(den + decay - k_t))  # log(lambda den_{t-1} / den_t)
        den = torch.logaddexp(den + decay, k_t)
    value = torch.stack(logs, -2) if logs else torch.zeros_like(k)
    valid = (torch.arange(k.shape[-2], device=k.device) > 0).expand(k.shape[:-1])
    return Diagonal(value, log=True, valid=valid, gauge="normalised")


@family("RWKV-5", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2404.05892; RWKV-LM v5")
def rwkv5(w: Tensor | None = None, *, time_decay: Tensor | None = None) -> Diagonal:
    """RWKV-5 (Eagle): ``S_t = Diag(exp(w)) S_{t-1} + k_t v_t^T`` per head, read before the update with a bonus for the current token.

    Args:
        w: ``(H, K)``, log decay.
        time_decay: ``(H, K)`` in place of w, the layer's parameter: ``w = -exp(time_decay)``.

    Returns:
        `Diagonal` of shape ``(H, K, K)`` with log decay, constant in t.  Eigenvalues: real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of w and time_decay is given.

    Source: Peng et al., arXiv:2404.05892; RWKV-LM.  RWKV keeps the state as V x K and multiplies from the right: the same spectrum.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.rwkv5(time_decay=torch.randn(4, 8))
    Diagonal(shape=(4, 8, 8), dtype=torch.float32)
    """
    return Diagonal(_log_decay("rwkv5", "H K", w, "time_decay", time_decay), log=True, time=None)


@family("RWKV-6", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2404.05892; fla RWKV6Attention")
def rwkv6(w: Tensor | None = None, *, w_proj: Tensor | None = None) -> Diagonal:
    """RWKV-6 (Finch): ``S_t = Diag(exp(w_t)) S_{t-1} + k_t v_t^T`` per head, read before the update with a bonus for the current token.

    Args:
        w: ``(..., T, H, K)``, log decay, as ``chunk_rwkv6(w=)`` takes it.
        w_proj: ``(..., T, H, K)`` in place of w, the output of the layer's low-rank projection, bias included: ``w = -exp(w_proj)``.

    Returns:
        `Diagonal` of shape ``(..., T, H, K, K)`` with log decay.  Eigenvalues: real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of w and w_proj is given.

    Source: Peng et al., arXiv:2404.05892; fla RWKV6Attention.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.rwkv6(w_proj=torch.randn(2, 7, 3, 16))
    Diagonal(shape=(2, 7, 3, 16, 16), dtype=torch.float32)
    """
    return Diagonal(_log_decay("rwkv6", "... T H K", w, "w_proj", w_proj), log=True, time=-2)


def _log_decay(name: str, shape: str, w: Tensor | None, raw_name: str, raw: Tensor | None) -> Tensor:
    given, value = _arguments.one_of(name, **{"w": w, raw_name: raw})
    (value,) = _arguments.tensors(name, {given: shape}, **{given: value})
    return value if given == "w" else -value.exp()
