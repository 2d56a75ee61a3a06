"""The structure classes: what a transition ``A_t`` is made of, and how its eigenvalues follow from that."""

from __future__ import annotations

from spectral_kernels.api.transitions.base import Distinct as Distinct
from spectral_kernels.api.transitions.base import Transition as Transition
from spectral_kernels.api.transitions.base import horizon as horizon
from spectral_kernels.api.transitions.base import spectral_radius as spectral_radius
from spectral_kernels.api.transitions.dense import Dense as Dense
from spectral_kernels.api.transitions.elementwise import Scalar as Scalar
from spectral_kernels.api.transitions.jacobian import Jacobian as Jacobian
from spectral_kernels.api.transitions.secular import BilinearLowRank as BilinearLowRank
from spectral_kernels.api.transitions.secular import DiagonalPlusRankOne as DiagonalPlusRankOne
