// The lane contract: all that core/ may ask of a lane type L.  A lane value holds one number for each of W matrices.
//
//   LaneTraits<L>   ::real (float | double)   ::mask   ::width (matrices per value: 1 on CUDA, W on a CPU)
//   L(real)         + - * / and unary -       element by element, never contracted behind the author's back
//   a < b  <=  >  >=  ==  !=  -> mask         masks: & | !
//   lane_select(mask, a, b)                   a where the mask holds, else b
//   lane_any(mask) -> bool                    the only way to branch
//   lane_fma(a, b, c)  lane_sqrt  lane_abs  lane_max  lane_min  lane_copysign(magnitude, sign)
//   lane_pow2_floor(a)                        the largest power of two <= |a|, for normal a (mantissa bits cleared)
//   lane_pow2_inverse(p)                      1 / p for a power of two whose inverse is normal
//   lane_ldexp(a, n)                          a 2^n for an integer |n| < 2^20; a and the result are normal
//   lane_cbrt_estimate(a)                     the cube root within 4 % for normal a > 0
//   lane_hmax(a), lane_hmin(a) -> real        over the W matrices: the bounds of a union of windows
//   part_t<L>, parts_v<L>, lane_part(a, u), lane_set_part(a, u, x)    a lane value as parts of one register each, for throughput-bound loops
//   lane_get(a, w), lane_set(a, w, x)         one matrix of the group, for rare paths (permutation, exceptional shifts)
//
// There is no `if` on lane data: masks and lane_select.  Functions are called unqualified, so that a lane type declared
// later is found by argument-dependent lookup.
#pragma once
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "config.h"

namespace sk {

template <class L>
struct LaneTraits;

template <>
struct LaneTraits<float> {
  using real = float;
  using mask = bool;
  using part = float;
  static constexpr int parts = 1;
  static constexpr int width = 1;
};
template <>
struct LaneTraits<double> {
  using real = double;
  using mask = bool;
  using part = double;
  static constexpr int parts = 1;
  static constexpr int width = 1;
};

template <class L>
using real_t = typename LaneTraits<L>::real;
template <class L>
using mask_t = typename LaneTraits<L>::mask;
template <class L>
using part_t = typename LaneTraits<L>::part;
template <class L>
constexpr int parts_v = LaneTraits<L>::parts;
template <class L>
constexpr int width_v = LaneTraits<L>::width;

// The lane type of a matrix entry, which is a lane value or a Complex of one.
template <class E>
struct LaneOf {
  using type = E;
};
template <class E>
using lane_of = typename LaneOf<E>::type;

// The scalar lane: T itself.
template <class T>
SK_HD T lane_select(bool m, T a, T b) {
  return m ? a : b;
}
SK_HD bool lane_any(bool m) { return m; }

// Fused on every target that has the instruction in its baseline, unfused elsewhere: the scalar and the SIMD lane of one
// extension always agree bit for bit.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__)
SK_HD float lane_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SK_HD double lane_fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
SK_HD float lane_fma(float a, float b, float c) { return a * b + c; }
SK_HD double lane_fma(double a, double b, double c) { return a * b + c; }
#endif

SK_HD float lane_sqrt(float a) { return sqrtf(a); }
SK_HD double lane_sqrt(double a) { return sqrt(a); }
SK_HD float lane_abs(float a) { return fabsf(a); }
SK_HD double lane_abs(double a) { return fabs(a); }
SK_HD float lane_copysign(float a, float s) { return copysignf(a, s); }
SK_HD double lane_copysign(double a, double s) { return copysign(a, s); }
template <class T>
SK_HD T lane_max(T a, T b) {
  return a > b ? a : b;
}
template <class T>
SK_HD T lane_min(T a, T b) {
  return a < b ? a : b;
}
SK_HD float lane_pow2_floor(float a) {
  uint32_t u;
  memcpy(&u, &a, sizeof u);
  u &= 0x7f800000u;
  memcpy(&a, &u, sizeof u);
  return a;
}
SK_HD double lane_pow2_floor(double a) {
  uint64_t u;
  memcpy(&u, &a, sizeof u);
  u &= 0x7ff0000000000000ull;
  memcpy(&a, &u, sizeof u);
  return a;
}
SK_HD float lane_pow2_inverse(float a) {
  uint32_t u;
  memcpy(&u, &a, sizeof u);
  u = 0x7f000000u - u;
  memcpy(&a, &u, sizeof u);
  return a;
}
SK_HD double lane_pow2_inverse(double a) {
  uint64_t u;
  memcpy(&u, &a, sizeof u);
  u = 0x7fe0000000000000ull - u;
  memcpy(&a, &u, sizeof u);
  return a;
}
// The last bits of n + 1.5 2^m, m the bits of the mantissa, are n; shifted there they add to the exponent of a.
template <class T>
constexpr T integer_magic = sizeof(T) == 4 ? T(0x1.8p23) : T(0x1.8p52);
SK_HD float lane_ldexp(float a, float n) {
  uint32_t bits, power;
  n += integer_magic<float>;
  memcpy(&bits, &a, sizeof bits);
  memcpy(&power, &n, sizeof power);
  bits += power << 23;
  memcpy(&a, &bits, sizeof a);
  return a;
}
SK_HD double lane_ldexp(double a, double n) {
  uint64_t bits, power;
  n += integer_magic<double>;
  memcpy(&bits, &a, sizeof bits);
  memcpy(&power, &n, sizeof power);
  bits += power << 52;
  memcpy(&a, &bits, sizeof a);
  return a;
}
// A third of the bits, as an integer, is a third of the logarithm but for what completes the exponent's bias.
SK_HD float lane_cbrt_estimate(float a) {
  uint32_t u;
  memcpy(&u, &a, sizeof u);
  u = ((u >> 14) * 21845u >> 2) + 0x2a508000u;
  memcpy(&a, &u, sizeof a);
  return a;
}
SK_HD double lane_cbrt_estimate(double a) {
  uint64_t u;
  memcpy(&u, &a, sizeof u);
  u = ((u >> 32) * 21845u << 16) + 0x2a9f800000000000ull;
  memcpy(&a, &u, sizeof a);
  return a;
}
SK_HD float lane_part(float a, int) { return a; }
SK_HD double lane_part(double a, int) { return a; }
SK_HD void lane_set_part(float& a, int, float x) { a = x; }
SK_HD void lane_set_part(double& a, int, double x) { a = x; }
SK_HD float lane_hmax(float a) { return a; }
SK_HD double lane_hmax(double a) { return a; }
SK_HD float lane_hmin(float a) { return a; }
SK_HD double lane_hmin(double a) { return a; }
template <class T>
SK_HD T lane_get(const T& a, int) {
  return a;
}
template <class T>
SK_HD void lane_set(T& a, int, T x) {
  a = x;
}

// Constants of the arithmetic, named as in LAPACK's xLAMCH.
template <class T>
struct Machine;
template <>
struct Machine<float> {
  static constexpr float ulp = 1.1920928955078125e-07f;             // 2^-23, xLAMCH('P')
  static constexpr float safmin = 1.17549435082228750797e-38f;      // 2^-126, xLAMCH('S')
  static constexpr float largest = 3.4028234663852886e+38f;
  static constexpr float nan = __builtin_nanf("");
  // Matrices are scaled so that max|a| lies in [1/norm_bound, norm_bound]: products of three entries stay finite and,
  // for entries down to ulp * max|a|, normal.  Tighter than xGEEV's [sqrt(safmin)/ulp, ulp/sqrt(safmin)].
  static constexpr float norm_bound = 1048576.0f;                   // 2^20
  static constexpr float vector_bound = 1073741824.0f;              // 2^30, largest component before a vector is rescaled
  static constexpr float pivot_floor = 8.673617379884035e-19f;      // 2^-60, smallest pivot of the back-substitution
};
template <>
struct Machine<double> {
  static constexpr double ulp = 2.220446049250313e-16;              // 2^-52
  static constexpr double safmin = 2.2250738585072014e-308;         // 2^-1022
  static constexpr double largest = 1.7976931348623157e+308;
  static constexpr double nan = __builtin_nan("");
  static constexpr double norm_bound = 2.037035976334486e+90;       // 2^300
  static constexpr double vector_bound = 1.2676506002282294e+30;    // 2^100
  static constexpr double pivot_floor = 3.054936363499605e-151;     // 2^-500
};

// sqrt(a^2 + b^2) without destructive under- or overflow (xLAPY2).
template <class L>
SK_HD L lane_hypot(L a, L b) {
  L x = lane_abs(a), y = lane_abs(b);
  L big = lane_max(x, y), small = lane_min(x, y);
  auto zero = big == L(0);
  L q = small / lane_select(zero, L(1), big);
  return big * lane_sqrt(lane_fma(q, q, L(1)));
}

}  // namespace sk
