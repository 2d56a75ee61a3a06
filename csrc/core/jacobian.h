// Jacobians of gated recurrent cells, formed from what the gates do to each part of the state.
#pragma once
#include "tile.h"

namespace sk {

// sum_g Diag(coefficient_g) W_g at (r, m): weights W [gates][n][n], coefficient [gates][n] of one part of the state.
template <class L>
SK_HD L gate_sum(const real_t<L>* weight, const L* coefficient, int gates, int n, int r, int m) {
  L sum(0);
  for (int g = 0; g < gates; ++g) sum = lane_fma(coefficient[g * n + r], L(weight[(long(g) * n + r) * n + m]), sum);
  return sum;
}

// J_ij = Diag(diagonal_ij) + [j = 0] sum_g Diag(coefficient_ig) W_g into h, which is [parts n][parts n]; the weights W [gates][n][n]
// are shared by the matrices of the group, coefficient [parts][gates][n] and diagonal [parts][parts][n] are their own.
template <class L>
SK_HD void form_jacobian(const real_t<L>* weight, const L* coefficient, const L* diagonal, int gates, int parts, int n, Tile<L> h) {
  for (int i = 0; i < parts; ++i)
    for (int r = 0; r < n; ++r) {
      L* row = h.row(i * n + r);
      for (int m = 0; m < n; ++m) row[m] = gate_sum(weight, coefficient + i * gates * n, gates, n, r, m);
      for (int m = n; m < parts * n; ++m) row[m] = L(0);
      for (int j = 0; j < parts; ++j) row[j * n + r] = row[j * n + r] + diagonal[(i * parts + j) * n + r];
    }
}

// One entry of it.
template <class L>
SK_HD L jacobian_entry(const real_t<L>* weight, const L* coefficient, const L* diagonal, int gates, int parts, int n, int row, int column) {
  const int i = row / n, r = row - i * n, j = column / n, m = column - j * n;
  const L sum = j == 0 ? gate_sum(weight, coefficient + i * gates * n, gates, n, r, m) : L(0);
  return r == m ? sum + diagonal[(i * parts + j) * n + r] : sum;
}

}  // namespace sk
