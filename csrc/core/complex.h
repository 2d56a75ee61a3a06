// Complex numbers on lanes: W real parts beside W imaginary parts, and the unitary 2x2 rotations of the complex solver.
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
template <class L>
SK_HD L abs_squared(Complex<L> a) {
  return lane_fma(a.re, a.re, a.im * a.im);
}
template <class L>
SK_HD L modulus(Complex<L> a) {
  return lane_hypot(a.re, a.im);
}

// 1 / d as conj(unit) * inverse, d divided by its own power of two first (xLADIV's concern); |d| is raised to smin.
template <class L>
struct Divisor {
  Complex<L> unit;
  L inverse, size;
};

template <class L>
SK_HD Divisor<L> divisor(Complex<L> d, L smin) {
  mask_t<L> small = cabs1(d) < smin;
  d = {lane_select(small, smin, d.re), lane_select(small, L(0), d.im)};
  L size = lane_pow2_floor(cabs1(d)), gain = L(1) / size;
  d = d * gain;
  return {d, gain / abs_squared(d), size};
}
template <class L>
SK_HD Complex<L> operator/(Complex<L> a, const Divisor<L>& p) {
  return (a * conj(p.unit)) * p.inverse;
}

// The principal square root of a number of modulus about one or less (xSQRT after scaling); what lies below the square
// root of the smallest number comes out as 0.
template <class L>
SK_HD Complex<L> square_root(Complex<L> z) {
  using T = real_t<L>;
  L m = lane_sqrt(abs_squared(z));
  L p = lane_sqrt((m + lane_abs(z.re)) * L(T(0.5)));
  L q = lane_select(p == L(0), L(0), L(T(0.5)) * z.im / lane_select(p == L(0), L(1), p));
  mask_t<L> right = z.re >= L(0);
  L size = lane_abs(q);
  return {lane_select(right, p, size), lane_select(right, q, lane_select(q < L(0), -p, p))};
}

// The phase a / |a|, 1 for zero.
template <class L>
SK_HD Complex<L> phase_of(Complex<L> a, L size) {
  mask_t<L> zero = size == L(0);
  L d = lane_select(zero, L(1), size);
  return {lane_select(zero, L(1), a.re / d), a.im / d};
}

// U = [conj(a) b; -b a] with b real and |a|^2 + b^2 = 1.  Twelve real operations a pair, and one fused operation of
// latency from x0 to the new x1.
template <class L>
struct Rotation {
  Complex<L> a;
  L b;

  SK_HD static Rotation identity() { return {{L(1), L(0)}, L(0)}; }
  // (x0, x1) <- U (x0, x1): two entries of a column
  SK_HD void rows(Complex<L>& x0, Complex<L>& x1) const {
    Complex<L> p = {lane_fma(a.re, x0.re, b * x1.re), lane_fma(a.re, x0.im, b * x1.im)};
    Complex<L> q = {lane_fma(a.re, x1.re, -(a.im * x1.im)), lane_fma(a.re, x1.im, a.im * x1.re)};
    p = {lane_fma(a.im, x0.im, p.re), lane_fma(-a.im, x0.re, p.im)};
    x1 = {lane_fma(-b, x0.re, q.re), lane_fma(-b, x0.im, q.im)};
    x0 = p;
  }
  // (y0, y1) <- (y0, y1) U^H: two entries of a row
  SK_HD void columns(Complex<L>& y0, Complex<L>& y1) const {
    Complex<L> p = {lane_fma(a.re, y0.re, b * y1.re), lane_fma(a.re, y0.im, b * y1.im)};
    Complex<L> q = {lane_fma(a.re, y1.re, a.im * y1.im), lane_fma(a.re, y1.im, -(a.im * y1.re))};
    p = {lane_fma(-a.im, y0.im, p.re), lane_fma(a.im, y0.re, p.im)};
    y1 = {lane_fma(-b, y0.re, q.re), lane_fma(-b, y0.im, q.im)};
    y0 = p;
  }
};

// U (f, g) = (size, 0) for g >= 0 (xLARTG with its roles exchanged, so that b is real).  Lanes that are off, or where f
// and g are zero, get the identity.
template <class L>
SK_HD Rotation<L> rotation_of(Complex<L> f, L g, mask_t<L> on, L& size) {
  using T = real_t<L>;
  f = {lane_select(on, f.re, L(1)), lane_select(on, f.im, L(0))};
  g = lane_select(on, g, L(0));
  L ss = add_square(f, g * g);
  L gain(1);
  mask_t<L> small = ss < L(sizeof(T) == 4 ? T(1e-30) : T(1e-280));
  if (lane_any(small)) {  // squares underflow: scale by a power of two
    L top = lane_max(largest_part(f), g);
    mask_t<L> zero = top == L(0);
    gain = lane_select(small, L(1) / lane_pow2_floor(lane_max(top, L(Machine<T>::safmin))), L(1));
    f = {lane_select(zero, L(1), f.re * gain), f.im * gain};
    g = g * gain;
    ss = add_square(f, g * g);
    L norm = lane_sqrt(ss), inverse = L(1) / norm;
    size = lane_select(zero, L(0), norm / gain);
    return {f * inverse, g * inverse};
  }
  size = lane_sqrt(ss);
  L inverse = L(1) / size;
  return {f * inverse, g * inverse};
}

}  // namespace sk
