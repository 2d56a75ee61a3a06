"""The sink: spectra of many positions, heads and layers in a sketch of fixed size, their baselines and distances."""

from __future__ import annotations

from spectral_kernels.api.spectrum.baseline import uniform_attention as uniform_attention
from spectral_kernels.api.spectrum.distance import Comparison as Comparison
from spectral_kernels.api.spectrum.distance import Excess as Excess
from spectral_kernels.api.spectrum.distance import compare as compare
from spectral_kernels.api.spectrum.distance import excess as excess
from spectral_kernels.api.spectrum.distance import jensen_shannon as jensen_shannon
from spectral_kernels.api.spectrum.distance import wasserstein as wasserstein
from spectral_kernels.api.spectrum.spectrum import Spectrum as Spectrum
from spectral_kernels.api.spectrum.statistics import PHASE_EDGES as PHASE_EDGES
from spectral_kernels.api.spectrum.statistics import RADIUS_EDGES as RADIUS_EDGES
from spectral_kernels.api.spectrum.statistics import Bins as Bins
from spectral_kernels.api.spectrum.statistics import Histogram as Histogram
from spectral_kernels.api.spectrum.statistics import Plane as Plane
from spectral_kernels.api.spectrum.suspect import near_defective as near_defective
