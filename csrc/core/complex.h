// Complex numbers on lanes: W real parts beside W imaginary parts.
// Sums of two products are fused as written, one product rounded: the same bits on every lane width.
#pragma once
#include "balance.h"

namespace sk {

template <class L>
struct Complex {
  L re, im;
};

template <class L>
struct LaneOf<Complex<L>> {
  using type = L;
};

template <class L>
SK_HD Complex<L> operator+(Complex<L> a, Complex<L> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class L>
SK_HD Complex<L> operator-(Complex<L> a, Complex<L> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class L>
SK_HD Complex<L> operator-(Complex<L> a) {
  return {-a.re, -a.im};
}
template <class L>
SK_HD Complex<L> operator*(Complex<L> a, Complex<L> b) {
  return {lane_fma(a.re, b.re, -(a.im * b.im)), lane_fma(a.re, b.im, a.im * b.re)};
}
template <class L>
SK_HD Complex<L> operator*(Complex<L> a, L b) {
  return {a.re * b, a.im * b};
}
template <class L>
SK_HD Complex<L> conj(Complex<L> a) {
  return {a.re, -a.im};
}
template <class L>
SK_HD Complex<L> complex_select(mask_t<L> m, Complex<L> a, Complex<L> b) {
  return {lane_select(m, a.re, b.re), lane_select(m, a.im, b.im)};
}

// a b + c, and conj(a) b + c
template <class L>
SK_HD Complex<L> multiply_add(Complex<L> a, Complex<L> b, Complex<L> c) {
  return {lane_fma(-a.im, b.im, lane_fma(a.re, b.re, c.re)), lane_fma(a.im, b.re, lane_fma(a.re, b.im, c.im))};
}
template <class L>
SK_HD Complex<L> conj_multiply_add(Complex<L> a, Complex<L> b, Complex<L> c) {
  return {lane_fma(a.im, b.im, lane_fma(a.re, b.re, c.re)), lane_fma(-a.im, b.re, lane_fma(a.re, b.im, c.im))};
}

// What the size of an entry is (balance.h).
template <class L>
SK_HD L cabs1(Complex<L> a) {
  return lane_abs(a.re) + lane_abs(a.im);
}
template <class L>
SK_HD mask_t<L> is_finite(Complex<L> a) {
  return is_finite(a.re) & is_finite(a.im);
}
template <class L>
SK_HD L largest_part(Complex<L> a) {
  return lane_max(lane_abs(a.re), lane_abs(a.im));
}
template <class L>
SK_HD L add_square(Complex<L> a, L sum) {
  return lane_fma(a.re, a.re, lane_fma(a.im, a.im, sum));
}
template <class L>
SK_HD Complex<L> select_zero(mask_t<L> m, Complex<L> a) {
  return {select_zero(m, a.re), select_zero(m, a.im)};
}
template <class L>
SK_HD bool is_zero_at(const Complex<L>& a, int w) {
  return is_zero_at(a.re, w) && is_zero_at(a.im, w);
}
template <class L>
SK_HD void swap_at(Complex<L>& a, Complex<L>& b, int w) {
  swap_at(a.re, b.re, w);
  swap_at(a.im, b.im, w);
}
}  // namespace sk
