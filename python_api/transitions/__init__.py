"""The structure classes: what a transition ``A_t`` is made of, and how its eigenvalues follow from that."""

from __future__ import annotations

from spectral_kernels.api.transitions.base import Transition as Transition
from spectral_kernels.api.transitions.dense import Dense as Dense
from spectral_kernels.api.transitions.elementwise import Diagonal as Diagonal
from spectral_kernels.api.transitions.elementwise import Scalar as Scalar
from spectral_kernels.api.transitions.elementwise import ZeroOrderHold as ZeroOrderHold
from spectral_kernels.api.transitions.householder import HouseholderProduct as HouseholderProduct
from spectral_kernels.api.transitions.householder import LowRankUpdate as LowRankUpdate
from spectral_kernels.api.transitions.jacobian import Jacobian as Jacobian
from spectral_kernels.api.transitions.kronecker import KroneckerMomentum as KroneckerMomentum
from spectral_kernels.api.transitions.kronecker import KroneckerRankOne as KroneckerRankOne
from spectral_kernels.api.transitions.level_merge import LevelMerge as LevelMerge
from spectral_kernels.api.transitions.momentum import Momentum as Momentum
from spectral_kernels.api.transitions.products import cat as cat
from spectral_kernels.api.transitions.rank_one import RankOne as RankOne
from spectral_kernels.api.transitions.rotation import Rotation as Rotation
from spectral_kernels.api.transitions.secular import BilinearLowRank as BilinearLowRank
from spectral_kernels.api.transitions.secular import DiagonalPlusRankOne as DiagonalPlusRankOne
from spectral_kernels.api.transitions.shift import Companion as Companion
from spectral_kernels.api.transitions.shift import ShiftRegister as ShiftRegister
from spectral_kernels.api.transitions.values import Distinct as Distinct
from spectral_kernels.api.transitions.values import horizon as horizon
from spectral_kernels.api.transitions.values import spectral_radius as spectral_radius
