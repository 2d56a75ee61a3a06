// Powers of two and of e, and the hyperbolic tangent, on lanes.
#pragma once
#include "lane.h"

namespace sk {

// (2^f - 1) / f on [-1/2, 1/2], by interpolation in the Chebyshev nodes: the relative error of 2^f is 5e-9 (float) and
// 8e-18 (double), below the rounding.  Lowest power first.
template <class T>
struct Exp2Polynomial;
template <>
struct Exp2Polynomial<float> {
  static constexpr int terms = 6;
  static constexpr int lowest = -126;
  SK_HD static float coefficient(int i) {
    constexpr float c[terms] = {0.6931472f, 0.2402265f, 0.05550357f, 0.009618083f, 0.0013390863f, 0.00015453163f};
    return c[i];
  }
};
template <>
struct Exp2Polynomial<double> {
  static constexpr int terms = 11;
  static constexpr int lowest = -1022;
  SK_HD static double coefficient(int i) {
    constexpr double c[terms] = {0.6931471805599453,     0.24022650695910097,    0.0555041086648216,      0.009618129107606888,
                                 0.0013333558146416936,  0.0001540353044173605,  1.525273382983612e-05,   1.321544258792169e-06,
                                 1.0178062445845774e-07, 7.072585949269223e-09,  4.4549605981865186e-10};
    return c[i];
  }
};

// The integer nearest to x, for |x| < 2^22.
template <class L>
SK_HD L lane_round(L x) {
  const L magic(integer_magic<real_t<L>>);
  return (x + magic) - magic;
}

// (2^f - 1) / f for |f| <= 1/2.
template <class L>
SK_HD L exp2_slope(L f) {
  using P = Exp2Polynomial<real_t<L>>;
  L r(P::coefficient(P::terms - 1));
  SK_UNROLL_ALL
  for (int i = P::terms - 2; i >= 0; --i) r = lane_fma(r, f, L(P::coefficient(i)));
  return r;
}

// 2^x for x <= 2^7 (float) or 2^10 (double), within 1.2 ulp; 0 where the result would not be normal, -inf included; NaN for NaN.
template <class L>
SK_HD L lane_exp2(L x) {
  const L n = lane_round(x), f = x - n;
  const L power = lane_ldexp(lane_fma(exp2_slope(f), f, L(1)), n);
  return lane_select(x < L(Exp2Polynomial<real_t<L>>::lowest), L(0), power);
}

// tanh(x) = (1 - e) / (1 + e) sign(x) with e = exp(-2|x|), whose 1 - e keeps its digits next to 0; within 4 ulp.
template <class L>
SK_HD L lane_tanh(L x) {
  using T = real_t<L>;
  const L y = lane_max(L(-60), lane_abs(x) * L(T(-2.885390081777926814719849)));  // -2 / ln 2; tanh is 1 beyond, NaN stays NaN
  const L n = lane_round(y), f = y - n;
  const L two_n = lane_ldexp(L(1), n);
  const L difference = lane_fma(two_n * f, exp2_slope(f), two_n - L(1));  // e - 1
  return lane_copysign(-difference / (L(2) + difference), x);
}

template <class T>
struct Exponential;
template <>
struct Exponential<float> {
  static constexpr float lowest = -105.0f, highest = 89.0f;  // beyond, exp is 0 and infinite
  static constexpr float least_normal = -87.0f;
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.428606765330187e-06f;  // the first has zeros behind: k ln2_high is exact
  static constexpr int degree = 7;
};
template <>
struct Exponential<double> {
  static constexpr double lowest = -746.0, highest = 710.0;
  static constexpr double least_normal = -708.0;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr int degree = 13;
};

// exp(x) = value 2^k, for |x| up to the limits above.
template <class L>
struct ReducedExp {
  L k, value;
};

// k = round(x / ln 2), and of |r| <= ln 2 / 2 Taylor's polynomial, right to a fraction of an ulp (Cody and Waite, Software Manual for the
// Elementary Functions, 1980).
template <class L>
SK_HD ReducedExp<L> reduce_exp(L x) {
  using T = real_t<L>;
  using E = Exponential<T>;
  const L k = lane_round(x * L(T(1.44269504088896340736)));
  const L r = lane_fma(-k, L(E::ln2_low), lane_fma(-k, L(E::ln2_high), x));
  T coefficient[E::degree + 1] = {1, 1};  // 1 / i!
  for (int i = 2; i <= E::degree; ++i) coefficient[i] = coefficient[i - 1] / T(i);
  L sum(coefficient[E::degree]);
  SK_UNROLL_ALL
  for (int i = E::degree - 1; i >= 2; --i) sum = lane_fma(sum, r, L(coefficient[i]));
  return {k, lane_fma(r * r, sum, r) + L(1)};
}

// exp(x) over the whole range; NaN gives NaN.
template <class L>
SK_HD L lane_exp(L x) {
  using T = real_t<L>;
  using E = Exponential<T>;
  const ReducedExp<L> e = reduce_exp(lane_min(L(E::highest), lane_max(L(E::lowest), x)));  // in this order NaN stays
  const L half = lane_round(e.k * L(T(0.5)));  // 2^k itself may lie outside the range: in two factors, of which one rounds
  return e.value * lane_ldexp(L(1), half) * lane_ldexp(L(1), e.k - half);
}

// exp(x) for x <= 0; 0 where it is about the smallest normal number or less.
template <class L>
SK_HD L lane_exp_negative(L x) {
  const L least(Exponential<real_t<L>>::least_normal);
  const ReducedExp<L> e = reduce_exp(x);
  return lane_select(x >= least, lane_ldexp(e.value, e.k), L(0));
}

}  // namespace sk
