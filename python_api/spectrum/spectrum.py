"""`Spectrum`: the sink for eigenvalues."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from spectral_kernels import ops
from spectral_kernels.api.spectrum.statistics import Statistics
from spectral_kernels.reference import sketch as layout

if TYPE_CHECKING:
    import matplotlib.figure

BUCKET = "bucket"
_NAMES = {0: (), 1: ("head",), 2: ("layer", "head")}
_WIDE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


class _Place(NamedTuple):
    """Where a group axis is found: an axis of the batch, or one index for all."""

    axis: int | None = None
    at: int | None = None


class Spectrum(Statistics):
    """The distribution of eigenvalues, a sketch of fixed size (41 KB) for every group, such as layer x head x position bucket.

    Sketches of parts add up to the sketch of the whole, bit for bit, in any order: all that is kept is integers (counts, and sums in fixed point)
    and extremes.

    Args:
        groups: the sizes of the group axes by name, ``{"layer": 12, "head": 8}``, or sizes alone: ``(heads,)`` or ``(layers, heads)``.
            None of them: one group.
        buckets: positions, ascending from 0, at which position buckets begin: a last group axis, "bucket".
        device: where the state is held.

    >>> import torch, spectral_kernels as sk
    >>> s = sk.Spectrum(groups={"head": 2}).update(torch.tensor([[0.5, 0.2], [1.5, -0.3], [0.99, 0.0]])[..., None])
    >>> s.count.tolist(), s.unstable.tolist(), s.largest.tolist()
    ([3, 3], [1, 0], [1.5, 0.30000001192092896])
    >>> (s + s)[1].bins().radius.tolist()
    [2, 4, 0, 0, 0, 0, 0]

    Raises:
        ValueError: for group axes without a name, of negative size, or buckets that do not ascend from 0.
    """

    def __init__(self, groups: Mapping[str, int] | Sequence[int] = (), *, buckets: Sequence[int] = (), device: torch.device | str = "cpu") -> None:
        if not isinstance(groups, Mapping):
            if len(groups) not in _NAMES:
                raise ValueError(f"Spectrum: expected names for {len(groups)} group axes, such as {{'layer': 12, 'head': 8, 'batch': 4}}, got {tuple(groups)}")
            groups = dict(zip(_NAMES[len(groups)], groups, strict=True))
        self.buckets = tuple(int(b) for b in buckets)
        if self.buckets and (self.buckets[0] != 0 or any(b <= a for a, b in itertools.pairwise(self.buckets))):
            raise ValueError(f"Spectrum: expected buckets that begin at 0 and ascend, got {self.buckets}")
        if self.buckets and BUCKET in groups:
            raise ValueError(f"Spectrum: the group axis {BUCKET!r} is that of buckets = {self.buckets}")
        if any(size < 0 for size in groups.values()):
            raise ValueError(f"Spectrum: expected sizes >= 0, got {dict(groups)}")
        sizes = dict(groups) | ({BUCKET: len(self.buckets)} if self.buckets else {})
        self.names: tuple[str, ...] = tuple(sizes)
        shape = tuple(int(size) for size in sizes.values())
        self.counts = torch.zeros(*shape, layout.COLUMNS, dtype=torch.int64, device=device)
        self.sums = torch.zeros(*shape, len(layout.SUMS), 3, dtype=torch.int64, device=device)
        self.extremes = torch.tensor([math.inf, -math.inf], dtype=torch.float64, device=device).repeat(*shape, 1)

    @classmethod
    def _of(cls, names: tuple[str, ...], buckets: tuple[int, ...], counts: Tensor, sums: Tensor, extremes: Tensor) -> Spectrum:
        made = cls.__new__(cls)
        made.names, made.buckets, made.counts, made.sums, made.extremes = names, buckets, counts, sums, extremes
        return made

    @property
    def shape(self) -> torch.Size:
        """Of the groups."""
        return self.counts.shape[:-1]

    @property
    def device(self) -> torch.device:
        return self.counts.device

    def __repr__(self) -> str:
        groups = ", ".join(f"{name}={size}" for name, size in zip(self.names, self.shape, strict=True))
        return f"Spectrum({groups}{', ' if groups else ''}count={int(self.count.sum())})"

    # Adding eigenvalues

    def update(
        self,
        eigenvalues: Tensor,
        mask: Tensor | None = None,
        *,
        axes: Mapping[str, int] | None = None,
        at: Mapping[str, int] | None = None,
        multiplicity: int | Sequence[int] = 1,
        suspect: Tensor | None = None,
        log: bool = False,
        start: int = 0,
    ) -> Spectrum:
        """Adds eigenvalues ``(..., n)``, real or complex, and returns the spectrum itself.

        Args:
            eigenvalues: any strides; float16 and bfloat16 are taken as float32.  Not differentiated.
            mask: boolean, ``(...)`` or ``(..., n)``, broadcast: False leaves out.
            axes: which axis of `eigenvalues` each group axis is.  Left out: the group axes, in order, are the last ones in front of n, as in
                ``(..., heads, n)``, and the axis of the positions ("bucket") the one in front of those, as in ``(..., T, heads, n)``.
            at: group axes of which all these eigenvalues belong to one index, ``{"layer": 3}``.
            multiplicity: how often each eigenvalue counts, one number or n of them.
            suspect: boolean, ``(..., n)``, broadcast: those that may be defective (`sk.spectrum.near_defective`).
            log: `eigenvalues` are ``ln lambda``: ``|lambda|`` next to 1, or beyond the range of the dtype, keeps its precision.
            start: the position of the first one along the axis of the positions, for sequences that come in pieces.

        Raises:
            TypeError: for a dtype that is neither real nor complex floating-point.
            ValueError: where shapes or names of axes do not fit.
        """
        if eigenvalues.dtype in _WIDE:
            eigenvalues = eigenvalues.to(_WIDE[eigenvalues.dtype])
        if eigenvalues.dtype not in _DTYPES:
            raise TypeError(f"Spectrum.update: expected real or complex floating-point eigenvalues, got {eigenvalues.dtype}")
        if eigenvalues.dim() == 0:
            raise ValueError("Spectrum.update: expected eigenvalues of shape (..., n), got a scalar")
        values = eigenvalues.detach().resolve_conj().resolve_neg()
        n = values.shape[-1]
        repeats = torch.tensor([multiplicity] * n if isinstance(multiplicity, int) else list(multiplicity), dtype=torch.int64, device=values.device)
        if repeats.shape != (n,) or (repeats < 0).any():
            raise ValueError(f"Spectrum.update: expected multiplicity >= 0, one number or {n} of them, got {multiplicity}")
        if mask is not None and mask.dtype != torch.bool:
            raise TypeError(f"Spectrum.update: expected a boolean mask, got {mask.dtype}")
        if suspect is not None:
            suspect = self._broadcast("suspect", suspect, values.shape)
        axes = {name: axis + values.dim() if axis < 0 else axis for name, axis in (axes or {}).items()}
        places, valid = self._places(values.shape[:-1], axes, at), None
        if mask is not None and mask.dim() == values.dim() and mask.shape[-1] != 1:  # by eigenvalue: each a position of its own
            mask = self._broadcast("mask", mask, values.shape)
            for j in range(n) if len(set(repeats.tolist())) > 1 else [slice(None)]:
                part = slice(j, j + 1) if isinstance(j, int) else j
                flags = None if suspect is None else suspect[..., part, None]
                self._sketch(values[..., part, None], mask[..., part], flags, repeats[part][:1], log, places, start)
            return self
        if mask is not None:
            valid = self._broadcast("mask", mask[..., 0] if mask.dim() == values.dim() else mask, values.shape[:-1])
        self._sketch(values, valid, suspect, repeats, log, places, start)
        return self

    @staticmethod
    def _broadcast(name: str, flags: Tensor, shape: torch.Size) -> Tensor:
        try:
            return flags.expand(shape)
        except RuntimeError:
            raise ValueError(f"Spectrum.update: expected {name} of shape {tuple(shape)} or one that broadcasts to it, got {tuple(flags.shape)}") from None

    def _places(self, shape: torch.Size, axes: Mapping[str, int] | None, at: Mapping[str, int] | None) -> dict[str, _Place]:
        """Where each group axis is found for eigenvalues ``(*shape, n)``."""
        at, axes, dim = dict(at or {}), dict(axes or {}), len(shape)
        known = dict(zip(self.names, self.shape, strict=True))
        if any(name not in known for name in (*axes, *at)) or axes.keys() & at.keys() or BUCKET in at:
            raise ValueError(f"Spectrum: expected each of the group axes {self.names} at most once, in axes or at (buckets: axes), got axes {axes} and at {at}")
        free = [name for name in self.names if name not in at and name != BUCKET]
        defaults = {name: dim - len(free) + i for i, name in enumerate(free)} | {BUCKET: dim - len(free) - 1}
        places = {}
        for name, size in known.items():
            if name in at:
                if not -size <= at[name] < size:
                    raise ValueError(f"Spectrum: expected {name} in [0, {size}), got {at[name]}")
                places[name] = _Place(at=at[name] % size)
                continue
            axis = axes.get(name, defaults[name])
            if not 0 <= axis < dim or (name != BUCKET and shape[axis] != size):
                raise ValueError(f"Spectrum: expected axis {axis} to be that of the group axis {name}={size}, got eigenvalues of shape {(*shape, 'n')}")
            places[name] = _Place(axis=axis)
        taken = [place.axis for place in places.values() if place.axis is not None]
        if len(set(taken)) < len(taken):
            raise ValueError(f"Spectrum: expected a different axis for each of {self.names}, got {taken}")
        return places

    def _sketch(
        self,
        values: Tensor,
        valid: Tensor | None,
        suspect: Tensor | None,
        repeats: Tensor,
        log: bool,
        places: Mapping[str, _Place],
        start: int,
        block: tuple[slice, ...] | None = None,
    ) -> None:
        state = self._state_on(values.device)
        tables = ops.sketch_tables(values.dtype, log, values.device)
        for rows, v, ok, marks in state._slices(places, start, block, values.dim() - 1, values, valid, suspect):
            ops.sketch(*state._rows(), rows, v, ok, marks, repeats, *tables, log)
        self._merge(state)

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.counts.view(-1, layout.COLUMNS), self.sums.view(-1, len(layout.SUMS), 3), self.extremes.view(-1, 2)

    def _state_on(self, device: torch.device) -> Spectrum:
        """What to add eigenvalues on a device to: this one, or an empty one there, for `_merge`."""
        return self if device == self.device else self.empty(device)

    def _merge(self, state: Spectrum) -> None:
        if state is not self:
            self += state

    def _slices(
        self, places: Mapping[str, _Place], start: int, block: tuple[slice, ...] | None, dims: int, values: Tensor, *others: Tensor | None
    ) -> Iterator[tuple[Any, ...]]:
        """Views of tensors whose first `dims` axes are batch axes, such that one call of an op serves each: the rows (G) of the state, and every
        tensor as ``(G, ..., *its own axes)``.  `block`: where these batch axes lie among larger ones that `places` speaks of.
        """
        shape = values.shape[:dims]
        block = tuple(slice(0, size) for size in shape) if block is None else block
        index: Any = torch.arange(math.prod(self.shape)).view(self.shape)
        spans = {name: slice(None) if name == BUCKET else block[place.axis] for name, place in places.items() if place.axis is not None}
        index = index[tuple(spans.get(name, place.at) for name, place in places.items())]
        grouped = [place.axis for name, place in places.items() if place.axis is not None and name != BUCKET]
        order = grouped + [axis for axis in range(dims) if axis not in grouped]
        moved = [None if t is None else t.permute(*order, *range(dims, t.dim())) for t in (values, *others)]
        along = places[BUCKET].axis if self.buckets else None
        for bucket, (begin, end) in enumerate([(0, 1)] if along is None else self._spans(shape[along], start + block[along].start)):
            if begin >= end:
                continue
            rows, cut = index, moved
            if along is not None:
                rows, cut = index[..., bucket], [None if t is None else t.narrow(order.index(along), begin, end - begin) for t in moved]
            if not grouped:
                rows, cut = rows[None], [None if t is None else t[None] for t in cut]
            for outer in itertools.product(*map(range, rows.shape[:-1])):
                yield rows[outer].to(values.device).contiguous(), *(None if t is None else t[outer] for t in cut)

    def _spans(self, length: int, start: int) -> list[tuple[int, int]]:
        """The part of positions ``start .. start + length - 1`` in each bucket, counted from `start`."""
        ends = [*self.buckets[1:], start + length]
        return [(max(b - start, 0), min(e - start, length)) for b, e in zip(self.buckets, ends, strict=True)]

    # Merging

    def empty(self, device: torch.device | str | None = None) -> Spectrum:
        """One without eigenvalues, of the same groups."""
        groups = {name: size for name, size in zip(self.names, self.shape, strict=True) if not (self.buckets and name == BUCKET)}
        return Spectrum(groups, buckets=self.buckets, device=self.device if device is None else device)

    def __iadd__(self, other: Spectrum) -> Spectrum:
        """Adds the eigenvalues of a spectrum of the same groups, in place."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        if (self.names, self.shape, self.buckets) != (other.names, other.shape, other.buckets):
            raise ValueError(f"Spectrum: expected the same groups, got {self.names} {tuple(self.shape)} {self.buckets} and {other.names} {tuple(other.shape)} {other.buckets}")
        self.counts += other.counts.to(self.device)
        self.sums += other.sums.to(self.device)
        layout.normalise(self.sums)
        theirs = other.extremes.to(self.device)
        self.extremes[..., 0].clamp_(max=theirs[..., 0])
        self.extremes[..., 1].clamp_(min=theirs[..., 1])
        return self

    def __add__(self, other: Spectrum) -> Spectrum:
        """The spectrum of the eigenvalues of both."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        total = self.clone()
        total += other
        return total

    def clone(self) -> Spectrum:
        return self._of(self.names, self.buckets, self.counts.clone(), self.sums.clone(), self.extremes.clone())

    def to(self, device: torch.device | str) -> Spectrum:
        """A copy on another device; itself where it is there."""
        return self if torch.device(device) == self.device else self._of(self.names, self.buckets, *(t.to(device) for t in (self.counts, self.sums, self.extremes)))

    def equal(self, other: Spectrum) -> bool:
        """Whether groups and state are the same, bit for bit."""
        same = (self.names, self.buckets) == (other.names, other.buckets)
        return same and torch.equal(self.counts, other.counts) and torch.equal(self.sums, other.sums) and torch.equal(self.extremes, other.extremes)

    def all_reduce(self, group: Any = None) -> Spectrum:
        """Makes this the spectrum of the eigenvalues of all processes of a `torch.distributed` group, on each of them; returns itself.

        Raises:
            ValueError: where the processes have different numbers of groups; names and buckets are not compared.
        """
        import torch.distributed as dist

        # The largest and, negated, the smallest size: states of different sizes would hang or be added wrong.
        size = torch.tensor([self.counts.numel(), -self.counts.numel()], device=self.device)
        dist.all_reduce(size, dist.ReduceOp.MAX, group=group)
        if size[0] != -size[1]:
            raise ValueError(f"Spectrum.all_reduce: expected the same groups in every process, got {-int(size[1]) // layout.COLUMNS} to {int(size[0]) // layout.COLUMNS}")
        dist.all_reduce(self.counts, dist.ReduceOp.SUM, group=group)
        dist.all_reduce(self.sums, dist.ReduceOp.SUM, group=group)
        layout.normalise(self.sums)
        signed = self.extremes * torch.tensor([-1.0, 1.0], dtype=torch.float64, device=self.device)
        dist.all_reduce(signed, dist.ReduceOp.MAX, group=group)
        self.extremes = signed * torch.tensor([-1.0, 1.0], dtype=torch.float64, device=self.device)
        return self

    # Groups

    def __getitem__(self, index: Any) -> Spectrum:
        """The groups at an index, integers and slices by axis; a copy.

        Raises:
            IndexError: for more indices than group axes, or one that is out of range.
            TypeError: for an index that is neither an integer nor a slice.
        """
        index = index if isinstance(index, tuple) else (index,)
        if any(not isinstance(i, int | slice) for i in index):
            raise TypeError(f"Spectrum: expected integers and slices, got {index}")
        if len(index) > len(self.names):
            raise IndexError(f"Spectrum: {len(index)} indices for {len(self.names)} group axes")
        names = tuple(name for i, name in itertools.zip_longest(index, self.names) if not isinstance(i, int))
        if self.buckets and len(index) == len(self.names) and isinstance(index[-1], slice) and index[-1] != slice(None):
            raise TypeError("Spectrum: expected an integer for the bucket, or all buckets: the positions of some cannot be those of a Spectrum")
        buckets = self.buckets if BUCKET in names else ()
        return self._of(names, buckets, *(t[index].clone() for t in (self.counts, self.sums, self.extremes)))

    def pool(self, *names: str) -> Spectrum:
        """The spectrum over all groups along these axes together; along all of them where none is named.

        Raises:
            ValueError: for a name that is no group axis.

        >>> import torch, spectral_kernels as sk
        >>> sk.Spectrum((3, 2)).update(torch.rand(5, 3, 2, 1)).pool("layer")
        Spectrum(head=2, count=30)
        """
        wanted = names or self.names
        if unknown := [name for name in wanted if name not in self.names]:
            raise ValueError(f"Spectrum.pool: expected names out of {self.names}, got {unknown}")
        axes = [self.names.index(name) for name in wanted]
        if not axes:
            return self.clone()
        sums = self.sums.sum(axes)
        layout.normalise(sums)
        smallest = self.extremes[..., 0].amin(axes) if self.extremes.numel() else torch.full(sums.shape[:-2], math.inf, dtype=torch.float64, device=self.device)
        largest = self.extremes[..., 1].amax(axes) if self.extremes.numel() else -smallest
        kept = tuple(name for name in self.names if name not in wanted)
        return self._of(kept, self.buckets if BUCKET in kept else (), self.counts.sum(axes), sums, torch.stack([smallest, largest], -1))

    # Out of here

    def save(self, path: str | Path) -> None:
        """Writes a versioned file: ``.npz``, or ``.safetensors`` where safetensors is installed.

        Raises:
            ValueError: for another suffix.
        """
        from spectral_kernels.api.spectrum import storage

        storage.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Spectrum:
        """Reads what `save` wrote.

        Raises:
            ValueError: for another suffix, a file that is none of a `Spectrum`, or one of a version that this one does not know.
        """
        from spectral_kernels.api.spectrum import storage

        return storage.load(Path(path))

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a row per group: its indices, counts, moments, quartiles, and the shares of the paper's bins."""
        from spectral_kernels.api.spectrum import table

        return table.to_pandas(self)

    def plot(self, kind: Literal["bins", "phases", "plane"] = "bins", *, rows: str | None = None, error: str | None = None) -> matplotlib.figure.Figure:
        """A figure: the grouped bars of the paper ("bins", "phases"), or the complex plane.

        Args:
            rows: the group axis with a row of axes each; the first one where there is more than one.
            error: a group axis, such as "batch", over which to show mean and standard deviation instead of groups.
        """
        from spectral_kernels.api.spectrum import plot

        return plot.plot(self, kind, rows, error)
