// Worst errors of lane_exp2 and lane_tanh on the scalar lane, in ulps, and their values at the ends.
#include "core/exp.h"

#include <cmath>
#include <cstdio>

template <class T>
double ulps(T found, long double exact) {
  const long double ulp = ldexpl(1.0L, ilogbl(exact) - (sizeof(T) == 4 ? 23 : 52));
  return double(fabsl((long double)found - exact) / ulp);
}

template <class T>
void measure() {
  const T lowest = sizeof(T) == 4 ? T(-126) : T(-1022);
  double exp2_worst = 0, tanh_worst = 0;
  for (int i = 0; i <= 400000; ++i) {
    const T x = lowest + T(i) * (T(7) - lowest) / T(400000), y = T(i - 200000) / T(2e5) * std::abs(T(i - 200000)) / T(2e5) * T(12);
    exp2_worst = fmax(exp2_worst, ulps(sk::lane_exp2(x), exp2l(x)));
    if (y != 0) tanh_worst = fmax(tanh_worst, ulps(sk::lane_tanh(y), tanhl(y)));
  }
  const T inf = T(INFINITY), nan = T(NAN);
  printf("%.3f %.3f %d\n", exp2_worst, tanh_worst,
         sk::lane_exp2(-inf) == 0 && sk::lane_exp2(lowest * 2) == 0 && sk::lane_exp2(T(0)) == 1 && std::isnan(sk::lane_exp2(nan)) &&
             sk::lane_tanh(inf) == 1 && sk::lane_tanh(-inf) == -1 && sk::lane_tanh(T(0)) == 0 && std::isnan(sk::lane_tanh(nan)));
}

int main() {
  measure<float>();
  measure<double>();
}
