"""What a capture gives: spectra, and on request eigenvalues or factors, by layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from spectral_kernels.api.spectrum import Spectrum
from spectral_kernels.api.transitions import Transition

Keep = Literal["spectrum", "eigenvalues", "factors"]


@dataclass(frozen=True)
class Record:
    """What is known of one recurrence of a model: one per layer, and per call of a layer that is shared.

    Args:
        name: the dotted name of the innermost module, with ``#1`` for the second call of a shared one in a forward pass, and ``:path`` and the like
            where one layer has several recurrences.
        family: the function of `sk.families` that its transition comes from; "custom" for `capture.record`.
        structure: of the transition, as ``Transition.structure``.
        gauge: as ``Transition.gauge``.
        library: "transformers", "fla", "mamba_ssm", "torch", or "user".
        kernel: the call that was listened to, such as "torch_chunk_gated_delta_rule".
        module: the class of the module.
        n: the order of A_t.
        heads: groups of the spectrum's axis "head"; 1 where there are none.
        multiplicity: how often the state has the spectrum of A_t.
        lti: whether the transition is the same at every position.
        positions: how many valid positions (of one head) its spectrum holds.
        calls: how many calls these came in.
        error: the largest error, relative to the largest output, of the recurrence replayed in float64 against what the kernel returned; None where
            nothing was replayed.
        tolerance: what `error` may be: 1e-5 for outputs in float32, 2e-2 in bfloat16.
        note: what a reader must know to read the spectrum.
    """

    name: str
    family: str
    structure: str
    gauge: str
    library: str
    kernel: str
    module: str
    n: int
    heads: int = 1
    multiplicity: int = 1
    lti: bool = False
    positions: int = 0
    calls: int = 0
    error: float | None = None
    tolerance: float = 1e-5
    note: str = ""

    @property
    def layer(self) -> int | None:
        """The first number in the name: the index of the block, as in ``model.layers.3.mixer``."""
        found = re.search(r"(?:^|\.)(\d+)(?:\.|$|[#:])", self.name)
        return int(found[1]) if found else None

    @property
    def verified(self) -> bool | None:
        """Whether the replayed recurrence gives what the kernel gave; None where nothing was replayed."""
        return None if self.error is None else self.error <= self.tolerance


@dataclass
class Run:
    """Spectra of a model's layers, in the order in which these first ran.

    Args:
        title: for reports: the model's class, or what the user called it.
        keep: what is kept beside the spectra: "spectrum" nothing, "eigenvalues", "factors".
        buckets: positions at which position buckets begin; they are the last group axis of every spectrum.
        spectra: by name, each with the group axis "head" (and "bucket").
        records: by name, what is known of each.
        eigenvalues: by name, with ``keep="eigenvalues"``: for every call ``(B, T, H, n)`` complex, as ``Transition.eigvals`` gives them, on the CPU.
        transitions: by name, with ``keep="factors"``: for every call its transition, whose `valid` has the padding.
        skipped: by name, recurrences that were seen and not captured, and why.
        batches: calls of the outermost module in which recurrences ran.

    >>> import torch, spectral_kernels as sk
    >>> run = sk.Run(title="by hand")
    >>> run.add("layers.0", sk.families.mamba2(torch.randn(2, 5, 3), -torch.ones(3), dt_softplus=True), family="mamba2")
    >>> run.spectra["layers.0"], run.records["layers.0"].heads
    (Spectrum(head=3, count=30), 3)
    """

    title: str = ""
    keep: Keep = "spectrum"
    buckets: tuple[int, ...] = ()
    spectra: dict[str, Spectrum] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    eigenvalues: dict[str, list[Tensor]] = field(default_factory=dict)
    transitions: dict[str, list[Transition]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    batches: int = 0

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            raise ValueError(f"Run: expected keep {', '.join(map(repr, get_args(Keep)))}, got {self.keep!r}")
        self.buckets = tuple(self.buckets)
        Spectrum(buckets=self.buckets)  # refuses what cannot be buckets

    def __repr__(self) -> str:
        count = sum(int(s.count.sum()) for s in self.spectra.values())
        return f"Run({self.title!r}, {len(self.records)} recurrences, {self.batches} batches, {count} eigenvalues)"

    # Adding

    def add(
        self,
        name: str,
        transition: Transition,
        *,
        family: str = "custom",
        library: str = "user",
        kernel: str = "record",
        module: str = "",
        positions: Tensor | None = None,
        start: int = 0,
        head: tuple[int, int] | None = None,
        error: float | None = None,
        tolerance: float = 1e-5,
        note: str = "",
    ) -> None:
        """Adds the eigenvalues of a transition to the spectrum of `name`.

        Args:
            transition: ``(..., T, H)`` or ``(..., T)``; of a constant one the eigenvalues count once per position.
            positions: boolean, ``(B, T)``, which positions a constant transition stands for; None: one.
            start: the position of the first one.
            head: where the transition has no heads, which of how many it is.
            error, tolerance: of its replay, if it was replayed.
            family, library, kernel, module, note: fields of its `Record`.

        Raises:
            ValueError: where order or heads are not those of the calls before.
        """
        t = transition.detach()
        axis = _head_axis(t)
        heads = head[1] if head else 1 if axis is None else t.batch_shape[axis]
        known = self.records.get(name)
        if known is None:
            known = Record(name, family, t.structure, t.gauge, library, kernel, module, t.size, heads, t.multiplicity, t.lti, note=note)
            self.spectra[name] = Spectrum({"head": heads}, buckets=self.buckets)
        if (t.size, heads) != (known.n, known.heads):
            raise ValueError(f"Run.add: expected {name} with n = {known.n} and {known.heads} heads, as before, got n = {t.size} and {heads} heads")
        into = self.spectra[name]
        at = {"head": 0 if head is None else head[0]} if axis is None else None
        axes = None if axis is None else {"head": axis}
        if t.lti:
            positions = torch.ones(1, 1, dtype=torch.bool) if positions is None else positions
            _add_constant(into, t, axes, at, positions, start)
            count = int(positions.sum())
        else:
            t.spectrum(into, axes=axes, at=at, start=start)
            count = (t.batch_shape.numel() if t.valid is None else int(t.valid.sum())) // (1 if axis is None else heads)
        if self.keep == "eigenvalues":
            self.eigenvalues.setdefault(name, []).append(t.eigvals().cpu())
        elif self.keep == "factors":
            self.transitions.setdefault(name, []).append(t._convert(Tensor.clone))
        errors = [e for e in (known.error, error) if e is not None]
        self.records[name] = replace(
            known,
            positions=known.positions + (count if head is None or head[0] == 0 else 0),
            calls=known.calls + 1,
            error=max(errors, key=_nan_last) if errors else None,
            tolerance=known.tolerance if error is None else tolerance,
        )

    # Out of here

    def spectrum(self) -> Spectrum:
        """The spectra of all recurrences in one, axes "layer" (in the order of `records`), "head" (and "bucket"); a layer with fewer heads than another
        has empty ones behind them."""
        heads = max((s.shape[0] for s in self.spectra.values()), default=0)
        total = Spectrum({"layer": len(self.spectra), "head": heads}, buckets=self.buckets)
        for i, s in enumerate(self.spectra.values()):
            part = s.to("cpu")
            for of_all, own in ((total.counts, part.counts), (total.sums, part.sums), (total.extremes, part.extremes)):
                of_all[i, : own.shape[0]] = own
        return total

    def verify(self) -> dict[str, float]:
        """How far each replayed recurrence was from what its kernel returned, relative to the largest output, by name.

        Recurrences are replayed while the model runs, where their inputs still are: those of the first batch, or of all (`capture`, argument verify).

        Raises:
            ValueError: where nothing was replayed.
            ArithmeticError: where an error exceeds its tolerance: the transition is not what the kernel computed with.
        """
        errors = {name: r.error for name, r in self.records.items() if r.error is not None}
        if not errors:
            raise ValueError("Run.verify: expected a run with replayed recurrences, got none: capture(model, verify='first') replays those of the first batch")
        if wrong := [f"{name} ({r.kernel}): {r.error:.1e} > {r.tolerance:.0e}" for name, r in self.records.items() if r.verified is False]:
            raise ArithmeticError("Run.verify: the replayed recurrence is not what the kernel returned for " + "; ".join(wrong))
        return errors

    def __iadd__(self, other: Run) -> Run:
        """Adds the spectra (and what else both keep) of another run of the same model, in place.

        Raises:
            ValueError: for other buckets, or a recurrence of the same name with another order or number of heads.
        """
        if not isinstance(other, Run):
            return NotImplemented
        if self.buckets != other.buckets:
            raise ValueError(f"Run: expected the same buckets, got {self.buckets} and {other.buckets}")
        for name, theirs in other.records.items():
            ours = self.records.get(name)
            if ours is not None and (ours.n, ours.heads) != (theirs.n, theirs.heads):
                raise ValueError(f"Run: expected {name} with n = {ours.n} and {ours.heads} heads in both, got n = {theirs.n} and {theirs.heads} heads")
        for name, theirs in other.records.items():
            if (ours := self.records.get(name)) is None:
                self.records[name], self.spectra[name] = theirs, other.spectra[name].clone()
            else:
                errors = [r.error for r in (ours, theirs) if r.error is not None]
                self.records[name] = replace(
                    ours, positions=ours.positions + theirs.positions, calls=ours.calls + theirs.calls, error=max(errors, key=_nan_last) if errors else None
                )
                self.spectra[name] += other.spectra[name]
            if name in other.eigenvalues:
                self.eigenvalues.setdefault(name, []).extend(other.eigenvalues[name])
            if name in other.transitions:
                self.transitions.setdefault(name, []).extend(other.transitions[name])
        self.skipped = other.skipped | self.skipped
        self.batches += other.batches
        return self

    def all_reduce(self, group: Any = None) -> Run:
        """Makes this the run over the batches of all processes of a `torch.distributed` group, on each of them; returns itself.

        Eigenvalues and factors stay those of each process.

        Raises:
            ValueError: where the processes have captured different recurrences.
        """
        import torch.distributed as dist

        everyone: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(everyone, (list(self.records.values()), self.batches, self.skipped), group=group)
        names = [[r.name for r in records] for records, _, _ in everyone]
        if any(set(n) != set(names[0]) for n in names):
            raise ValueError(f"Run.all_reduce: expected the same recurrences in every process, got {names}")
        for name in names[0]:  # one order for all: collectives must meet
            theirs = [next(r for r in records if r.name == name) for records, _, _ in everyone]
            errors = [r.error for r in theirs if r.error is not None]
            self.records[name] = replace(
                self.records[name],
                positions=sum(r.positions for r in theirs),
                calls=sum(r.calls for r in theirs),
                error=max(errors, key=_nan_last) if errors else None,
            )
            self.spectra[name].all_reduce(group)
        self.batches = sum(batches for _, batches, _ in everyone)
        for _, _, skipped in everyone:
            self.skipped = skipped | self.skipped
        return self

    def save(self, path: str | Path) -> None:
        """Writes title, records and spectra to a versioned file: ``.npz``, or ``.safetensors`` where safetensors is installed.

        Eigenvalues and factors are not in it.

        Raises:
            ValueError: for another suffix.
        """
        from spectral_kernels.api.capture import storage

        storage.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Reads what `save` wrote; ``capture(model, into=run)`` goes on with it.

        Raises:
            ValueError: for another suffix, a file that is none of a `Run`, or one of a version that this one does not know.
        """
        from spectral_kernels.api.capture import storage

        return storage.load(Path(path))

    def report(self, path: str | Path, *, initial: Run | None = None, length: int | None = None) -> None:
        """Writes a page with what the spectra say: `sk.report.write`.

        Args:
            initial: a run of the same model before training.
            length: tokens of a sequence, from which the baseline of uniform attention follows.
        """
        from spectral_kernels.api.report import Study, write  # stands on this class

        write(path, Study.of(self, initial=initial, length=length))


def _nan_last(error: float) -> float:
    return float("inf") if error != error else error


def _head_axis(t: Transition) -> int | None:
    """The batch axis, counted from its end, that is the group axis "head": the one behind the positions."""
    if t.time is None:
        return -1 if t.batch_shape else None
    return t.time + 1 if t.time < -1 else None


def _add_constant(into: Spectrum, t: Transition, axes: Any, at: Any, positions: Tensor, start: int) -> None:
    """A transition that is the same at every position, as often as there are positions ``(B, T)`` in each bucket."""
    for begin, end in into._spans(positions.shape[1], start) if into.buckets else [(0, positions.shape[1])]:
        if count := int(positions[:, begin:end].sum()):
            at_each = replace(t[None], multiplicity=t.multiplicity * count, time=-1 - len(t.batch_shape))
            at_each.spectrum(into, axes=axes, at=at, start=start + begin)
