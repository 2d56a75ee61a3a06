// The sketch of a set of eigenvalues: the axis of |lambda|, and sums in fixed point.  Its definition, and what the edges are, stands in
// spectral_kernels/reference/sketch.py, which also makes the tables.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "config.h"

namespace sk {

// Bins of h = |ln|lambda||: each octave [2^k, 2^(k+1)), lowest_octave <= k < -lowest_octave / 4, in 2^part_bits equal parts, so that a bin is the
// exponent and the first bits of the significand of h.
constexpr int part_bits = 5, lowest_octave = -32, octaves = 40, fine_bins = octaves << part_bits;
constexpr int decaying_radii = 3, growing_radii = 2;             // inner edges of the radius bins on either side of 1
constexpr int decaying_bins = fine_bins + decaying_radii + 2;    // one bin below the octaves and one above
constexpr int growing_bins = fine_bins + growing_radii + 2;
constexpr int unit_bin = decaying_bins + 1;                      // |lambda| = 1; bin 0 is that of lambda = 0
constexpr int axis_bins = unit_bin + 1 + growing_bins;
constexpr int phase_bins = 5, rings = 36, sectors = 72;
constexpr int phase_at = axis_bins, plane_at = phase_at + phase_bins, tally_at = plane_at + rings * sectors;
enum Tally { real_tally, negative_tally, suspect_tally, nonfinite_tally, tallies };
constexpr int columns = tally_at + tallies;
constexpr int directions = (phase_bins - 1) + sectors / 2;
constexpr double log_limit = 256.0, modulus_limit = 1048576.0, fixed_unit = 281474976710656.0;  // 2^48

template <class T>
struct FloatBits;
template <>
struct FloatBits<float> {
  using type = int32_t;
  static constexpr int mantissa = 23, bias = 127;
};
template <>
struct FloatBits<double> {
  using type = int64_t;
  static constexpr int mantissa = 52, bias = 1023;
};
// The bits of a positive number, shifted so that their value is its octave and part, less this, is its fine bin.
template <class T>
constexpr int part_shift = FloatBits<T>::mantissa - part_bits;
template <class T>
constexpr int first_part = (FloatBits<T>::bias + lowest_octave) << part_bits;
// ln of the inner radii, away from 1, each rounded to T.
template <class T>
SK_HD T decaying_radius(int i) {
  constexpr T radii[decaying_radii] = {T(0.10536051565782630123), T(0.69314718055994530942), T(2.3025850929940456840)};
  return radii[i];
}
template <class T>
SK_HD T growing_radius(int i) {
  constexpr T radii[growing_radii] = {T(2.3025850929940456840), T(4.6051701859880913680)};
  return radii[i];
}

// The bin of |lambda| from its logarithm, which may be off by a little: `settle` puts that right.
SK_HD int bin_of_log(double log) {
  if (log == 0) return unit_bin;
  const double h = fabs(log);
  int64_t bits;
  memcpy(&bits, &h, sizeof bits);
  int64_t part = (bits >> part_shift<double>) - first_part<double> + 1;
  part = part < 0 ? 0 : part > fine_bins + 1 ? fine_bins + 1 : part;
  if (log < 0) {
    for (int i = 0; i < decaying_radii; ++i) part += h > decaying_radius<double>(i);
    return unit_bin - 1 - int(part);
  }
  for (int i = 0; i < growing_radii; ++i) part += h >= growing_radius<double>(i);
  return unit_bin + 1 + int(part);
}

// The number of edges (axis_bins - 1, ascending) that are <= magnitude, from a guess nearby.
template <class T>
SK_HD int settle(int bin, T magnitude, const T* edges) {
  while (bin > 0 && magnitude < edges[bin - 1]) --bin;
  while (bin < axis_bins - 1 && magnitude >= edges[bin]) ++bin;
  return bin;
}

// Sums in units of 2^-48.
using Fixed = __int128;
SK_HD Fixed fixed_of(double x) {
  const double t = nearbyint(x * fixed_unit);
  return fabs(t) < 4611686018427387904.0 ? Fixed(int64_t(t)) : Fixed(t);
}

// ln|lambda|, its square, |lambda|, its square.
struct Sums {
  Fixed of[4] = {};
  SK_HD void add(const Sums& b, int64_t times) {
    for (int i = 0; i < 4; ++i) of[i] += b.of[i] * times;
  }
};

}  // namespace sk
