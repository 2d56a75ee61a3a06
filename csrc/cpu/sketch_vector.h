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

template <class T>
struct Exponential;
template <>
struct Exponential<float> {
  static constexpr int degree = 7;
  static constexpr float least = -87.0f, shift = 12582912.0f, ln2_high = 0.693145751953125f, ln2_low = 1.42860682030941723e-6f;
};
template <>
struct Exponential<double> {
  static constexpr int degree = 13;
  static constexpr double least = -708.0, shift = 6755399441055744.0, ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
};

// exp(x) for x <= 0, 0 where it is about the smallest normal number or less: x = k ln 2 + r, and the Taylor polynomial of exp(r), |r| <= ln(2) / 2.
// The sum with `shift` = 1.5 * 2^mantissa rounds x / ln 2 to an integer and leaves it in the last bits.
template <class T, int W>
SK_HD Vec<T, W> vec_exp_negative(Vec<T, W> x) {
  using V = Vec<T, W>;
  using I = IntVec<T, W>;
  using E = Exponential<T>;
  const V zero{}, shift = E::shift - zero;
  const V shifted = vec_fma<T, W>(x, T(1.4426950408889634074) - zero, shift), k = shifted - shift;
  const V r = vec_fma<T, W>(k, -E::ln2_low - zero, vec_fma<T, W>(k, -E::ln2_high - zero, x));
  T inverse_factorial[E::degree + 1] = {1};
  for (int i = 1; i <= E::degree; ++i) inverse_factorial[i] = inverse_factorial[i - 1] / T(i);
  V y = inverse_factorial[E::degree] - zero;
  SK_UNROLL_ALL
  for (int i = E::degree - 1; i >= 0; --i) y = vec_fma<T, W>(y, r, inverse_factorial[i] - zero);
  y = (V)((I)y + ((I)shifted << FloatBits<T>::mantissa));
  return vec_max<T, W>(x, E::least - zero) == x ? y : zero;
}

}  // namespace sk
