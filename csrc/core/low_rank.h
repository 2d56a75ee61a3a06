// Diagonal plus low rank.
#pragma once
#include "entry.h"

namespace sk {

// Entry (i, j) of Diag(d) + sum_r b_r c_r^T, without conjugation: d [n], b and c [rank][n].
template <class E>
SK_HD E low_rank_entry(const E* d, const E* b, const E* c, int rank, int n, int i, int j) {
  E sum = i == j ? d[i] : entry<E>(lane_of<E>(0), lane_of<E>(0));
  for (int r = 0; r < rank; ++r) sum = multiply_add(b[r * n + i], c[r * n + j], sum);
  return sum;
}

}  // namespace sk
