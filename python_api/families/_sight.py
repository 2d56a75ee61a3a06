"""Masks of attention as the run of keys that each query sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Sight(NamedTuple):
    """What each query sees, and where a position continues the one before it."""

    start: Tensor  # (B, T) int64, first key
    end: Tensor  # (B, T) int64, one past the last key
    hidden: Tensor | None  # (B, S), keys that nobody sees
    continues: Tensor  # (B, T)


def sight(
    name: str,
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    causal: bool = True,
    window: int | None = None,
    padding: Tensor | None = None,
    segments: Tensor | None = None,
) -> Sight:
    """From the masks that leave each query a run of keys; `shape` is (B, T, S), and the queries are the last T of S positions."""
    B, T, S = shape
    if causal and T > S:
        raise ValueError(f"families.{name}: expected at least as many keys as queries, which are the last positions; got {S} keys and {T} queries")
    if window is not None and not causal:
        raise ValueError(f"families.{name}: expected a sliding window with causal attention only")
    position = torch.arange(S - T, S, device=device).expand(B, T)
    start = torch.zeros_like(position)
    end = position + 1 if causal else torch.full_like(position, S)
    if window is not None:
        start = (position + 1 - window).clamp(min=0)
    continues = torch.ones(B, T, dtype=torch.bool, device=device)
    if segments is not None:
        index = torch.arange(S, device=device)
        first = torch.cat([torch.ones_like(segments[:, :1], dtype=torch.bool), segments[:, 1:] != segments[:, :-1]], 1)
        begin = torch.where(first, index, 0).cummax(1).values
        start = torch.maximum(start, begin[:, S - T :])
        if not causal:
            length = torch.where(first.roll(-1, 1), index + 1, S).flip(1).cummin(1).values.flip(1)  # the end of each position's run
            end = torch.minimum(end, length[:, S - T :])
        continues = continues & ~first[:, S - T :]
    if padding is not None:
        real = padding[:, S - T :]
        continues = continues & real & pad(real[:, :-1], (1, 0))
    continues = continues & (torch.arange(T, device=device) > 0)
    return Sight(start, end, None if padding is None else ~padding, continues)


def segments(name: str, B: int, S: int, cu_seqlens: Tensor | None, seq_idx: Tensor | None) -> Tensor | None:
    """The number of each key's document ``(B, S)``, from either way of saying it."""
    if cu_seqlens is None and seq_idx is None:
        return None
    if cu_seqlens is not None and seq_idx is not None:
        raise TypeError(f"families.{name}: expected at most one of cu_seqlens and seq_idx; got both")
    if seq_idx is not None:
        if not isinstance(seq_idx, Tensor) or seq_idx.shape != (B, S):
            raise ValueError(f"families.{name}: expected seq_idx of shape {(B, S)}, got {tuple(getattr(seq_idx, 'shape', ()))}")
        return seq_idx
    assert cu_seqlens is not None
    if B != 1 or cu_seqlens.dim() != 1 or cu_seqlens.is_floating_point():
        raise ValueError(f"families.{name}: expected cu_seqlens (N + 1) of integers beside a batch of one row, got {tuple(cu_seqlens.shape)} {cu_seqlens.dtype} and {B} rows")
    return torch.searchsorted(cu_seqlens.contiguous(), torch.arange(S, device=cu_seqlens.device, dtype=cu_seqlens.dtype), right=True)[None]


def padding_and_bias(name: str, mask: Tensor | None, shape: tuple[int, int, int, int], dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """`attention_mask` as padding ``(B, S)``, True where a token is real, or as a bias of four axes."""
    B, _, _, S = shape
    if mask is None:
        return None, None
    if not isinstance(mask, Tensor):
        raise TypeError(f"families.{name}: attention_mask must be Tensor, not {type(mask).__name__}")
    if mask.dim() == 2 and mask.shape == (B, S):
        return mask != 0, None
    if mask.dim() != 4 or any(m not in (1, s) for m, s in zip(mask.shape, shape, strict=True)):
        raise ValueError(f"families.{name}: expected attention_mask of shape {(B, S)}, or with axes of 1 or of {shape}; got {tuple(mask.shape)}")
    if mask.dtype == torch.bool:
        return None, torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -math.inf)
    if not mask.is_floating_point():
        raise TypeError(f"families.{name}: expected an attention_mask of four axes of a real floating dtype or boolean, got {mask.dtype}")
    return None, mask.masked_fill(mask <= torch.finfo(mask.dtype).min, -math.inf).to(dtype)  # transformers writes the smallest number for -inf
