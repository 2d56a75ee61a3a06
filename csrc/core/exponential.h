// exp for lanes.
#pragma once
#include "lane.h"

namespace sk {

template <class T>
struct Exponential;
template <>
struct Exponential<float> {
  static constexpr float lowest = -105.0f, highest = 89.0f;  // beyond, exp is 0 and infinite
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.428606765330187e-06f;  // the first has zeros behind: k ln2_high is exact
  static constexpr int degree = 7;
};
template <>
struct Exponential<double> {
  static constexpr double lowest = -746.0, highest = 710.0;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr int degree = 13;
};

// exp(x) = 2^k exp(r) with k = round(x / ln 2) and |r| <= ln 2 / 2, where Taylor's polynomial of this degree is right to a
// fraction of an ulp (Cody and Waite, Software Manual for the Elementary Functions, 1980).  NaN gives NaN.
template <class L>
SK_HD L lane_exp(L x) {
  using T = real_t<L>;
  using E = Exponential<T>;
  x = lane_min(L(E::highest), lane_max(L(E::lowest), x));  // in this order NaN stays
  const L k = lane_round(x * L(T(1.44269504088896340736)));
  const L r = lane_fma(-k, L(E::ln2_low), lane_fma(-k, L(E::ln2_high), x));
  T coefficient[E::degree + 1] = {1, 1};  // 1 / i!
  for (int i = 2; i <= E::degree; ++i) coefficient[i] = coefficient[i - 1] / T(i);
  L sum(coefficient[E::degree]);
  SK_UNROLL_ALL
  for (int i = E::degree - 1; i >= 2; --i) sum = lane_fma(sum, r, L(coefficient[i]));
  sum = lane_fma(r * r, sum, r) + L(1);
  const L half = lane_round(k * L(T(0.5)));  // 2^k itself may lie outside the range: in two factors, of which one rounds
  return sum * lane_pow2(half) * lane_pow2(k - half);
}

}  // namespace sk
