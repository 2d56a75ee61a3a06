// One eigenvalue, taken apart and counted.
#pragma once
#include "sketch.h"

namespace sk {

// Made by the definition, so that both compare with the same numbers.
struct Tables {
  const void* edges;
  const double* directions;  // (cos, sin) of directions angles
  const int64_t* rings;

  Tables(const Tensor& edges, const Tensor& directions, const Tensor& rings, ScalarType edge) {
    STD_TORCH_CHECK(edges.numel() == axis_bins - 1 && edges.scalar_type() == edge && edges.is_contiguous() && directions.numel() == 2 * sk::directions &&
                        directions.scalar_type() == ScalarType::Double && directions.is_contiguous() && rings.numel() == axis_bins &&
                        rings.scalar_type() == ScalarType::Long && rings.is_contiguous(),
                    "spectral_kernels::sketch: expected the tables of spectral_kernels.reference.sketch");
    this->edges = edges.const_data_ptr();
    this->directions = static_cast<const double*>(directions.const_data_ptr());
    this->rings = static_cast<const int64_t*>(rings.const_data_ptr());
  }
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
auto polar(const T* p) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  if constexpr (Log) {
    Polar<T> r;
    r.magnitude = p[0];
    r.log = p[0], r.modulus = std::exp(r.log), r.square = r.modulus * r.modulus;
    const T angle = Complex ? p[1] : T(0);
    r.finite = r.log < inf && std::isfinite(angle);
    r.sign = angle == 0 || r.log == -inf ? 1 : std::fabs(angle) == T(3.14159265358979323846) ? -1 : 0;
    r.re = r.sign ? r.sign : std::cos(double(angle)), r.im = r.sign ? 0.0 : std::sin(double(angle));
    return r;
  } else if constexpr (!Complex) {
    Polar<T> r;
    r.magnitude = std::fabs(p[0]);
    r.modulus = r.magnitude, r.square = r.modulus * r.modulus, r.log = std::log(r.modulus);
    r.finite = r.modulus < inf;
    r.re = p[0], r.im = 0, r.sign = p[0] < 0 ? -1 : 1;
    return r;
  } else {
    Polar<double> r;
    r.re = p[0], r.im = p[1];
    r.finite = std::isfinite(r.re) && std::isfinite(r.im);
    r.magnitude = r.square = r.re * r.re + r.im * r.im;
    r.modulus = std::sqrt(r.magnitude);
    r.log = r.re == 0 && r.im == 0 ? -inf : std::min(std::max(0.5 * std::log(r.magnitude), -400.0), 400.0);
    r.sign = r.im != 0 ? 0 : r.re < 0 ? -1 : 1;
    return r;
  }
}

// Adds one eigenvalue, or its logarithm, `times` times.
template <bool Complex, bool Log, class T>
void add_value(PartialSketch& part, const T* p, int64_t times, bool marked, const Tables& tables) {
  using Edge = decltype(polar<Complex, Log>(p).magnitude);
  const auto v = polar<Complex, Log>(p);
  int64_t* tally = part.counts.data() + tally_at;
  if (!v.finite) {
    tally[nonfinite_tally] += times;
    return;
  }
  const bool zero = std::isinf(v.log);
  int bin = zero ? 0 : settle<Edge>(bin_of_log(v.log), v.magnitude, static_cast<const Edge*>(tables.edges));
  if (!zero && bin == 0) bin = 1;  // re^2 + im^2 has underflowed
  int phase = 0, sector = 0;
  if (v.sign < 0) {
    phase = phase_bins - 1, sector = sectors / 2;
  } else if (v.sign == 0) {
    const double height = std::fabs(v.im), *edge = tables.directions;
    int half = 0;
    for (int d = 0; d < phase_bins - 1; ++d) phase += height * edge[2 * d] - v.re * edge[2 * d + 1] >= 0;
    for (int d = phase_bins - 1; d < directions; ++d) half += height * edge[2 * d] - v.re * edge[2 * d + 1] >= 0;
    sector = v.im < 0 && half > 0 ? sectors - half : half;
  }
  part.counts[bin] += times;
  part.counts[phase_at + phase] += times;
  part.counts[plane_at + tables.rings[bin] * sectors + sector] += times;
  tally[real_tally] += v.sign != 0 ? times : 0;
  tally[negative_tally] += v.sign < 0 ? times : 0;
  tally[suspect_tally] += marked ? times : 0;
  const double log = zero ? 0.0 : std::min(std::max(v.log, -log_limit), log_limit);
  Sums terms;
  terms.of[0] = fixed_of(log), terms.of[1] = fixed_of(log * log);
  terms.of[2] = fixed_of(std::min(v.modulus, modulus_limit)), terms.of[3] = fixed_of(std::min(v.square, modulus_limit * modulus_limit));
  part.sums.add(terms, times);
  part.smallest = std::min(part.smallest, v.modulus);
  part.largest = std::max(part.largest, v.modulus);
}

}  // namespace sk
