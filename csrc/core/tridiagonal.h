// Reduction of a symmetric or Hermitian group to real symmetric tridiagonal form, A = Q T Q^H, and the application of Q
// (xSYTD2, xHETD2 with UPLO = 'L', xORMTR; Golub and Van Loan, section 8.3.1).  Entries E are L or Complex<L>.
#pragma once
#include "entry.h"
#include "tile.h"

namespace sk {

// Storage of one group.  The lower triangle of `a` holds A; its strict upper triangle receives the reflectors.
template <class E>
struct SymmetricWorkspace {
  using L = lane_of<E>;
  static constexpr int buffered_sweeps = 8;  // sweeps of rotations collected before they touch Z
  Tile<E> a;
  Tile<E> zt;    // zt(c, r) = Z(r, c): eigenvectors are rows.  Null without eigenvectors
  Tile<L> st;    // eigenvectors of T, in the storage of zt: row c of st starts where row c of zt does
  E* tau;        // [n]
  E* scratch;    // [4n]
  L *d, *e;      // [n] diagonal and subdiagonal of T
  L* values;     // [n] eigenvalues
  L *value_rank, *vector_rank;  // [n] place of values[i], and of row i of zt, in ascending order
  L* rotations;  // [buffered_sweeps][2][n]

  static constexpr long lanes_needed(int n, bool vectors) {
    constexpr long parts = components_v<E>;
    return parts * (long(n) * leading_dimension(n) * (vectors ? 2 : 1) + 5L * n) + 5L * n + (vectors ? 2L * buffered_sweeps * n : 0);
  }
  SK_HD SymmetricWorkspace(L* storage, int n, bool vectors) {
    constexpr int parts = components_v<E>;
    const int ld = leading_dimension(n);
    E* entries = reinterpret_cast<E*>(storage);
    a = {entries, n, ld};
    entries += long(n) * ld;
    zt = {vectors ? entries : nullptr, n, ld};
    st = {vectors ? reinterpret_cast<L*>(entries) : nullptr, n, ld * parts};
    if (vectors) entries += long(n) * ld;
    tau = entries;
    scratch = tau + n;
    d = reinterpret_cast<L*>(scratch + 4L * n);
    e = d + n;
    values = e + n;
    value_rank = values + n;
    vector_rank = value_rank + n;
    rotations = vector_rank + n;
  }
};

// The largest part in the lower triangle; matrices that hold NaN or Inf there become zero and are reported.
template <class E>
SK_STEP mask_t<lane_of<E>> screen_triangle(Tile<E> a, lane_of<E>& amax) {
  using L = lane_of<E>;
  amax = L(0);
  mask_t<L> bad = amax > L(1);
  for (int i = 0; i < a.n; ++i)
    for (int j = 0; j <= i; ++j) {
      bad = bad | !is_finite(a(i, j));
      amax = lane_max(largest_part(a(i, j)), amax);
    }
  if (!lane_any(bad)) return bad;
  amax = lane_select(bad, L(0), amax);
  for (int i = 0; i < a.n; ++i)
    for (int j = 0; j <= i; ++j) a(i, j) = select_zero(bad, a(i, j));
  return bad;
}

// A reflector I - tau u u^H, u = (1, u_2, ...), that maps column k below the diagonal to a real multiple beta of e_1
// (xLARFG).  u goes to `u`; a column that needs nothing gets tau = 0.
template <class E>
SK_STEP void tridiagonal_reflector(Tile<E> a, int k, E* u, E& tau, lane_of<E>& beta_out) {
  using L = lane_of<E>;
  using T = real_t<L>;
  const int n = a.n;
  E alpha = a(k + 1, k);
  L ss(0), peak(0);
  for (int i = k + 2; i < n; ++i) {
    ss = add_square(a(i, k), ss);
    peak = lane_max(peak, largest_part(a(i, k)));
  }
  if constexpr (is_complex_v<E>) {
    ss = lane_fma(alpha.im, alpha.im, ss);
    peak = lane_max(peak, lane_abs(alpha.im));
  }
  const mask_t<L> reflect = peak > L(0);
  // Columns so small that squares underflow are scaled by a power of two first, which leaves u and tau unchanged.
  L gain(1);
  const L size = lane_max(peak, lane_abs(real_part(alpha)));
  const mask_t<L> small = reflect & (size < L(sizeof(T) == 4 ? T(1e-15) : T(1e-140)));
  if (lane_any(small)) {
    gain = lane_select(small, L(1) / lane_pow2_floor(lane_max(size, L(Machine<T>::safmin))), L(1));
    ss = L(0);
    for (int i = k + 2; i < n; ++i) ss = add_square(a(i, k) * gain, ss);
    if constexpr (is_complex_v<E>) {
      const L im = alpha.im * gain;
      ss = lane_fma(im, im, ss);
    }
  }
  const L re = real_part(alpha) * gain;
  L beta = -lane_copysign(lane_sqrt(lane_fma(re, re, ss)), re);
  beta = lane_select(reflect, beta, L(1));
  beta_out = lane_select(reflect, beta / gain, real_part(alpha));
  u[k + 1] = entry<E>(L(1), L(0));
  const L t = lane_select(reflect, (beta - re) / beta, L(0)), d = lane_select(reflect, re - beta, L(1));
  if constexpr (is_complex_v<E>) {
    const L im = alpha.im * gain;
    tau = {t, lane_select(reflect, -im / beta, L(0))};
    // 1 / (alpha - beta); |re - beta| >= |im|, so this cannot overflow
    const L q = im / d, den = L(1) / lane_fma(q, im, d);
    const E inverse{lane_select(reflect, den, L(0)), lane_select(reflect, -q * den, L(0))};
    for (int i = k + 2; i < n; ++i) u[i] = a(i, k) * gain * inverse;
  } else {
    tau = t;
    const L inverse = lane_select(reflect, L(1) / d, L(0));
    for (int i = k + 2; i < n; ++i) u[i] = a(i, k) * gain * inverse;  // in this order: gain * inverse may overflow
  }
}

// Rows i0 ... i0 + Rows - 1 of the lower triangle from column k on: A -= v w^H + w v^H, and y += A u with the new A.
template <int Rows, class E>
SK_HD void update_and_multiply(Tile<E> a, int i0, int k, const E* v, const E* w, const E* u, E* y) {
  using L = lane_of<E>;
  E *row[Rows], nv[Rows], nw[Rows], ui[Rows], sum[Rows];
  for (int r = 0; r < Rows; ++r) {
    row[r] = a.row(i0 + r);
    nv[r] = -v[i0 + r];
    nw[r] = -w[i0 + r];
    ui[r] = u[i0 + r];
    sum[r] = entry<E>(L(0), L(0));
  }
  auto visit = [&](int r, int j) {
    const E x = conj_multiply_add(v[j], nw[r], conj_multiply_add(w[j], nv[r], row[r][j]));
    row[r][j] = x;
    sum[r] = multiply_add(x, u[j], sum[r]);
    return x;
  };
  for (int j = k; j < i0; ++j) {
    E acc = y[j];
    for (int r = 0; r < Rows; ++r) acc = conj_multiply_add(visit(r, j), ui[r], acc);
    y[j] = acc;
  }
  for (int r = 0; r < Rows; ++r) {
    const int i = i0 + r;
    for (int j = i0; j < i; ++j) y[j] = conj_multiply_add(visit(r, j), ui[r], y[j]);
    E diagonal = conj_multiply_add(v[i], nw[r], conj_multiply_add(w[i], nv[r], row[r][i]));
    diagonal = entry<E>(real_part(diagonal), L(0));
    row[r][i] = diagonal;
    y[i] = multiply_add(diagonal, ui[r], y[i] + sum[r]);
  }
}

// d, e and tau of A = Q T Q^H, Q = H_0 H_1 ... H_{n-2}; where Store is set, u of H_k goes to a(k, k+2:n).
// The rank-2 update of step k - 1 is carried out in the pass that multiplies for step k: one pass over A per step.
template <bool Store, class E>
SK_STEP void reduce_to_tridiagonal(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  using T = real_t<L>;
  Tile<E> a = ws.a;
  const int n = a.n;
  E *v = ws.scratch, *w = v + n, *u = w + n, *y = u + n;
  const E zero = entry<E>(L(0), L(0));
  for (int i = 0; i < n; ++i) v[i] = w[i] = zero;
  for (int k = 0; k + 1 < n; ++k) {
    const E nvk = -v[k], nwk = -w[k];
    for (int i = k; i < n; ++i)
      a(i, k) = multiply_add(w[i], conj(nvk), multiply_add(v[i], conj(nwk), a(i, k)));
    ws.d[k] = real_part(a(k, k));
    tridiagonal_reflector(a, k, u, ws.tau[k], ws.e[k]);
    if (Store)
      for (int i = k + 2; i < n; ++i) a(k, i) = u[i];
    for (int i = k + 1; i < n; ++i) y[i] = zero;
    constexpr int rows = is_complex_v<E> ? 2 : 4;
    int i = k + 1;
    for (; i + rows <= n; i += rows) update_and_multiply<rows>(a, i, k + 1, v, w, u, y);
    for (; i < n; ++i) update_and_multiply<1>(a, i, k + 1, v, w, u, y);
    // w = tau y - (tau / 2) (tau y)^H u  u
    const E tau = ws.tau[k];
    E dot = zero;
    for (int j = k + 1; j < n; ++j) {
      y[j] = tau * y[j];
      dot = conj_multiply_add(y[j], u[j], dot);
    }
    const E half = tau * L(T(-0.5)) * dot;
    for (int j = k + 1; j < n; ++j) {
      w[j] = multiply_add(half, u[j], y[j]);
      v[j] = u[j];
    }
  }
  const int last = n - 1;
  ws.d[last] = real_part(conj_multiply_add(v[last], -w[last], conj_multiply_add(w[last], -v[last], a(last, last))));
}

// Rows c0 ... c0 + Rows - 1 of zt: x := Q x, the reflectors from the last to the first.
template <int Rows, class E>
SK_HD void apply_q_to_rows(const SymmetricWorkspace<E>& ws, int c0) {
  const int n = ws.a.n;
  E* x[Rows];
  for (int r = 0; r < Rows; ++r) x[r] = ws.zt.row(c0 + r);
  for (int k = n - 2; k >= 0; --k) {
    const E* u = ws.a.row(k);
    const E minus_tau = -ws.tau[k];
    E s[Rows];
    for (int r = 0; r < Rows; ++r) s[r] = x[r][k + 1];
    for (int i = k + 2; i < n; ++i)
      for (int r = 0; r < Rows; ++r) s[r] = conj_multiply_add(u[i], x[r][i], s[r]);
    for (int r = 0; r < Rows; ++r) {
      s[r] = minus_tau * s[r];
      x[r][k + 1] = x[r][k + 1] + s[r];
    }
    for (int i = k + 2; i < n; ++i)
      for (int r = 0; r < Rows; ++r) x[r][i] = multiply_add(u[i], s[r], x[r][i]);
  }
}

// zt := (Q S)^T from st = S^T.
template <class E>
SK_STEP void apply_q(const SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  const int n = ws.a.n;
  if constexpr (is_complex_v<E>)
    for (int c = 0; c < n; ++c)
      for (int r = n - 1; r >= 0; --r) {  // in place: row c of zt starts where row c of st does
        const L x = ws.st(c, r);
        ws.zt(c, r) = {x, L(0)};
      }
  constexpr int rows = is_complex_v<E> ? 2 : 4;
  int c = 0;
  for (; c + rows <= n; c += rows) apply_q_to_rows<rows>(ws, c);
  for (; c < n; ++c) apply_q_to_rows<1>(ws, c);
}

}  // namespace sk
