// Reduction of complex matrices to upper Hessenberg form by Householder reflectors, and the unitary factor (xGEHD2, xUNGHR).
#pragma once
#include "complex_workspace.h"
#include "hessenberg.h"

namespace sk {

// Sums of products over four columns (rows) at a time: eight accumulators hide the latency of the fused operation.
constexpr int hessenberg_block = 4;

// columns j .. j+B-1 of a <- (I - t v v^H) a in rows from..to-1
template <int B, class L>
SK_HD void reflect_from_left(ColumnTile<Complex<L>> a, int j, int from, int to, Complex<L> t, const Complex<L>* v) {
  Complex<L> s[B];
  for (int b = 0; b < B; ++b) s[b] = {L(0), L(0)};
  Complex<L>* first = a.col(j);
  for (int i = from; i < to; ++i)
    for (int b = 0; b < B; ++b) s[b] = conj_multiply_add(v[i], first[b * a.ld + i], s[b]);
  for (int b = 0; b < B; ++b) s[b] = -(t * s[b]);
  for (int i = from; i < to; ++i)
    for (int b = 0; b < B; ++b) first[b * a.ld + i] = multiply_add(v[i], s[b], first[b * a.ld + i]);
}

// rows i .. i+B-1 of a <- a (I - t v v^H) in columns from..to-1
template <int B, class L>
SK_HD void reflect_from_right(ColumnTile<Complex<L>> a, int i, int from, int to, Complex<L> t, const Complex<L>* v) {
  Complex<L> s[B];
  for (int b = 0; b < B; ++b) s[b] = {L(0), L(0)};
  for (int c = from; c < to; ++c) {
    const Complex<L>* p = a.col(c) + i;
    for (int b = 0; b < B; ++b) s[b] = multiply_add(v[c], p[b], s[b]);
  }
  for (int b = 0; b < B; ++b) s[b] = -(t * s[b]);
  for (int c = from; c < to; ++c) {
    Complex<L>* p = a.col(c) + i;
    for (int b = 0; b < B; ++b) p[b] = conj_multiply_add(v[c], s[b], p[b]);
  }
}

template <class L>
SK_HD void reflect_columns(ColumnTile<Complex<L>> a, int j, int from, int to, Complex<L> t, const Complex<L>* v) {
  for (; j + hessenberg_block <= to; j += hessenberg_block) reflect_from_left<hessenberg_block>(a, j, from, to, t, v);
  for (; j < to; ++j) reflect_from_left<1>(a, j, from, to, t, v);
}

// xLARFG: H = I - tau v v^H, H^H maps (alpha, x) to (subdiagonal, 0), real where x is not zero, v = (1, component(x)).
template <class L>
struct ColumnReflector<Complex<L>> {
  Complex<L> tau, subdiagonal;
  L drop;
  Divisor<L> by;
  SK_HD Complex<L> component(Complex<L> x) const { return (x * drop) / by; }
};

template <class L>
SK_HD ColumnReflector<Complex<L>> column_reflector(Complex<L> alpha, L ss, mask_t<L> reflect, L lift) {
  ColumnReflector<Complex<L>> r;
  r.drop = lane_pow2_inverse(lift);
  Complex<L> scaled = alpha * r.drop;
  L norm = lane_sqrt(add_square(scaled, ss));
  L beta = lane_select(reflect, lane_select(scaled.re < L(0), norm, -norm), L(1));
  r.tau = {lane_select(reflect, (beta - scaled.re) / beta, L(0)), lane_select(reflect, -scaled.im / beta, L(0))};
  Complex<L> d = {lane_select(reflect, scaled.re - beta, L(1)), lane_select(reflect, scaled.im, L(0))};
  r.by = divisor(d, L(Machine<real_t<L>>::safmin));
  r.subdiagonal = complex_select(reflect, Complex<L>{beta * lift, L(0)}, alpha);
  return r;
}

// Hk = I - tau v v^H with v = (0, 1, v_2, ...): Hk^H maps column k below the diagonal to (beta, 0, ...), beta real
// (xLARFG).  v overwrites the annihilated entries, tau is returned; a column that is zero already gets the identity.
template <class L>
SK_HD Complex<L> annihilate_column(ColumnTile<Complex<L>> h, int k, Complex<L>* v) {
  const int n = h.n;
  Complex<L>* x = h.col(k);
  Complex<L> alpha = x[k + 1];
  L ss(0), peak(0);
  SK_UNROLL_STATIC
  for (int i = k + 2; i < n; ++i) {
    ss = add_square(x[i], ss);
    peak = lane_max(peak, largest_part(x[i]));
  }
  mask_t<L> reflect = peak > L(0);
  const L lift = column_lift(reflect, lane_max(peak, cabs1(alpha)));
  if (lane_any(lift != L(1))) {
    const L drop = lane_pow2_inverse(lift);
    ss = L(0);
    SK_UNROLL_STATIC
    for (int i = k + 2; i < n; ++i) ss = add_square(x[i] * drop, ss);
  }
  const ColumnReflector<Complex<L>> r = column_reflector(alpha, ss, reflect, lift);
  x[k + 1] = r.subdiagonal;
  v[k + 1] = {L(1), L(0)};
  SK_UNROLL_STATIC
  for (int i = k + 2; i < n; ++i) {
    v[i] = r.component(x[i]);
    x[i] = v[i];
  }
  return r.tau;
}

template <class L>
SK_STEP void reduce_to_hessenberg(ColumnTile<Complex<L>> h, Complex<L>* tau, Complex<L>* v) {
  const int n = h.n;
  for (int k = 0; k + 2 < n; ++k) {
    const Complex<L> t = tau[k] = annihilate_column(h, k, v);
    reflect_columns(h, k + 1, k + 1, n, conj(t), v);
    int i = 0;
    for (; i + hessenberg_block <= n; i += hessenberg_block) reflect_from_right<hessenberg_block>(h, i, k + 1, n, t, v);
    for (; i < n; ++i) reflect_from_right<1>(h, i, k + 1, n, t, v);
  }
}

template <class L>
SK_HD void set_identity(ColumnTile<Complex<L>> q) {
  for (int j = 0; j < q.n; ++j)
    for (int i = 0; i < q.n; ++i) q(i, j) = {L(i == j ? 1 : 0), L(0)};
}

// Q = H_0 H_1 ... accumulated backwards, reading the reflectors below the subdiagonal of h.
template <class L>
SK_STEP void form_unitary_factor(ColumnTile<Complex<L>> h, const Complex<L>* tau, Complex<L>* v, ColumnTile<Complex<L>> q) {
  const int n = h.n;
  set_identity(q);
  for (int k = n - 3; k >= 0; --k) {
    v[k + 1] = {L(1), L(0)};
    for (int i = k + 2; i < n; ++i) v[i] = h(i, k);
    reflect_columns(q, k + 1, k + 1, n, tau[k], v);
  }
}

// Both of a matrix of known size in registers, as hessenberg.h has it for real matrices.
template <bool Schur, int N, class L>
SK_HD void reduce_in_registers(ColumnTile<Complex<L>> h, ColumnTile<Complex<L>> z) {
  if constexpr (Schur) {
    SK_UNROLL_ALL
    for (int e = 0; e < N * N; ++e) z(e % N, e / N) = {L(e / N == e % N ? 1 : 0), L(0)};
  }
  SK_UNROLL
  for (int k = 0; k + 2 < N; ++k) {
    Complex<L> v[N];
    const Complex<L> t = annihilate_column(h, k, v);
    // row i of a <- a (I - t v v^H)
    auto from_right = [&](ColumnTile<Complex<L>> a, int i) {
      Complex<L> s{L(0), L(0)};
      SK_UNROLL
      for (int c = k + 1; c < N; ++c) s = multiply_add(v[c], a(i, c), s);
      s = -(t * s);
      SK_UNROLL
      for (int c = k + 1; c < N; ++c) a(i, c) = conj_multiply_add(v[c], s, a(i, c));
    };
    SK_UNROLL
    for (int j = k + 1; j < N; ++j) {  // columns <- (I - conj(t) v v^H) h
      Complex<L> s{L(0), L(0)};
      SK_UNROLL
      for (int i = k + 1; i < N; ++i) s = conj_multiply_add(v[i], h(i, j), s);
      s = -(conj(t) * s);
      SK_UNROLL
      for (int i = k + 1; i < N; ++i) h(i, j) = multiply_add(v[i], s, h(i, j));
    }
    SK_UNROLL
    for (int i = 0; i < N; ++i) from_right(h, i);
    if constexpr (Schur) {
      SK_UNROLL
      for (int i = 1; i < N; ++i) from_right(z, i);
    }
  }
}

// Takes the subdiagonal out of the tile and clears what lies below the diagonal.
template <class L>
SK_HD void extract_subdiagonal(ColumnTile<Complex<L>> h, Subdiagonal<L> sub) {
  const int n = h.n;
  SK_UNROLL_STATIC
  for (int j = 0; j < n; ++j) {
    sub.size[j] = L(0);
    sub.phase[j] = {L(1), L(0)};
    if (j + 1 < n) {
      sub.size[j] = modulus(h(j + 1, j));
      sub.phase[j] = phase_of(h(j + 1, j), sub.size[j]);
    }
    SK_UNROLL_STATIC
    for (int i = j + 1; i < n; ++i) h(i, j) = {L(0), L(0)};
  }
}

}  // namespace sk
