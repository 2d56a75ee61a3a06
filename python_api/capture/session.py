"""`capture`: listens to a model while it runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from spectral_kernels.api.capture import calls, replay
from spectral_kernels.api.capture.batch import Batch
from spectral_kernels.api.capture.calls import Call, Kernel, Observation, Unsupported
from spectral_kernels.api.capture.patches import Patches
from spectral_kernels.api.capture.run import Keep, Run
from spectral_kernels.api.transitions import Transition

Verify = Literal["first", "all", "never"]
_active: list[capture] = []


class capture:
    """Captures the spectrum of every recurrence of a model while it runs: ``with sk.capture(model) as run: model(**inputs)``.

    Calls of the kernels that the model's layers use are listened to where the layers find them; the arguments become a transition (`sk.families`),
    whose eigenvalues go into the spectrum of the layer at once.  The model computes what it always computes, with what it always calls: its outputs are
    the same bit for bit, and at the end, also after an exception, all is as it was.  Tensors are detached, and none is kept that was not asked for.

    What is listened to: selective scans, delta rules, gated and linear attention of transformers, flash-linear-attention and mamba_ssm; softmax attention in transformers,
    by `scaled_dot_product_attention` and by `softmax`; `nn.MultiheadAttention`; `nn.RNN`, `nn.GRU` and `nn.LSTM`, whose states are computed again.  Of a
    module of one's own: `capture.record`.

    - Padding: positions that the `attention_mask` (B, S) of the outermost call hides do not count; packed documents begin where `position_ids`, `seq_idx` or
      `cu_seqlens` say so, and their first positions do not count.
    - A sequence in pieces, down to single tokens, goes on where the model's cache says.
    - `torch.compile`: inside, compiled models run without compilation.
    - Gradient checkpointing: what runs a second time, in the backward pass, does not count.
    - Encoders and cross-attention have no order of positions and are left out: `Run.skipped` says so.

    Args:
        model: any module; what runs outside of it is not captured.
        keep: "spectrum" (41 KB for each layer, head and bucket, whatever runs through), "eigenvalues" or "factors" of all calls as well.
        buckets: positions, ascending from 0, at which position buckets begin.
        verify: whether recurrences are replayed and compared with what their kernels returned: in the first batch that calls a kernel, always, or never.  The first
            128 positions of a call are, and a sample of the queries of softmax.  At the end a warning names those that differ; `Run.verify` gives the numbers.
        title: of the run; None: the model's class.
        into: a run to go on with, such as one from `Run.load`.

    Raises:
        TypeError, ValueError: for arguments that are not what they should be.

    >>> import torch, spectral_kernels as sk
    >>> model = torch.nn.GRU(3, 5, batch_first=True)
    >>> with sk.capture(model) as run:
    ...     y, h = model(torch.randn(2, 7, 3))
    >>> run, run.verify()["GRU:l0"] < 1e-5
    (Run('GRU', 1 recurrences, 1 batches, 70 eigenvalues), True)
    """

    def __init__(
        self,
        model: nn.Module,
        keep: Keep = "spectrum",
        *,
        buckets: Sequence[int] = (),
        verify: Verify = "first",
        title: str | None = None,
        into: Run | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"capture: expected a torch.nn.Module, got {type(model).__name__}")
        if isinstance(model, (nn.DataParallel, torch.jit.ScriptModule)):
            raise TypeError(f"capture: expected a module that runs in this thread as Python code, got {type(model).__name__}: give the module inside of it")
        if verify not in get_args(Verify):
            raise ValueError(f"capture: expected verify {', '.join(map(repr, get_args(Verify)))}, got {verify!r}")
        if into is not None and (into.keep, into.buckets) != (keep, tuple(buckets)):
            raise ValueError(f"capture: expected keep and buckets of the run to go on with, {into.keep!r} and {into.buckets}, got {keep!r} and {tuple(buckets)}")
        self.model: nn.Module = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        self.verify = verify
        self.run = Run(title or type(self.model).__name__, keep, tuple(buckets)) if into is None else into
        self._names = {module: name for name, module in self.model.named_modules()}
        self._patches = Patches()
        self._inside: list[tuple[nn.Module, int, Kernel | None]] = []  # modules that run, each with the number of its run in this batch
        self._busy = 0  # calls that run and are listened to: what they call is theirs
        self._batch = Batch()
        self._calls = 0  # of outermost modules
        self._heard = 0  # the last of them in which a recurrence was heard
        self._replayed: dict[tuple[nn.Module, int, str], int] = {}  # in which each recurrence was replayed first
        self._deaf = False  # while an observer computes

    # For modules of one's own

    @staticmethod
    def record(name: str, transition: Transition, *, family: str = "custom") -> None:
        """From the forward of one's own module: this is my transition.  Outside of a capture it does nothing.

        Args:
            name: put behind the name of the module it is called from.
            transition: ``(B, T, H)`` or ``(B, T)``, or constant: what `sk.families` and `sk.transitions` give.
            family: for the record.

        Raises:
            TypeError: for anything but a transition.

        >>> import torch, spectral_kernels as sk
        >>> class Mine(torch.nn.Module):
        ...     def forward(self, x):
        ...         gate = torch.sigmoid(x)
        ...         sk.capture.record("gate", sk.transitions.Diagonal(gate))
        ...         return x * gate
        >>> model = torch.nn.Sequential(Mine(), Mine())
        >>> with sk.capture(model) as run:
        ...     y = model(torch.randn(2, 7, 3))
        >>> list(run.spectra)
        ['0.gate', '1.gate']
        """
        if not isinstance(transition, Transition):
            raise TypeError(f"capture.record: expected a transition, got {type(transition).__name__}")
        listening = [session for session in _active if session._inside] or _active[-1:]
        if listening and not calls.in_backward():
            for session in listening:
                session._record(name, transition, family)

    # As a context

    def __enter__(self) -> Run:
        self._patches = Patches()
        try:
            if "torch._dynamo" in sys.modules:
                stance = torch.compiler.set_stance("force_eager")
                stance.__enter__()
                self._patches.call(lambda: stance.__exit__(None, None, None))
            fused = {m for layer in self._names if isinstance(layer, nn.TransformerEncoderLayer) for m in layer.modules()}
            for module in self._names:
                if isinstance(module, nn.TransformerEncoderLayer):
                    self._patches.item(vars(module), "forward", self._around(module, module.forward))
                elif module not in fused:
                    self._patches.call(module.register_forward_pre_hook(self._enter_module, with_kwargs=True).remove)
                    self._patches.call(module.register_forward_hook(self._leave_module, with_kwargs=True, always_call=True).remove)
            self._listen()
        except BaseException:
            self._patches.restore()
            raise
        _active.append(self)
        return self.run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _active.remove(self)
        self._inside.clear()
        self._batch = Batch()
        self._patches.restore()
        if kind is None:
            self._warn()

    def _warn(self) -> None:
        if wrong := [name for name, r in self.run.records.items() if r.verified is False]:
            warnings.warn(f"capture: the replayed recurrence is not what the kernel returned for {', '.join(wrong)}; Run.verify() has the numbers", stacklevel=3)
        if self.run.skipped:
            names: dict[str, list[str]] = {}
            for name, why in self.run.skipped.items():
                names.setdefault(why, []).append(name)
            reasons = "; ".join(f"{', '.join(of[:3])}{f' and {len(of) - 3} more' if len(of) > 3 else ''}: {why}" for why, of in names.items())
            warnings.warn(f"capture: not captured (Run.skipped): {reasons}", stacklevel=3)
        if self._calls and not self.run.records and not self.run.skipped:
            warnings.warn(f"capture: {self.run.title} called no kernel that is known; capture.record gives the transition of one's own module", stacklevel=3)

    # Where calls are listened to

    def _listen(self) -> None:
        from spectral_kernels.api.capture import attention, libraries

        libraries.load()
        seen: set[tuple[int, str]] = set()
        for module in self._names:
            for name, value in list(vars(module).items()):  # kernels kept on the instance, as transformers did before 5.15
                if name in calls.FUNCTIONS and callable(value) and not isinstance(value, nn.Module):
                    self._patches.item(vars(module), name, self._wrapped(calls.FUNCTIONS[name], value))
            for cls in type(module).__mro__:
                self._listen_to_class(cls, seen)
        attention.listen(self._patches, self._wrapped, list(self._names))

    def _listen_to_class(self, cls: type, seen: set[tuple[int, str]]) -> None:
        consumer = sys.modules.get(cls.__module__)
        if consumer is None or cls.__module__.split(".")[0] in ("torch", "builtins", "spectral_kernels"):
            return
        for name in vars(consumer).keys() & calls.FUNCTIONS.keys():
            if (id(consumer), name) not in seen and callable(vars(consumer)[name]):
                seen.add((id(consumer), name))
                self._patches.attribute(consumer, name, self._wrapped(calls.FUNCTIONS[name], vars(consumer)[name]))
        for key, kernel in calls.METHODS.items():
            owner, name = key.split(".")
            if cls.__name__ == owner and name in vars(cls) and (id(cls), name) not in seen:
                seen.add((id(cls), name))
                self._patches.attribute(cls, name, self._wrapped(kernel, vars(cls)[name], is_method=True))

    def _wrapped(self, kernel: Kernel, original: Callable[..., Any], is_method: bool = False) -> Callable[..., Any]:
        """A function that does what `original` does, and is heard where this model calls it."""

        @wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if not self._inside or self._busy or self._deaf or calls.in_backward():
                return original(*args, **kwargs)
            replayed = self._replays(kernel)
            before = {}
            if replayed and kernel.overwrites:
                arguments = calls.bind(original, args, kwargs)
                before = {name: calls.copied(arguments.get(name)) for name in kernel.overwrites}
            self._busy += 1
            try:
                returned = original(*args, **kwargs)
            finally:
                self._busy -= 1
            arguments = calls.bind(original, args, kwargs)
            if is_method:
                arguments.pop("self", None)
            self._hear(kernel, arguments, returned, before, replayed, original)
            return returned

        return wrapper

    def _around(self, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        """What hooks do, where a hook would turn a fused path off and so change the bits of the output."""

        @wraps(forward)
        def around(*args: Any, **kwargs: Any) -> Any:
            self._enter_module(module, args, kwargs)
            returned = None
            try:
                returned = forward(*args, **kwargs)
            finally:
                self._leave_module(module, args, kwargs, returned)
            return returned

        return around

    def _enter_module(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._deaf or calls.in_backward():
            return
        if not self._inside:
            self._calls += 1
            self._batch = self._batch.following(calls.bind(type(module).forward, (module, *args), kwargs))
        kernel = _kernel_of(module)
        self._inside.append((module, self._batch.entries(module), kernel))
        if kernel is not None and kernel.covers:
            self._busy += 1

    def _leave_module(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], returned: Any) -> None:
        if self._deaf or not self._inside or self._inside[-1][0] is not module:
            return
        kernel = self._inside[-1][2]
        if kernel is not None and kernel.covers:
            self._busy -= 1
        try:
            if kernel is not None and not self._busy and returned is not None:
                self._hear(kernel, calls.bind(type(module).forward, (module, *args), kwargs), returned, {}, self._replays(kernel), type(module))
        finally:
            self._inside.pop()
            if not self._inside:
                self._batch.leave(calls.bind(type(module).forward, (module, *args), kwargs), returned)

    # What is heard

    def _replays(self, kernel: Kernel) -> bool:
        """Whether this call of the innermost module is to be replayed: the first ones of each kernel are, which tokens one by one may call another of."""
        if self.verify != "first":
            return self.verify == "all"
        module, entry, _ = self._inside[-1]
        return self._replayed.setdefault((module, entry, kernel.name), self._calls) == self._calls

    def _hear(self, kernel: Kernel, arguments: dict[str, Any], returned: Any, before: dict[str, Any], replayed: bool, source: Any) -> None:
        """Makes transitions of a call; what is not understood is written down, and never harms the model."""
        if returned is None:  # a kernel that is not there: the caller goes another way
            return
        module, entry, _ = self._inside[-1]
        name = self._name(module, entry)
        try:
            with self._aside():
                given = {key: calls.detached(value) for key, value in arguments.items()}
                call = Call(kernel.name, given, calls.detached(returned), module, self._batch.start, replayed, before, self._batch.memory(name))
                origins = [(getattr(of, "__module__", None) or "").split(".")[0] for of in (source, type(module))]
                for seen in kernel.observe(call):
                    self._add(name, call, seen, origins[origins[0] in ("", "torch")])
        except Unsupported as reason:
            self.run.skipped[name] = str(reason)
        except Exception as failure:
            self.run.skipped[name] = f"{kernel.name} was called in a way that is not known: {type(failure).__name__}: {failure}"

    def _add(self, name: str, call: Call, seen: Observation, library: str) -> None:
        self._count()
        t, error, limit = self._batch.masked(seen.transition, call), None, 1e-5
        if seen.replay is not None and call.replayed:
            error = replay.error(seen.transition, seen.replay)
            limit = replay.tolerance(call.output, *(v for v in call.arguments.values() if isinstance(v, Tensor)))
        positions = None
        if seen.positions is not None:
            valid = self._batch.valid(*seen.positions, t.device, call)
            positions = torch.ones(seen.positions, dtype=torch.bool) if valid is None else valid
        self.run.add(
            name + (seen.part if seen.part.startswith(".") else f":{seen.part}" if seen.part else ""),
            t,
            family=seen.family,
            library=library,
            kernel=call.kernel,
            module=type(call.module).__name__,
            positions=positions,
            start=call.start,
            head=seen.head,
            error=error,
            tolerance=limit,
            note=seen.note,
        )

    def _count(self) -> None:
        """Counts the batch, at the first recurrence in it."""
        if self._heard != self._calls:
            self._heard = self._calls
            self.run.batches += 1

    def _record(self, name: str, transition: Transition, family: str) -> None:
        module, entry = self._inside[-1][:2] if self._inside else (self.model, 0)
        self._count()
        with self._aside():
            prefix = self._name(module, entry) if self._inside and module is not self.model else ""
            full = f"{prefix}.{name}" if prefix else name
            self.run.add(full, self._batch.masked(transition, None), family=family, module=type(module).__name__, start=self._batch.start)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Without the graph and the autocast of the model around, and without listening to what is computed here."""
        self._deaf = True
        try:
            with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                yield
        finally:
            self._deaf = False

    def _name(self, module: nn.Module, entry: int) -> str:
        name = self._names.get(module) or type(module).__name__
        return f"{name}#{entry}" if entry else name


def _kernel_of(module: nn.Module) -> Kernel | None:
    return next((calls.MODULES[cls.__name__] for cls in type(module).__mro__ if cls.__name__ in calls.MODULES), None)
