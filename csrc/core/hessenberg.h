// Reduction to upper Hessenberg form by Householder reflectors, and the orthogonal factor (xGEHD2, xORGHR;
// Golub and Van Loan, section 7.4.2).
#pragma once
#include "tile.h"

namespace sk {

// Hk = I - tau v v^T with v = (0, 1, v_2, ...) annihilates column k below its subdiagonal.  v overwrites the annihilated
// entries, tau goes to tau[k]; columns that are zero already get tau = 0 and the identity (xLARFG).
template <class L>
SK_HD void reduce_to_hessenberg(Tile<L> h, L* tau, L* v) {
  using T = real_t<L>;
  const int n = h.n;
  for (int k = 0; k + 2 < n; ++k) {
    L alpha = h(k + 1, k), ss(0), peak(0);
    for (int i = k + 2; i < n; ++i) {
      ss = lane_fma(h(i, k), h(i, k), ss);
      peak = lane_max(peak, lane_abs(h(i, k)));
    }
    mask_t<L> reflect = peak > L(0);
    // Columns so small that squares underflow are scaled by a power of two first, which leaves v and tau unchanged.
    L gain(1);
    mask_t<L> small = reflect & (lane_max(peak, lane_abs(alpha)) < L(sizeof(T) == 4 ? T(1e-15) : T(1e-140)));
    if (lane_any(small)) {
      L top = lane_pow2_floor(lane_max(lane_max(peak, lane_abs(alpha)), L(Machine<T>::safmin)));
      gain = lane_select(small, L(1) / top, L(1));
      ss = L(0);
      for (int i = k + 2; i < n; ++i) {
        L s = h(i, k) * gain;
        ss = lane_fma(s, s, ss);
      }
    }
    L scaled = alpha * gain;
    L beta = -lane_copysign(lane_sqrt(lane_fma(scaled, scaled, ss)), scaled);
    beta = lane_select(reflect, beta, L(1));
    L t = lane_select(reflect, (beta - scaled) / beta, L(0));
    L inverse = lane_select(reflect, L(1) / lane_select(reflect, scaled - beta, L(1)), L(0));
    tau[k] = t;
    h(k + 1, k) = lane_select(reflect, beta / gain, alpha);
    v[k + 1] = L(1);
    for (int i = k + 2; i < n; ++i) {
      v[i] = h(i, k) * gain * inverse;  // in this order: gain * inverse may overflow
      h(i, k) = v[i];
    }
    // From the left: A(k+1:n, k+1:n) -= v (tau v^T A), four columns at a time.
    int j = k + 1;
    for (; j + 4 <= n; j += 4) {
      L s0(0), s1(0), s2(0), s3(0);
      for (int i = k + 1; i < n; ++i) {
        const L* a = h.row(i) + j;
        s0 = lane_fma(v[i], a[0], s0);
        s1 = lane_fma(v[i], a[1], s1);
        s2 = lane_fma(v[i], a[2], s2);
        s3 = lane_fma(v[i], a[3], s3);
      }
      s0 = -s0 * t, s1 = -s1 * t, s2 = -s2 * t, s3 = -s3 * t;
      for (int i = k + 1; i < n; ++i) {
        L* a = h.row(i) + j;
        a[0] = lane_fma(v[i], s0, a[0]);
        a[1] = lane_fma(v[i], s1, a[1]);
        a[2] = lane_fma(v[i], s2, a[2]);
        a[3] = lane_fma(v[i], s3, a[3]);
      }
    }
    for (; j < n; ++j) {
      L s(0);
      for (int i = k + 1; i < n; ++i) s = lane_fma(v[i], h(i, j), s);
      s = -s * t;
      for (int i = k + 1; i < n; ++i) h(i, j) = lane_fma(v[i], s, h(i, j));
    }
    // From the right: A(:, k+1:n) -= (A v tau) v^T, two rows at a time.
    int i = 0;
    for (; i + 2 <= n; i += 2) {
      L *a = h.row(i), *b = h.row(i + 1), s0(0), s1(0);
      for (int c = k + 1; c < n; ++c) {
        s0 = lane_fma(a[c], v[c], s0);
        s1 = lane_fma(b[c], v[c], s1);
      }
      s0 = -s0 * t, s1 = -s1 * t;
      for (int c = k + 1; c < n; ++c) {
        a[c] = lane_fma(s0, v[c], a[c]);
        b[c] = lane_fma(s1, v[c], b[c]);
      }
    }
    for (; i < n; ++i) {
      L *a = h.row(i), s(0);
      for (int c = k + 1; c < n; ++c) s = lane_fma(a[c], v[c], s);
      s = -s * t;
      for (int c = k + 1; c < n; ++c) a[c] = lane_fma(s, v[c], a[c]);
    }
  }
}

// Q = H_0 H_1 ... accumulated backwards into zt(c, r) = Q(r, c), reading the reflectors below the subdiagonal of h.
template <class L>
SK_HD void form_orthogonal_factor(Tile<L> h, const L* tau, L* v, Tile<L> zt) {
  const int n = h.n;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) zt(i, j) = L(i == j ? 1 : 0);
  for (int k = n - 3; k >= 0; --k) {
    L t = tau[k];
    v[k + 1] = L(1);
    for (int i = k + 2; i < n; ++i) v[i] = h(i, k);
    // Q(k+1:n, k+1:n) -= v tau (v^T Q); column c of Q is row c of zt.
    for (int c = k + 1; c < n; ++c) {
      L* q = zt.row(c);
      L s(0);
      for (int i = k + 1; i < n; ++i) s = lane_fma(v[i], q[i], s);
      s = -s * t;
      for (int i = k + 1; i < n; ++i) q[i] = lane_fma(v[i], s, q[i]);
    }
  }
}

template <class L>
SK_HD void clear_below_subdiagonal(Tile<L> h) {
  for (int i = 2; i < h.n; ++i)
    for (int j = 0; j + 1 < i; ++j) h(i, j) = L(0);
}

}  // namespace sk
