"""Reports: what spectra say about a model, on one self-contained page and in a table."""

from __future__ import annotations

from spectral_kernels.api.report.difference import differences as differences
from spectral_kernels.api.report.page import write as write
from spectral_kernels.api.report.study import Study as Study
from spectral_kernels.api.report.summary import sentences as sentences
from spectral_kernels.api.report.table import rows as rows
from spectral_kernels.api.report.table import write_distances as write_distances
from spectral_kernels.api.report.table import write_table as write_table
