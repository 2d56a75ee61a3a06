// The eigenvalue of alpha I - beta k p^T that differs from alpha.
#pragma once
#include "dot.h"

namespace sk {

// alpha - beta p^T k, of vectors k, p [n].
template <class L>
SK_HD L rank_one_eigenvalue(L alpha, L beta, const L* k, const L* p, int64_t n) {
  return alpha - beta * dot(p, k, n);
}

}  // namespace sk
