// The eigenvalues of alpha I - beta k p^T.
#pragma once
#include <limits>

#include "lane.h"

namespace sk {

template <class T>
constexpr T quiet_nan = std::numeric_limits<T>::quiet_NaN();

template <class L>
struct RankOneEigenvalues {
  L repeated, last;  // n - 1 times, once
};

// alpha, and alpha - beta p^T k; both NaN where that is not finite, for then the matrix is not.
template <class L>
SK_HD RankOneEigenvalues<L> rank_one_eigenvalues(L alpha, L beta, L product) {
  using T = real_t<L>;
  const L last = alpha - beta * product, nan(quiet_nan<T>);
  const mask_t<L> finite = lane_abs(last) <= L(Machine<T>::largest);
  return {lane_select(finite, alpha, nan), lane_select(finite, last, nan)};
}

}  // namespace sk
