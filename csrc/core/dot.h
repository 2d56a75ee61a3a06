// Inner products, for each matrix of a lane group.
#pragma once
#include "lane.h"

namespace sk {

// sum_i a_i b_i in four chains: a sum of four partial sums rounds less than one, and hides the latency of the multiply-add.
template <class L>
SK_HD L dot(const L* a, const L* b, int64_t n) {
  L s0(0), s1(0), s2(0), s3(0);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    s0 = lane_fma(a[i], b[i], s0);
    s1 = lane_fma(a[i + 1], b[i + 1], s1);
    s2 = lane_fma(a[i + 2], b[i + 2], s2);
    s3 = lane_fma(a[i + 3], b[i + 3], s3);
  }
  for (; i < n; ++i) s0 = lane_fma(a[i], b[i], s0);
  return (s0 + s1) + (s2 + s3);
}

}  // namespace sk
