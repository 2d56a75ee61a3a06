// Jacobians of gated recurrent cells, formed from what the gates do to each part of the state.
#pragma once
#include "tile.h"

namespace sk {

// J_ij = Diag(diagonal_ij) + [j = 0] sum_g Diag(coefficient_ig) W_g into h, which is [parts n][parts n]; the weights W [gates][n][n]
// are shared by the matrices of the group, coefficient [parts][gates][n] and diagonal [parts][parts][n] are their own.
template <class L>
SK_HD void form_jacobian(const real_t<L>* weight, const L* coefficient, const L* diagonal, int gates, int parts, int n, Tile<L> h) {
  for (int i = 0; i < parts; ++i)
    for (int r = 0; r < n; ++r) {
      L* row = h.row(i * n + r);
      for (int m = 0; m < n; ++m) {
        L sum(0);
        for (int g = 0; g < gates; ++g) sum = lane_fma(coefficient[(i * gates + g) * n + r], L(weight[(long(g) * n + r) * n + m]), sum);
        row[m] = sum;
      }
      for (int m = n; m < parts * n; ++m) row[m] = L(0);
      for (int j = 0; j < parts; ++j) row[j * n + r] = row[j * n + r] + diagonal[(i * parts + j) * n + r];
    }
}

}  // namespace sk
