// One eigenvalue, taken apart and counted.
#pragma once
#include "lane.h"
#include "sketch.h"

namespace sk {

// Made by the definition, so that all compare with the same numbers.
struct SketchTables {
  const void* edges;         // axis_bins - 1, in the type of the magnitudes
  const double* directions;  // (cos, sin) of directions angles
  const int64_t* rings;      // axis_bins
};

// What the edges are compared with, and the rest in double precision.  `sign`: -1 for a negative number, 1 for a positive one, 0 for a complex one.
template <class Edge>
struct Polar {
  Edge magnitude;
  double modulus, square, log, re, im;
  int sign;
  bool finite;
};

template <bool Complex, bool Log, class T>
SK_HD auto polar(const T* p) {
  constexpr double inf = __builtin_inf();
  if constexpr (Log) {
    Polar<T> r;
    r.magnitude = p[0];
    r.log = p[0], r.modulus = exp(r.log), r.square = r.modulus * r.modulus;
    const T angle = Complex ? p[1] : T(0);
    r.finite = r.log < inf && fabs(double(angle)) < inf;
    r.sign = angle == 0 || r.log == -inf ? 1 : fabs(double(angle)) == double(T(3.14159265358979323846)) ? -1 : 0;
    r.re = r.sign ? r.sign : cos(double(angle)), r.im = r.sign ? 0.0 : sin(double(angle));
    return r;
  } else if constexpr (!Complex) {
    Polar<T> r;
    r.magnitude = lane_abs(p[0]);
    r.modulus = r.magnitude, r.square = r.modulus * r.modulus, r.log = log(r.modulus);
    r.finite = r.modulus < inf;
    r.re = p[0], r.im = 0, r.sign = p[0] < 0 ? -1 : 1;
    return r;
  } else {
    Polar<double> r;
    r.re = p[0], r.im = p[1];
    r.finite = fabs(r.re) < inf && fabs(r.im) < inf;
    r.magnitude = r.square = r.re * r.re + r.im * r.im;
    r.modulus = sqrt(r.magnitude);
    r.log = r.re == 0 && r.im == 0 ? -inf : lane_min(lane_max(0.5 * log(r.magnitude), -400.0), 400.0);
    r.sign = r.im != 0 ? 0 : r.re < 0 ? -1 : 1;
    return r;
  }
}

// Adds one eigenvalue, or its logarithm, `times` times to a partial sketch:
//   part.count_bin(bin, ring and sector, times)   part.count_phase(phase, times)   part.count_tally(tally, times)
//   part.add(terms, modulus, times)               of the sums and the extremes
template <bool Complex, bool Log, class T, class Part>
SK_HD void add_value(Part& part, const T* p, int64_t times, bool marked, const SketchTables& tables) {
  using Edge = decltype(polar<Complex, Log>(p).magnitude);
  const auto v = polar<Complex, Log>(p);
  if (!v.finite) {
    part.count_tally(nonfinite_tally, times);
    return;
  }
  const bool zero = v.log == -__builtin_inf();
  int bin = zero ? 0 : settle<Edge>(bin_of_log(v.log), v.magnitude, static_cast<const Edge*>(tables.edges));
  if (!zero && bin == 0) bin = 1;  // re^2 + im^2 has underflowed
  int phase = 0, sector = 0;
  if (v.sign < 0) {
    phase = phase_bins - 1, sector = sectors / 2;
  } else if (v.sign == 0) {
    const double height = fabs(v.im), *edge = tables.directions;
    int half = 0;
    for (int d = 0; d < phase_bins - 1; ++d) phase += height * edge[2 * d] - v.re * edge[2 * d + 1] >= 0;
    for (int d = phase_bins - 1; d < directions; ++d) half += height * edge[2 * d] - v.re * edge[2 * d + 1] >= 0;
    sector = v.im < 0 && half > 0 ? sectors - half : half;
  }
  part.count_bin(bin, tables.rings[bin] * sectors + sector, times);
  part.count_phase(phase, times);
  if (v.sign != 0) part.count_tally(real_tally, times);
  if (v.sign < 0) part.count_tally(negative_tally, times);
  if (marked) part.count_tally(suspect_tally, times);
  const double held = zero ? 0.0 : lane_min(lane_max(v.log, -log_limit), log_limit);
  Sums terms;
  terms.of[0] = fixed_of(held), terms.of[1] = fixed_of(held * held);
  terms.of[2] = fixed_of(lane_min(v.modulus, modulus_limit)), terms.of[3] = fixed_of(lane_min(v.square, modulus_limit * modulus_limit));
  part.add(terms, v.modulus, times);
}

}  // namespace sk
