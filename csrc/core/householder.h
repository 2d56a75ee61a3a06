// The small core of a product of Householder reflectors: P_m ... P_1 with P_j = I - beta_j k_j k_j^T is I - K T K^T in compact WY
// form, T = (I + Diag(beta) stril(G))^-1 Diag(beta), G = K^T K, and shares its eigenvalues other than 1 with I - T G (m x m).
// Schreiber and Van Loan (1989); without 1/beta, so beta_j = 0 is ordinary.
#pragma once
#include "dot.h"
#include "tile.h"

namespace sk {

// I - T G into h [m][m], from the vectors k [m][n] and beta [m]; row: scratch [m].
template <class L>
SK_HD void householder_core(const L* k, const L* beta, int64_t n, L* row, Tile<L> h) {
  const int m = h.n;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j <= i; ++j) h(i, j) = h(j, i) = dot(k + i * n, k + j * n, n);
  for (int i = 0; i < m; ++i) {  // X = T G by forward substitution in (I + Diag(beta) stril(G)) X = Diag(beta) G
    for (int j = 0; j < i; ++j) row[j] = h(i, j);
    for (int c = 0; c < m; ++c) {
      L sum = h(i, c);
      for (int j = 0; j < i; ++j) sum = lane_fma(-row[j], h(j, c), sum);
      h(i, c) = beta[i] * sum;
    }
  }
  for (int i = 0; i < m; ++i)
    for (int c = 0; c < m; ++c) h(i, c) = i == c ? L(1) - h(i, c) : -h(i, c);
}

}  // namespace sk
