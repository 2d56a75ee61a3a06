"""The distance of two spectra, whatever the order of their eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np


def matched_distance(a: Any, b: Any) -> float:
    """Largest ``|a_i - b_j|`` over the pairing of two sets of eigenvalues whose sum of distances is least.

    Args:
        a, b: ``(n,)``, real or complex: tensors or arrays.

    Returns:
        The distance, 0 for n = 0; inf where the numbers of eigenvalues differ, or where one set holds NaN or Inf and the other does not
        at as many places.

    Needs scipy.

    >>> matched_distance([1.0, 2.0], [2.0, 1.0j])
    1.4142135623730951
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    x, y = (np.asarray(v, dtype=complex).reshape(-1) for v in (a, b))
    finite = [np.isfinite(v) for v in (x, y)]
    if x.shape != y.shape or finite[0].sum() != finite[1].sum():
        return float("inf")
    cost = np.abs(x[finite[0], None] - y[None, finite[1]])
    return float(cost[linear_sum_assignment(cost)].max()) if cost.size else 0.0
