"""What a report is made of: the spectra of one model's layers, from whatever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spectral_kernels.api.report.heads import Head, heads_of
from spectral_kernels.api.report.measures import Measures, measure
from spectral_kernels.api.spectrum import Spectrum, uniform_attention
from spectral_kernels.api.spectrum.spectrum import BUCKET

_AXES = ("head", BUCKET)


@dataclass(frozen=True)
class Layer:
    """One recurrence of a model: its spectrum with the axes "head" (and "bucket"), and what is known of it ("" where nothing is)."""

    name: str
    spectrum: Spectrum
    family: str = ""
    structure: str = ""
    gauge: str = ""
    n: int = 0
    error: float | None = None
    note: str = ""

    @property
    def heads(self) -> int:
        return self.spectrum.shape[0]

    @cached_property
    def by_head(self) -> Spectrum:
        """All positions together."""
        return self.spectrum.pool(BUCKET) if self.spectrum.buckets else self.spectrum

    @cached_property
    def whole(self) -> Spectrum:
        """All heads and positions together, one group."""
        return self.spectrum.pool()

    @cached_property
    def of_heads(self) -> Measures:
        """Of every head."""
        return measure(self.by_head)

    @cached_property
    def measures(self) -> Measures:
        """Of the whole layer."""
        return measure(self.whole)

    @cached_property
    def by_position(self) -> Measures:
        """Of every head and position bucket."""
        return measure(self.spectrum)


@dataclass(frozen=True)
class Study:
    """A model's layers under a title, with what they are compared with.

    Args:
        title: what the model is called.
        layers: in their order.
        initial: the same model before training, layers by the same names.
        length: tokens of a sequence, from which the baseline of uniform attention follows; None: unknown.
        subtitle: what the model read, for instance.
    """

    title: str
    layers: tuple[Layer, ...]
    initial: Study | None = None
    length: int | None = None
    subtitle: str = ""

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError(f"report: expected at least one spectrum in {self.title!r}, got none")

    @classmethod
    def of(cls, source: Any, title: str = "", *, initial: Any = None, length: int | None = None, subtitle: str = "") -> Study:
        """The study of a `Run`, of the file of one, of a mapping of names to `Spectrum`, or of a `Spectrum` with the axes "layer" and "head".

        Other group axes than "head" and "bucket" are pooled.

        Raises:
            TypeError: for another source.
            ValueError: for one without spectra.

        >>> import torch, spectral_kernels as sk
        >>> study = Study.of({"layers.0": sk.Spectrum((2,)).update(torch.rand(9, 2, 1))}, "by hand")
        >>> study.layers[0].name, study.layers[0].heads
        ('layers.0', 2)
        """
        if isinstance(source, Study):
            return source
        if isinstance(source, str | Path):
            source = _read(Path(source))
        records = getattr(source, "records", {})
        title = title or getattr(source, "title", "") or "Spectrum"
        layers = tuple(_layer(name, spectrum, records.get(name)) for name, spectrum in _spectra(source).items())
        before = None if initial is None else cls.of(initial, "initialisation")
        return cls(title, layers, before, length, subtitle)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """Every head, layer by layer."""
        return heads_of(self)

    @cached_property
    def whole(self) -> Spectrum:
        """All eigenvalues, one group."""
        return merged(self.layers)

    @cached_property
    def measures(self) -> Measures:
        """Of all eigenvalues."""
        return measure(self.whole)

    @property
    def single(self) -> bool:
        """Whether no layer has more than one head."""
        return all(layer.heads == 1 for layer in self.layers)

    @cached_property
    def uniform(self) -> Spectrum | None:
        """What attention that looks at all keys alike would show over sequences of the same length; None where no layer is attention or the length is unknown."""
        return uniform_attention(self.length) if self.attention and self.length is not None and self.length > 1 else None

    @property
    def positions_known(self) -> bool:
        """Whether spectra are kept by position bucket."""
        return all(len(layer.spectrum.buckets) > 1 for layer in self.layers)

    @property
    def attention(self) -> tuple[Layer, ...]:
        """The layers whose eigenvalues are ratios of normalisers: the ones that uniform attention is the null of."""
        return tuple(layer for layer in self.layers if layer.gauge == "normalised" and layer.family.endswith("attention"))


def merged(layers: tuple[Layer, ...]) -> Spectrum:
    """All eigenvalues of some layers, one group."""
    total = layers[0].whole
    for layer in layers[1:]:
        total = total + layer.whole
    return total


def _read(path: Path) -> Any:
    from spectral_kernels.api.capture import Run

    try:
        return Run.load(path)
    except ValueError as of_run:
        try:
            return Spectrum.load(path)
        except ValueError:
            raise of_run from None


def _spectra(source: Any) -> Mapping[str, Spectrum]:
    if isinstance(source, Spectrum):
        if "layer" not in source.names:
            return {"all": source}
        first = (slice(None),) * source.names.index("layer")
        return {f"layer {i}": source[(*first, i)] for i in range(source.shape[len(first)])}
    found = source if isinstance(source, Mapping) else getattr(source, "spectra", None)
    if not isinstance(found, Mapping) or not all(isinstance(s, Spectrum) for s in found.values()):
        raise TypeError(f"report: expected a Run, the path of a saved one, a Spectrum or a mapping of names to Spectrum, got {type(source).__name__}")
    return found


def _layer(name: str, spectrum: Spectrum, record: Any) -> Layer:
    if others := [axis for axis in spectrum.names if axis not in _AXES]:
        spectrum = spectrum.pool(*others)
    if "head" not in spectrum.names:
        spectrum = Spectrum._of(("head", *spectrum.names), spectrum.buckets, spectrum.counts[None], spectrum.sums[None], spectrum.extremes[None])
    known = {} if record is None else {key: getattr(record, key) for key in ("family", "structure", "gauge", "n", "error", "note") if hasattr(record, key)}
    return Layer(name, spectrum.to("cpu"), **known)
