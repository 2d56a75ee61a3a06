"""The SIMT emulation: a kernel runs in every order of its threads."""

from __future__ import annotations

import numpy as np
import pytest
import simt_library


@pytest.mark.parametrize("order", simt_library.ORDERS)
def test_example(order):
    x = np.random.default_rng(0).standard_normal((10, 100))
    y = np.full(10, np.nan)
    kernels = simt_library.load("simt/example.cpp")
    kernels.order = order
    kernels.call("row_sum_f64", x, y, 10, 100)
    np.testing.assert_allclose(y, x.sum(1), rtol=1e-14)
    assert kernels.launched() == ["row_sum(double const*, double*, int, int)"]
