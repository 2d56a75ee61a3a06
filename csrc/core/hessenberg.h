// Reduction to upper Hessenberg form by Householder reflectors, and the orthogonal factor (xGEHD2, xORGHR;
// Golub and Van Loan, section 7.4.2).
#pragma once
#include "tile.h"

namespace sk {

// Vectors of length n that the reduction works on.
template <class L>
struct HessenbergScratch {
  L *tau, *v, *next_v, *p, *q, *z;
  SK_HD HessenbergScratch(L* x, int n) : tau(x), v(x + n), next_v(v + n), p(next_v + n), q(p + n), z(q + n) {}
};

// Columns so small that squares underflow are scaled by a power of two first, which leaves v and tau unchanged: by its inverse, 1 where
// that is not needed.
template <class L>
SK_HD L column_lift(mask_t<L> reflect, L largest) {
  using T = real_t<L>;
  mask_t<L> small = reflect & (largest < L(sizeof(T) == 4 ? T(1e-15) : T(1e-140)));
  return lane_select(small, lane_pow2_floor(lane_max(largest, L(Machine<T>::safmin))), L(1));
}

// xLARFG: H = I - tau v v^T maps (alpha, x) to (subdiagonal, 0), v = (1, component(x)).
template <class L>
struct ColumnReflector {
  L tau, subdiagonal, drop, inverse;
  SK_HD L component(L x) const { return x * drop * inverse; }
};

// From alpha and the squared norm of x / lift; where x = 0 (not `reflect`) tau = 0.
template <class L>
SK_HD ColumnReflector<L> column_reflector(L alpha, L ss, mask_t<L> reflect, L lift) {
  ColumnReflector<L> r;
  r.drop = lane_pow2_inverse(lift);
  L scaled = alpha * r.drop;
  L beta = -lane_copysign(lane_sqrt(lane_fma(scaled, scaled, ss)), scaled);
  beta = lane_select(reflect, beta, L(1));
  r.tau = lane_select(reflect, (beta - scaled) / beta, L(0));
  r.inverse = lane_select(reflect, L(1) / lane_select(reflect, scaled - beta, L(1)), L(0));
  r.subdiagonal = lane_select(reflect, beta * lift, alpha);
  return r;
}

// Hk = I - tau v v^T with v = (0, 1, v_2, ...) annihilates column k below its subdiagonal.  v overwrites the annihilated
// entries, tau goes to tau[k]; columns that are zero already get tau = 0 and the identity (xLARFG).
template <class L>
SK_HD void annihilate_column(Tile<L> h, int k, L* tau, L* v) {
  const int n = h.n;
  L alpha = h(k + 1, k), ss(0), peak(0);
  SK_UNROLL_STATIC
  for (int i = k + 2; i < n; ++i) {
    ss = lane_fma(h(i, k), h(i, k), ss);
    peak = lane_max(peak, lane_abs(h(i, k)));
  }
  mask_t<L> reflect = peak > L(0);
  const L lift = column_lift(reflect, lane_max(peak, lane_abs(alpha)));
  if (lane_any(lift != L(1))) {
    const L inverse = lane_pow2_inverse(lift);
    ss = L(0);
    SK_UNROLL_STATIC
    for (int i = k + 2; i < n; ++i) {
      L s = h(i, k) * inverse;
      ss = lane_fma(s, s, ss);
    }
  }
  const ColumnReflector<L> r = column_reflector(alpha, ss, reflect, lift);
  tau[k] = r.tau;
  h(k + 1, k) = r.subdiagonal;
  v[k + 1] = L(1);
  SK_UNROLL_STATIC
  for (int i = k + 2; i < n; ++i) h(i, k) = v[i] = r.component(h(i, k));
}

// R rows from i on, columns [from, n): A -= p v^T + v q^T, then p = A next_v and z += A^T next_v.  Lower is false above
// the rows that v acts on: no q and no z there.
template <int R, bool Lower, class L>
SK_HD void update_rows(Tile<L> h, int i, int from, const HessenbergScratch<L>& s) {
  const int n = h.n;
  if (width_v<L> == 1) {  // the same operations in loops that vectorise within the matrix
    for (int r = i; r < i + R; ++r) {
      L* a = h.row(r);
      SK_INDEPENDENT
      for (int j = from; j < n; ++j) a[j] = lane_fma(-s.p[r], s.v[j], a[j]);
      if (!Lower) continue;
      SK_INDEPENDENT
      for (int j = from; j < n; ++j) a[j] = lane_fma(-s.v[r], s.q[j], a[j]);
      SK_INDEPENDENT
      for (int j = from; j < n; ++j) s.z[j] = lane_fma(a[j], s.next_v[r], s.z[j]);
    }
    L y[R] = {};
    for (int j = from; j < n; ++j)
      for (int r = 0; r < R; ++r) y[r] = lane_fma(h(i + r, j), s.next_v[j], y[r]);
    for (int r = 0; r < R; ++r) s.p[i + r] = y[r];
    return;
  }
  for (int u = 0; u < parts_v<L>; ++u) {
    part_t<L> p[R], v[R], next[R], y[R];
    SK_UNROLL
    for (int r = 0; r < R; ++r) {
      p[r] = -lane_part(s.p[i + r], u);
      y[r] = part_t<L>(0);
      if (Lower) v[r] = -lane_part(s.v[i + r], u), next[r] = lane_part(s.next_v[i + r], u);
    }
    for (int j = from; j < n; ++j) {
      const part_t<L> vj = lane_part(s.v[j], u), nj = lane_part(s.next_v[j], u);
      part_t<L> qj, zj;
      if (Lower) qj = lane_part(s.q[j], u), zj = lane_part(s.z[j], u);
      SK_UNROLL
      for (int r = 0; r < R; ++r) {
        part_t<L> a = lane_fma(p[r], vj, lane_part(h(i + r, j), u));
        if (Lower) {
          a = lane_fma(v[r], qj, a);
          zj = lane_fma(a, next[r], zj);
        }
        y[r] = lane_fma(a, nj, y[r]);
        lane_set_part(h(i + r, j), u, a);
      }
      if (Lower) lane_set_part(s.z[j], u, zj);
    }
    SK_UNROLL
    for (int r = 0; r < R; ++r) lane_set_part(s.p[i + r], u, y[r]);
  }
}

// The two-sided update (I - tau v v^T) A (I - tau v v^T) is A - p v^T - v q^T with y = A v, z = A^T v, alpha = v^T y,
// p = tau y - (tau^2 alpha / 2) v and q likewise of z (as xSYTD2 has it for a symmetric A).  It is applied in one pass
// over A that also forms y and z for the next reflector, which needs the first updated column only.
template <class L>
SK_STEP void reduce_to_hessenberg(Tile<L> h, HessenbergScratch<L> s) {
  using T = real_t<L>;
  const int n = h.n;
  constexpr int R = 4;
  for (int i = 0; i < n; ++i) s.v[i] = s.next_v[i] = s.p[i] = s.q[i] = L(0);
  for (int k = 0; k + 2 < n; ++k) {
    // Before: v, p, q of reflector k - 1, which is still to be applied to columns k.. (none before the first).
    for (int i = 0; i < n; ++i) h(i, k) = lane_fma(-s.v[i], s.q[k], lane_fma(-s.p[i], s.v[k], h(i, k)));
    annihilate_column(h, k, s.tau, s.next_v);
    s.next_v[k] = L(0);
    for (int j = k + 1; j < n; ++j) s.z[j] = L(0);
    int i = 0;
    for (; i + R <= k; i += R) update_rows<R, false>(h, i, k + 1, s);
    for (; i < k; ++i) update_rows<1, false>(h, i, k + 1, s);
    for (; i + R <= n; i += R) update_rows<R, true>(h, i, k + 1, s);
    for (; i < n; ++i) update_rows<1, true>(h, i, k + 1, s);
    const L t = s.tau[k];
    L alpha(0);
    for (i = k + 1; i < n; ++i) alpha = lane_fma(s.next_v[i], s.p[i], alpha);
    const L half = t * t * alpha * L(T(-0.5));
    for (i = 0; i < n; ++i) s.p[i] = lane_fma(half, s.next_v[i], t * s.p[i]);
    for (i = k + 1; i < n; ++i) s.q[i] = lane_fma(half, s.next_v[i], t * s.z[i]);
    L* used = s.v;
    s.v = s.next_v;
    s.next_v = used;
    for (i = 0; i <= k; ++i) s.next_v[i] = L(0);
  }
  for (int i = 0; i < n; ++i)
    for (int j = n > 2 ? n - 2 : n; j < n; ++j) h(i, j) = lane_fma(-s.v[i], s.q[j], lane_fma(-s.p[i], s.v[j], h(i, j)));
}

// R rows x of `zt` from c on: x -= tau (v . x) v over columns [from, n).
template <int R, class L>
SK_HD void reflect_rows(Tile<L> zt, int c, int from, const L* v, L tau) {
  for (int u = 0; u < parts_v<L>; ++u) {
    part_t<L> s[R] = {};
    for (int i = from; i < zt.n; ++i) {
      SK_UNROLL
      for (int r = 0; r < R; ++r) s[r] = lane_fma(lane_part(v[i], u), lane_part(zt(c + r, i), u), s[r]);
    }
    SK_UNROLL
    for (int r = 0; r < R; ++r) s[r] = -s[r] * lane_part(tau, u);
    SK_INDEPENDENT
    for (int i = from; i < zt.n; ++i) {
      SK_UNROLL
      for (int r = 0; r < R; ++r) lane_set_part(zt(c + r, i), u, lane_fma(lane_part(v[i], u), s[r], lane_part(zt(c + r, i), u)));
    }
  }
}

template <class L>
SK_HD void set_identity(Tile<L> zt) {
  for (int i = 0; i < zt.n; ++i)
    for (int j = 0; j < zt.n; ++j) zt(i, j) = L(i == j ? 1 : 0);
}

// Q = H_0 H_1 ... accumulated backwards into zt(c, r) = Q(r, c), reading the reflectors below the subdiagonal of h.
template <class L>
SK_STEP void form_orthogonal_factor(Tile<L> h, const L* tau, L* v, Tile<L> zt) {
  const int n = h.n;
  set_identity(zt);
  for (int k = n - 3; k >= 0; --k) {
    L t = tau[k];
    v[k + 1] = L(1);
    for (int i = k + 2; i < n; ++i) v[i] = h(i, k);
    // Q(k+1:n, k+1:n) -= v tau (v^T Q); column c of Q is row c of zt.
    int c = k + 1;
    for (; c + 4 <= n; c += 4) reflect_rows<4>(zt, c, k + 1, v, t);
    for (; c < n; ++c) reflect_rows<1>(zt, c, k + 1, v, t);
  }
}

template <class L>
SK_HD void clear_below_subdiagonal(Tile<L> h) {
  for (int i = 2; i < h.n; ++i)
    for (int j = 0; j + 1 < i; ++j) h(i, j) = L(0);
}

// Both of a matrix of known size in registers, with the orthogonal factor where Schur is set and zeros below the subdiagonal: each
// reflector is applied at once, so that no vector but v is needed.
template <bool Schur, int N, class L>
SK_HD void reduce_in_registers(Tile<L> h, Tile<L> zt) {
  if constexpr (Schur) {
    SK_UNROLL_ALL
    for (int e = 0; e < N * N; ++e) zt(e / N, e % N) = L(e / N == e % N ? 1 : 0);
  }
  SK_UNROLL
  for (int k = 0; k + 2 < N; ++k) {
    L tau[N], v[N];
    annihilate_column(h, k, tau, v);
    const L t = tau[k];
    // x -= tau (v . x) v of a vector x whose entry i is at(i)
    auto reflect = [&](auto&& at) {
      L s(0);
      SK_UNROLL
      for (int i = k + 1; i < N; ++i) s = lane_fma(v[i], at(i), s);
      s = -s * t;
      SK_UNROLL
      for (int i = k + 1; i < N; ++i) at(i) = lane_fma(v[i], s, at(i));
    };
    SK_UNROLL
    for (int i = k + 2; i < N; ++i) h(i, k) = L(0);
    SK_UNROLL
    for (int j = k + 1; j < N; ++j) reflect([&](int i) -> L& { return h(i, j); });
    SK_UNROLL
    for (int i = 0; i < N; ++i) reflect([&](int j) -> L& { return h(i, j); });
    if constexpr (Schur) {
      SK_UNROLL
      for (int i = 1; i < N; ++i) reflect([&](int j) -> L& { return zt(j, i); });
    }
  }
}

}  // namespace sk
