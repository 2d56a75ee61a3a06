"""How far the spectra of two models are apart, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from spectral_kernels.api.report.measures import measure
from spectral_kernels.api.report.study import Study
from spectral_kernels.api.report.summary import percent
from spectral_kernels.api.spectrum import Spectrum, jensen_shannon, wasserstein


@dataclass(frozen=True)
class Pair:
    """One layer of both; `names` are its names in the first and in the second."""

    names: tuple[str, str]
    medians: tuple[float, float]
    holds: tuple[float, float]
    wasserstein: float  # in ln|lambda|
    jensen_shannon: float  # of |lambda|, bits


@dataclass(frozen=True)
class Difference:
    """Of all eigenvalues, and of the layers that correspond: by name, or by order where both have the same number."""

    titles: tuple[str, str]
    whole: Pair
    layers: tuple[Pair, ...]

    def sentences(self) -> list[tuple[str, str]]:
        (a, b), w = self.titles, self.whole
        found = [
            ("Memory", f"the median |λ| is {w.medians[0]:.3g} in {a} and {w.medians[1]:.3g} in {b}; {percent(w.holds[0])} and {percent(w.holds[1])} hold."),
            (
                "Distance",
                f"an eigenvalue of one must move by {w.wasserstein:.2g} in ln|λ| on average to make up the other (Wasserstein); their Jensen-Shannon divergence is "
                f"{w.jensen_shannon:.2f} of 1 bit.",
            ),
        ]
        if self.layers:
            most = max(self.layers, key=lambda pair: pair.wasserstein)
            found.append(("Farthest apart", f"layer {most.names[0]}: median |λ| {most.medians[0]:.3g} and {most.medians[1]:.3g}, distance {most.wasserstein:.2g}."))
        return found


def differences(a: Study, b: Study) -> Difference:
    """
    >>> import torch, spectral_kernels as sk
    >>> a, b = (Study.of({"layers.0": sk.Spectrum((1,)).update(torch.full((9, 1, 1), x))}, str(x)) for x in (0.5, 0.95))
    >>> round(differences(a, b).layers[0].wasserstein, 1)
    0.6
    """
    names = {layer.name: layer for layer in b.layers}
    if all(layer.name in names for layer in a.layers):
        pairs = [(layer, names[layer.name]) for layer in a.layers]
    else:
        pairs = list(zip(a.layers, b.layers, strict=True)) if len(a.layers) == len(b.layers) else []
    layers = tuple(_pair((x.name, y.name), x.whole, y.whole) for x, y in pairs)
    return Difference((a.title, b.title), _pair(("all", "all"), a.whole, b.whole), layers)


def _pair(names: tuple[str, str], a: Spectrum, b: Spectrum) -> Pair:
    m, n = measure(a), measure(b)
    return Pair(names, (float(m.quartiles[1]), float(n.quartiles[1])), (float(m.holds), float(n.holds)), float(wasserstein(a, b)), float(jensen_shannon(a, b)))
