"""The structure classes: what a transition ``A_t`` is made of, and how its eigenvalues follow from that.

A transition is immutable and holds its factors, one set per position; the n x n matrices exist only where `dense` is
called, or a few at a time inside a solver.  A subclass declares its factors, `size` and `dense`, and overrides `distinct` and
`eig` where its structure allows more than the dense solver, `_times` where products keep the structure.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeVar, get_args

import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.linalg import EigResult
from spectral_kernels.api.spectrum.spectrum import Spectrum
from spectral_kernels.api.transitions.indexing import axis_after
from spectral_kernels.api.transitions.values import COMPLEX, Distinct, as_complex, horizon_of_log, poison, repeat, repeated, spectral_radius

Self = TypeVar("Self", bound="Transition")
Gauge = Literal["raw", "normalised", "rotated"]

_CHUNK_BYTES = 64 * 2**20  # of dense matrices in memory at once while a structure runs on the dense solver


@dataclass(frozen=True, eq=False, repr=False)
class Transition(ABC):
    """What the state is multiplied by at every position: a batch of n x n matrices, held as factors.

    Indexing selects positions, heads or sequences: ``t[index]`` indexes the batch axes (integers, slices, ``...``, None,
    index and boolean tensors, as on a tensor) and shares what the positions share.  `time` follows: a slice keeps the axis of the
    positions (one with a step takes those it meets for consecutive), an integer or an index tensor on it leaves single positions.
    ``later @ earlier`` is the product of two, in the cheapest structure that holds it.

    The batch axes of the factors are broadcast against each other, without copies.

    Args:
        valid: boolean, ``batch_shape``: False where a position is padding or the start of a segment, whose transition means
            nothing.  `Spectrum` leaves those out; `eigvals` still gives them.  None: all are valid.
        multiplicity: how often the spectrum stands in that of the whole state: V where A_t acts on the K axis of a K x V state.
            `eigvals` gives the n eigenvalues of A_t once; the map on the whole state has `state_eigenvalue_count` of them.
        gauge: the choice of state coordinates: "raw" the recurrence as computed, "normalised" with the normaliser inside the state,
            "rotated" with rotary positions undone.
        time: the axis of `batch_shape` that is the position, counted from its end: -1 for ``(..., T)``, -2 for ``(..., T, H)``.
            None: the same at every position (LTI), so no axis is.  0: single positions, without such an axis; what -1 means
            where there are no batch axes.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of an argument, never for the data.
    """

    structure: ClassVar[str]  # the name that dispatch and reports know the class by
    factors: ClassVar[dict[str, int]]  # fields (*batch_shape, ...), with the number of axes behind the batch; all others are shared by the positions
    integral: ClassVar[frozenset[str]] = frozenset()  # factors that hold integers

    valid: Tensor | None = field(default=None, kw_only=True)
    multiplicity: int = field(default=1, kw_only=True)
    gauge: Gauge = field(default="raw", kw_only=True)
    time: int | None = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        name = type(self).__name__
        given = self._given()
        self._check_tensors(given)
        try:
            batch = torch.broadcast_shapes(*(value.shape[: value.dim() - self.factors[f]] for f, value in given.items()))
        except RuntimeError:
            shapes = ", ".join(f"{f} {tuple(value.shape)}" for f, value in given.items())
            raise ValueError(f"{name}: expected factors whose batch axes broadcast, got {shapes}") from None
        for f, value in given.items():
            shape = (*batch, *value.shape[value.dim() - self.factors[f] :])
            if value.shape != shape:
                object.__setattr__(self, f, value.expand(shape))
        self._check_description(batch)

    def _check_description(self, batch: torch.Size) -> None:
        """What says where the positions stand and what they mean."""
        name = type(self).__name__
        if self.time == -1 and not batch:
            object.__setattr__(self, "time", 0)
        if self.time is not None and not -len(batch) <= self.time <= 0:
            raise ValueError(f"{name}: expected time None, 0 or an axis of the batch {tuple(batch)} counted from its end, got {self.time}")
        if self.valid is not None:
            if not isinstance(self.valid, Tensor) or self.valid.dtype != torch.bool:
                raise TypeError(f"{name}: valid must be a bool Tensor, not {getattr(self.valid, 'dtype', type(self.valid).__name__)}")
            if self.valid.shape != batch:
                try:
                    object.__setattr__(self, "valid", self.valid.expand(batch))
                except RuntimeError:
                    raise ValueError(f"{name}: expected valid of the batch shape {tuple(batch)}, got {tuple(self.valid.shape)}") from None
        if self.multiplicity < 1:
            raise ValueError(f"{name}: expected multiplicity >= 1, got {self.multiplicity}")
        if self.gauge not in get_args(Gauge):
            raise ValueError(f"{name}: expected gauge {', '.join(get_args(Gauge))}, got {self.gauge!r}")

    def _given(self) -> dict[str, Tensor]:
        """The factors that are there: some classes let one be None."""
        return {f: getattr(self, f) for f in self.factors if getattr(self, f) is not None}

    def _check_tensors(self, given: dict[str, Tensor]) -> None:
        name, first = type(self).__name__, None
        for f, value in given.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}: {f} must be Tensor, not {type(value).__name__}")
            if value.dim() < self.factors[f]:
                raise ValueError(f"{name}: expected {f} with at least {self.factors[f]} axes, got shape {tuple(value.shape)}")
            if f in self.integral:
                if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
                    raise TypeError(f"{name}: expected integers in {f}, got {value.dtype}")
                continue
            if value.dtype not in COMPLEX:
                raise TypeError(f"{name}: expected float32, float64, complex64 or complex128, got {f} {value.dtype}")
            first = first or (f, value)
            if value.dtype != first[1].dtype or value.device != first[1].device:
                raise TypeError(f"{name}: expected factors of one dtype and device, got {first[0]} {first[1].dtype}, {first[1].device} and {f} {value.dtype}, {value.device}")

    @property
    @abstractmethod
    def size(self) -> int:
        """n, the order of the matrix."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The matrices, ``(*batch_shape, n, n)``.  They act on columns: ``dh_t = A_t dh_{t-1}``."""

    @property
    def batch_shape(self) -> torch.Size:
        """Axes in front of the matrix: ``(..., T)``, with heads ``(..., T, H)``."""
        name, core = next(iter(self.factors.items()))
        value: Tensor = getattr(self, name)
        return value.shape[: value.dim() - core]

    @property
    def dtype(self) -> torch.dtype:
        """Of the factors, and of `dense`."""
        return getattr(self, next(iter(self.factors))).dtype

    @property
    def device(self) -> torch.device:
        """Of the factors."""
        return getattr(self, next(iter(self.factors))).device

    @property
    def shape(self) -> torch.Size:
        """Shape of `dense`, without forming it."""
        return torch.Size((*self.batch_shape, self.size, self.size))

    @property
    def lti(self) -> bool:
        """Whether the transition is the same at every position."""
        return self.time is None

    @property
    def state_eigenvalue_count(self) -> int:
        """Eigenvalues of the map on the whole state at one position: n, `multiplicity` times."""
        return self.size * self.multiplicity

    def eigvals(self) -> Tensor:
        """Eigenvalues, ``(*batch_shape, n)`` complex; NaN for a matrix that holds NaN or Inf, never an error for the data.

        Differentiable with respect to the factors.
        """
        values, counts = self.distinct()
        return repeat(as_complex(values), counts)

    def distinct(self) -> Distinct:
        """The eigenvalues without the repetitions that the structure implies; real where the structure's spectrum is."""
        eigenvalues = self._solve(left=False, right=False).eigenvalues
        return Distinct(eigenvalues, (1,) * eigenvalues.shape[-1])

    def eig(self, *, left: bool = False) -> EigResult:
        """Eigenvalues, right eigenvectors, on request left ones, and `info`: the contract of `sk.linalg.eig_ex`.

        The eigenvalues are those of `eigvals`, in its order, where the structure knows the vectors, and of the dense solver where not.
        """
        return self._solve(left=left, right=True)

    def log_modulus(self) -> Tensor:
        """``ln|lambda|``, ``(*batch_shape, n)`` real: straight from the logs where the factors are logs, so neither rounded next to
        ``|lambda| = 1`` nor lost to underflow; -inf where lambda is 0."""
        values, counts = self.distinct()
        return repeat(values.abs().log(), counts)

    def spectral_radius(self) -> Tensor:
        """``max |lambda|`` at every position, ``batch_shape``.  Solves: with eigenvalues at hand call the function of this name."""
        return spectral_radius(self.distinct().values)

    def horizon(self) -> Tensor:
        """``-1 / ln|lambda|`` in tokens, ``(*batch_shape, n)``.  Solves: with eigenvalues at hand call the function of this name."""
        return horizon_of_log(self.log_modulus())

    def spectrum(
        self,
        into: Spectrum | None = None,
        *,
        axes: Mapping[str, int] | None = None,
        at: Mapping[str, int] | None = None,
        buckets: Sequence[int] = (),
        start: int = 0,
    ) -> Spectrum:
        """The distribution of the eigenvalues of all valid positions, each `multiplicity` times, without all of them in memory.

        Args:
            into: the spectrum to add to; a new one by default.
            axes: batch axes that are group axes, by name: ``{"head": -1}`` for ``(..., T, H)``.  None: one group for all, or with `into` the last
                batch axes, as `Spectrum.update` has it.
            at: group axes of `into` of which all these eigenvalues belong to one index, ``{"layer": 3}``.
            buckets: positions at which position buckets begin, for a new spectrum; they need a time axis.
            start: the position of the first one, for sequences that come in pieces.

        Raises:
            ValueError: where shapes or names of axes do not fit.

        >>> import torch, spectral_kernels as sk
        >>> t = sk.transitions.Scalar(torch.rand(5, 100, 2), time=-2)
        >>> t.spectrum(axes={"head": -1}).count.tolist()
        [500, 500]
        """
        from spectral_kernels.api.spectrum import sources  # stands on the classes of transitions

        if into is not None and buckets:
            raise ValueError(f"{type(self).__name__}.spectrum: expected buckets for a new spectrum only, got into and buckets = {tuple(buckets)}")
        if into is None:
            into = Spectrum({name: self.batch_shape[axis] for name, axis in (axes or {}).items()}, buckets=buckets)
        sources.add(into, self, axes, at, start)
        return into

    def window(self, w: int) -> Transition:
        """Products ``A_t A_{t-1} ... A_{t-w+1}`` for every t with a full window: T - w + 1 positions, none where w > T.

        What w steps keep of the state, which the spectra of single steps do not tell unless the A_t commute.  In the cheapest
        structure that holds them: scalars, diagonals and rotations keep theirs, delta rules become `LowRankUpdate` of rank w (or m w),
        as long as that is below n, and all else is `Dense`.  Of an LTI transition the w-th power.  A window is valid where all of
        its positions are.  Windows are multiplied up by doubling, ``log2(w)`` products for all positions together.

        Raises:
            ValueError: unless w >= 1, and where there is no time axis.

        >>> import torch, spectral_kernels as sk
        >>> t = sk.transitions.Scalar(torch.tensor([0.5, 0.5, 1.0, 4.0]))
        >>> t.window(2).value.tolist()
        [0.25, 0.5, 4.0]
        """
        w = operator.index(w)
        if w < 1:
            raise ValueError(f"{type(self).__name__}.window: expected w >= 1, got {w}")
        if w == 1:
            return self
        if self.time == 0:
            raise ValueError(f"{type(self).__name__}.window: expected positions along an axis, got single ones (time = 0; an LTI transition has time = None)")
        from spectral_kernels.api.transitions import products  # stands on this class

        return products.window(self, w)

    def __matmul__(self, earlier: Transition) -> Transition:
        """``self @ earlier``: first `earlier`, then `self`; valid where both are.

        Raises:
            ValueError: unless size, multiplicity, gauge and time axis are the same (an LTI one goes with any time axis).
        """
        if not isinstance(earlier, Transition):
            return NotImplemented
        from spectral_kernels.api.transitions import products

        return products.multiply(self, earlier)

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """A copy on another device or in another precision, arguments as of `Tensor.to`; complex factors stay complex, integers as they are."""
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)

        def convert(value: Tensor) -> Tensor:
            if dtype is None or not (value.is_floating_point() or value.is_complex()):
                return value.to(device=device, non_blocking=non_blocking)
            return value.to(device=device, dtype=COMPLEX[dtype] if value.is_complex() else dtype, non_blocking=non_blocking)

        return self._convert(convert)

    def detach(self: Self) -> Self:
        """The same, cut from the graph of autograd."""
        return self._convert(Tensor.detach)

    def __getitem__(self: Self, index: Any) -> Self:
        """The transitions at `index` of the batch axes."""
        index = index if isinstance(index, tuple) else (index,)
        rest = () if any(i is Ellipsis for i in index) else (Ellipsis,)
        time = axis_after(index, len(self.batch_shape), self.time) if self.time else self.time
        return self._map(lambda value, core: value[(*index, *rest, *(slice(None),) * core)], time=time)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={tuple(self.shape)}, dtype={self.dtype})"

    def _map(self: Self, function: Callable[[Tensor, int], Tensor], **changes: Any) -> Self:
        """A copy whose factors are ``function(value, core)``, and `valid` likewise; what is shared stays shared."""
        valid = None if self.valid is None else function(self.valid, 0)
        changed: dict[str, Any] = {name: function(value, self.factors[name]) for name, value in self._given().items()}
        return replace(self, valid=valid, **changed, **changes)

    def _convert(self: Self, function: Callable[[Tensor], Tensor]) -> Self:
        """A copy whose tensors, factors and shared ones, are ``function(value)``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        changed |= {name: value._convert(function) for name, value in values.items() if isinstance(value, Transition)}
        return replace(self, **changed)

    def _distinct(self, *groups: tuple[Tensor, int], bad: Tensor | None = None) -> Distinct:
        """`repeated` of a closed form, with `poison` of its factors, ``batch_shape``; None: that of the values, in which every factor shows."""
        values, counts = repeated(*groups)
        return Distinct(values + (poison(values) if bad is None else bad)[..., None], counts)

    def _eig(self, right: Tensor, left: Tensor | None) -> EigResult:
        """The result of a closed form: `eigvals` beside its vectors ``(*batch_shape, n, n)``, NaN where the eigenvalues are."""
        eigenvalues = self.eigvals()
        bad = eigenvalues.isnan().any(-1)

        def finished(V: Tensor) -> Tensor:
            return as_complex(V).masked_fill(bad[..., None, None], math.nan)

        return EigResult(eigenvalues, finished(right), None if left is None else finished(left), (bad * (self.size + 1)).to(torch.int32))

    def _solve(self, *, left: bool, right: bool) -> EigResult:
        """What `eigvals` and `eig` return; here by the dense solver, on `_CHUNK_BYTES` of matrices at a time."""
        batch, count = self.batch_shape, math.prod(self.batch_shape)
        flat = self._map(lambda value, core: value.reshape(count, *value.shape[value.dim() - core :]), time=None)
        step = max(1, _CHUNK_BYTES // max(1, self.size**2 * self.dtype.itemsize))
        chunks = [linalg.eig_ex(flat[i : i + step].dense(), left=left, right=right) for i in range(0, max(count, 1), step)]
        parts = ([p for p in field if p is not None] for field in zip(*chunks, strict=True))
        return EigResult(*(torch.cat(p).reshape((*batch, *p[0].shape[1:])) if p else None for p in parts))

    def _times(self, earlier: Transition) -> Transition | None:
        """``self @ earlier`` in a structure of its own, `time` and the like left to the caller; None: as `Dense`."""
        return None

    def _window_is_closed(self, w: int) -> bool:
        """Whether `_times` holds products of w steps in less than n x n numbers."""
        return False

    def _narrow(self: Self, start: int, length: int) -> Self:
        """``length`` positions from ``start`` on."""
        time = self.time or 0
        return self._map(lambda value, core: value.narrow(value.dim() - core + time, min(start, value.shape[value.dim() - core + time]), length))
