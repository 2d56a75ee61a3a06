"""What a capture listens to: the registry of kernel calls, and what each says of a recurrence."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from spectral_kernels.api.transitions import Transition

if TYPE_CHECKING:
    from spectral_kernels.api.capture.replay import Comparison, Replay


class Unsupported(Exception):
    """A call whose recurrence cannot be captured; the message says why, for the user."""


@dataclass
class Call:
    """One call of something that is listened to.

    Args:
        kernel: its name, under which it is registered.
        arguments: by name, tensors detached.
        returned: what it returned, likewise.
        module: the innermost module around the call.
        start: the position of the first token, where the model keeps a cache.
        replayed: whether a `Replay` is wanted.
        before: copies, made in front of the call, of the arguments that it overwrites; empty unless a replay is wanted.
        memory: what the observer of this recurrence wants to find again at the next call of the same sequences.
    """

    kernel: str
    arguments: dict[str, Any]
    returned: Any
    module: Any
    start: int = 0
    replayed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    def first(self, *names: str) -> Any:
        """The first argument of these names that is not None: libraries name one thing differently."""
        return next((self.arguments[name] for name in names if self.arguments.get(name) is not None), None)

    @property
    def output(self) -> Tensor:
        """The first tensor of what was returned."""
        first = self.returned
        while isinstance(first, (tuple, list)):
            first = first[0]
        found: Tensor = first
        return found


class Observation(NamedTuple):
    """A recurrence in a call.

    Args:
        transition: ``(B, T)`` or ``(B, T, H)``, or constant.
        family: the function of `sk.families` that made it.
        replay: how its recurrence is run again; None: it cannot be.
        part: what tells it from the other recurrences of its layer, put behind a colon, or as it is where it begins with a point.
        head: where each head is a call of its own, which of how many this is.
        positions: of a constant transition, the sequences and tokens that it stands for.
        note: see `Record`.
    """

    transition: Transition
    family: str
    replay: Replay | Comparison | None = None
    part: str = ""
    head: tuple[int, int] | None = None
    positions: tuple[int, int] | None = None
    note: str = ""


Observer = Callable[[Call], Iterable[Observation]]


class Kernel(NamedTuple):
    """What is listened to, and how it is understood."""

    name: str
    observe: Observer
    overwrites: tuple[str, ...] = ()  # arguments that the call changes in place
    covers: bool = False  # calls inside of it say the same once more


# By name: module globals (and instance attributes) that are called, "Class.method", and classes whose forward is one call.
FUNCTIONS: dict[str, Kernel] = {}
METHODS: dict[str, Kernel] = {}
MODULES: dict[str, Kernel] = {}


def _register(registry: dict[str, Kernel], names: tuple[str, ...], overwrites: tuple[str, ...], covers: bool) -> Callable[[Observer], Observer]:
    def enter(observe: Observer) -> Observer:
        for name in names:
            if name in registry:
                raise ValueError(f"capture: {name!r} is listened to already")
            registry[name] = Kernel(name, observe, overwrites, covers)
        return observe

    return enter


def function(*names: str, overwrites: tuple[str, ...] = ()) -> Callable[[Observer], Observer]:
    """Decorator of the observer of functions that layers call by these names."""
    return _register(FUNCTIONS, names, overwrites, covers=False)


def method(*names: str) -> Callable[[Observer], Observer]:
    """Decorator of the observer of methods ``Class.name``; the arguments have no self."""
    return _register(METHODS, names, (), covers=False)


def module(*names: str, covers: bool = False) -> Callable[[Observer], Observer]:
    """Decorator of the observer of modules of these classes (or derived ones), as one call each: its inputs and what it returned."""
    return _register(MODULES, names, (), covers)


# Functions written in C++, which have no signature
_BUILT_IN = {
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"),
    "softmax": ("input", "dim", "dtype"),
}


@lru_cache(maxsize=4096)
def _signature(implementation: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(inspect.unwrap(implementation))
    except (TypeError, ValueError):
        return None


def bind(implementation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, defaults left out; what the signature does not name keeps the name it came with."""
    signature = _signature(implementation)
    if signature is None:
        return dict(zip(_BUILT_IN.get(getattr(implementation, "__name__", ""), ()), args, strict=False)) | kwargs
    try:
        bound = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        names = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        bound = dict(zip(names, args, strict=False)) | kwargs
    arguments: dict[str, Any] = {}
    for name, value in bound.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.kind is parameter.VAR_KEYWORD:
            arguments |= value
        else:
            arguments[name] = value
    return arguments


def detached(value: Any) -> Any:
    """Tensors, also in tuples, lists and dicts, cut from the graph of autograd."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(detached(v) for v in value))
    if type(value) is tuple:
        return tuple(detached(v) for v in value)
    return [detached(v) for v in value] if type(value) is list else value


def copied(value: Any) -> Any:
    """Detached copies of tensors, also in tuples and lists."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (tuple, list):
        return type(value)(copied(v) for v in value)
    return value


def in_backward() -> bool:
    """Whether autograd runs backward here: gradient checkpointing then calls once more what has been recorded."""
    current: int = torch._C._current_graph_task_id()
    return current != -1
