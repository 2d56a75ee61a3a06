// Operations on one register that the sketch needs besides those of a lane.
#pragma once
#include "../core/sketch.h"
#include "lane_simd.h"

namespace sk {

// counts + 1 where a > b.
template <class T, int W>
SK_HD IntVec<T, W> vec_count_greater(IntVec<T, W> counts, Vec<T, W> a, Vec<T, W> b) {
#if defined(__AVX512F__)
  using I = IntVec<T, W>;
  if constexpr (sizeof(I) == 64) {
    const auto m = vec_compare<_CMP_GT_OQ, T, W>(a, b).bits;
    if constexpr (sizeof(T) == 4) return (I)_mm512_mask_add_epi32((__m512i)counts, m, (__m512i)counts, _mm512_set1_epi32(1));
    else return (I)_mm512_mask_add_epi64((__m512i)counts, m, (__m512i)counts, _mm512_set1_epi64(1));
  }
#endif
  return counts - (IntVec<T, W>)(a > b);
}

template <class T, int W>
SK_HD bool vec_any_negative(IntVec<T, W> a) {
  typename IntOf<T>::type all = 0;
  for (int w = 0; w < W; ++w) all |= a[w];
  return all < 0;
}

}  // namespace sk
