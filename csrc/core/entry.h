// One vocabulary for real and complex entries, so that an algorithm is written once: E = L (symmetric matrices) or
// E = Complex<L> (Hermitian).
#pragma once
#include "complex.h"

namespace sk {

template <class L>
using Real = L;  // the counterpart of Complex where an entry is a template parameter

template <class E>
constexpr int components_v = 1;
template <class L>
constexpr int components_v<Complex<L>> = 2;
template <class E>
constexpr bool is_complex_v = components_v<E> == 2;

template <class E>
SK_HD E entry(lane_of<E> re, lane_of<E> im) {
  if constexpr (is_complex_v<E>)
    return {re, im};
  else
    return re;
}
template <class E>
SK_HD lane_of<E> real_part(E a) {
  if constexpr (is_complex_v<E>)
    return a.re;
  else
    return a;
}
template <class L>
SK_HD L conj(L a) {
  return a;
}
template <class L>
SK_HD L multiply_add(L a, L b, L c) {
  return lane_fma(a, b, c);
}
template <class L>
SK_HD L conj_multiply_add(L a, L b, L c) {
  return lane_fma(a, b, c);
}

}  // namespace sk
