"""What the outermost call says of the batch: which positions count, and where they stand in their sequences."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from spectral_kernels.api.capture.calls import Call
from spectral_kernels.api.transitions import Transition

_CACHES = ("past_key_values", "cache_params", "past_key_value", "state")
_TOKENS = ("input_ids", "inputs_embeds", "decoder_input_ids", "hidden_states", "input", "x")


class Batch:
    """One call of the outermost module.

    `memory` belongs to the sequences: it lasts as long as calls go on where the one before ended.
    """

    def __init__(self, arguments: dict[str, Any] | None = None, before: Batch | None = None) -> None:
        given = {name: value.detach() if isinstance(value, Tensor) else value for name, value in (arguments or {}).items()}
        self._mask = _mask(given)
        self._documents = {name: value for name in ("position_ids", "seq_idx", "cu_seqlens") if isinstance(value := given.get(name), Tensor)}
        length = next((int(given[name].shape[1]) for name in _TOKENS if isinstance(given.get(name), Tensor) and given[name].dim() > 1), None)
        self.start = _start(given, self._mask, length, before)
        self.end = self.start + (length or 0)
        self._memories: dict[str, dict[str, Any]] = before._memories if before is not None and self.start and self.start == before.end else {}
        self._entries: dict[nn.Module, int] = {}
        self._cache: Any = None

    def following(self, arguments: dict[str, Any]) -> Batch:
        """The next call, which may go on with the sequences of this one."""
        return Batch(arguments, self)

    def leave(self, arguments: dict[str, Any], returned: Any) -> None:
        """Remembers which cache holds these sequences, without keeping it."""
        cache = next((c for c in (_cache(arguments), _cache(returned)) if c is not None), None)
        self._cache = None if cache is None else _reference(cache)

    def fills(self, cache: Any) -> bool:
        """Whether this call has left its state in `cache`."""
        return self._cache is not None and cache is not None and self._cache == _reference(cache)

    def memory(self, name: str) -> dict[str, Any]:
        """What the observer of a recurrence keeps of these sequences."""
        return self._memories.setdefault(name, {})

    def entries(self, module: nn.Module) -> int:
        """How often a module has run in this batch before; counts this time."""
        before = self._entries.get(module, 0)
        self._entries[module] = before + 1
        return before

    def valid(self, B: int, T: int, device: torch.device, call: Call | None) -> Tensor | None:
        """``(B, T)``, False at padding and at the first position of packed documents; None: all count."""
        valid = self._mask[:, -T:] if self._mask is not None and self._mask.shape[0] == B and self._mask.shape[1] >= T else None
        first = _first_of_documents(self._documents | ({} if call is None else _document_arguments(call)), B, T)
        if first is not None:
            valid = ~first if valid is None else valid.to(first.device) & ~first
        return None if valid is None else valid.to(device)

    def masked(self, t: Transition, call: Call | None) -> Transition:
        """`t (B, T, ...)` with what does not count invalid."""
        if not t.time or len(t.batch_shape) + t.time != 1:
            return t
        B, T = t.batch_shape[:2]
        if (valid := self.valid(B, T, t.device, call)) is None:
            return t
        valid = valid.reshape(B, T, *(1,) * (len(t.batch_shape) - 2)).expand(t.batch_shape)
        return replace(t, valid=valid if t.valid is None else t.valid & valid)


def _mask(given: dict[str, Any]) -> Tensor | None:
    mask = given.get("attention_mask")
    if mask is None:
        mask = given.get("decoder_attention_mask")
    if isinstance(mask, dict):
        mask = next((m for m in mask.values() if isinstance(m, Tensor)), None)
    return mask != 0 if isinstance(mask, Tensor) and mask.dim() == 2 else None


def _cache(of: Any) -> Any:
    """The cache among arguments or outputs."""
    found = (of.get(name) if isinstance(of, dict) else getattr(of, name, None) for name in _CACHES)
    return next((cache for cache in found if cache is not None), None)


def _reference(cache: Any) -> Any:
    try:
        return weakref.ref(cache)
    except TypeError:  # lists and tuples
        return id(cache)


def _start(given: dict[str, Any], mask: Tensor | None, length: int | None, before: Batch | None) -> int:
    """How many tokens of these sequences the model has seen in earlier calls."""
    position, cache = given.get("cache_position"), _cache(given)
    if isinstance(position, Tensor) and position.numel():
        return int(position.reshape(-1)[0])
    if hasattr(cache, "get_seq_length"):
        try:
            if seen := int(cache.get_seq_length()):
                return seen
        except (TypeError, ValueError, IndexError, AttributeError):  # caches of layers that do not count
            pass
    if before is not None and before.fills(cache):
        return before.end
    if mask is not None and length is not None and mask.shape[1] > length:
        return int(mask.shape[1]) - length
    ids = given.get("position_ids")
    if isinstance(ids, Tensor) and ids.dim() == 2 and length == 1 and ids.shape[1] == 1:
        return int(ids.max())
    return 0


def _document_arguments(call: Call) -> dict[str, Tensor]:
    found = {name: call.first(*names) for name, names in {"seq_idx": ("seq_idx",), "cu_seqlens": ("cu_seqlens", "cu_seq_lens_q")}.items()}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _first_of_documents(given: dict[str, Tensor], B: int, T: int) -> Tensor | None:
    """``(B, T)``, True at the first position of every document but the one that the batch begins with."""
    found = []
    ids, index, ends = (given.get(name) for name in ("position_ids", "seq_idx", "cu_seqlens"))
    if ids is not None and ids.dim() == 2 and ids.shape[1] == T > 1 and ids.shape[0] in (1, B):
        found.append(pad(ids[:, 1:] != ids[:, :-1] + 1, (1, 0)).expand(B, T))
    if index is not None and index.shape == (B, T):
        found.append(pad(index[:, 1:] != index[:, :-1], (1, 0)))
    if ends is not None and ends.dim() == 1 and B == 1:
        begins = torch.zeros(1, T, dtype=torch.bool, device=ends.device)
        begins[0, ends[(ends > 0) & (ends < T)].long()] = True
        found.append(begins)
    found = [first for first in found if first.any()]
    return torch.stack([first.to(found[0].device) for first in found]).any(0) if found else None
