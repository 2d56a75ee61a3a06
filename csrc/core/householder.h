// The small core of a product of Householder reflectors: P_m ... P_1 with P_j = I - beta_j k_j k_j^T is I - K T K^T in compact WY
// form, T = (I + Diag(beta) stril(G))^-1 Diag(beta), G = K^T K, and shares its eigenvalues other than 1 with I - T G (m x m).
// Schreiber and Van Loan (1989); without 1/beta, so beta_j = 0 is ordinary.
#pragma once
#include "dot.h"
#include "tile.h"

namespace sk {

// Row i of X = T G by forward substitution in (I + Diag(beta) stril(G)) X = Diag(beta) G, entry (i, c): row i of G left of the diagonal,
// G(i, c), and column c of X above row i.
template <class L, class Row, class Column>
SK_HD L forward_substitution(L beta, L gic, int i, Row&& row, Column&& column) {
  L sum = gic;
  for (int j = 0; j < i; ++j) sum = lane_fma(-row(j), column(j), sum);
  return beta * sum;
}

// I - T G into h [m][m], from the vectors k [m][n] and beta [m]; row: scratch [m].
template <class L>
SK_HD void householder_core(const L* k, const L* beta, int64_t n, L* row, Tile<L> h) {
  const int m = h.n;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j <= i; ++j) h(i, j) = h(j, i) = dot(k + i * n, k + j * n, n);
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < i; ++j) row[j] = h(i, j);
    for (int c = 0; c < m; ++c) h(i, c) = forward_substitution(beta[i], h(i, c), i, [&](int j) { return row[j]; }, [&](int j) { return h(j, c); });
  }
  for (int i = 0; i < m; ++i)
    for (int c = 0; c < m; ++c) h(i, c) = i == c ? L(1) - h(i, c) : -h(i, c);
}

}  // namespace sk
