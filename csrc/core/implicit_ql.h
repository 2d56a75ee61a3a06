// Implicit QL iteration with Wilkinson's shift on a group of symmetric tridiagonal matrices (xSTEQR; without
// eigenvectors Pal, Walker and Kahan's variant free of square roots, xSTERF).
//
// Every lane has its own window [l, m]: eigenvalue l is sought, e_m is negligible.  Each sweep runs over the union of
// the windows; at a step outside its window a lane keeps d and e bit for bit and records the identity rotation.
#pragma once
#include "tridiagonal.h"

namespace sk {

template <class L>
struct QlWindow {
  L l, m;             // l = n - 1: finished
  L d0, d1, e0sq;     // d_l, d_{l+1}, e_l^2
  mask_t<L> active;
  int first, last;    // union of the active windows
};

// Moves each lane's l past negligible e_l and finds the first negligible e_m, m >= l (to zero with both).  The test is
// xSTEQR's: e_m^2 <= eps^2 |d_m d_{m+1}| + safmin.  Squared: e holds e^2.
template <bool Squared, class L>
SK_HD void find_windows(const L* d, L* e, int n, QlWindow<L>& q) {
  using T = real_t<L>;
  constexpr T eps = Machine<T>::ulp / 2;
  const L eps2(eps * eps), safmin(Machine<T>::safmin), end(T(n - 1));
  mask_t<L> open = q.l < end;  // lanes whose m is not found yet
  q.m = end;
  for (int k = q.first; k + 1 < n; ++k) {
    const L at(T{1} * k), esq = Squared ? e[k] : e[k] * e[k];
    const mask_t<L> here = open & (q.l <= at);
    const mask_t<L> cut = here & (esq <= lane_fma(eps2, lane_abs(d[k] * d[k + 1]), safmin));
    const mask_t<L> top = here & (q.l == at);
    q.d0 = lane_select(top, d[k], q.d0);
    q.d1 = lane_select(top, d[k + 1], q.d1);
    q.e0sq = lane_select(top, esq, q.e0sq);
    if (!lane_any(cut)) continue;
    e[k] = lane_select(cut, L(0), e[k]);
    q.l = lane_select(cut & top, L(T(k + 1)), q.l);
    const mask_t<L> bottom = cut & !top;
    q.m = lane_select(bottom, at, q.m);
    open = open & !bottom;
    if (!lane_any(open)) break;
  }
  q.active = q.l < end;
  q.first = int(lane_hmin(lane_select(q.active, q.l, end)));
  q.last = int(lane_hmax(lane_select(q.active, q.m, L(0))));
}

// The eigenvalue of [d0 e0; e0 d1] nearer to d0.
template <class L>
SK_HD L wilkinson_shift(const QlWindow<L>& q) {
  const L delta = (q.d1 - q.d0) * L(real_t<L>(0.5));
  const L root = lane_sqrt(lane_fma(delta, delta, q.e0sq));
  const L den = delta + lane_copysign(root, delta);
  return q.d0 - q.e0sq / lane_select(den == L(0), L(1), den);
}

// A plane rotation as three shears, which applies in three fused operations: with t = tan(angle / 2), s = sin(angle)
//     u = x + t y,  y' = y - s u,  x' = u + t y'
struct RotationSweep {
  int first, last, index;  // rows last ... first; number of the sweep since Z was the identity
};

// One QL sweep.  t and -s of the rotation of rows (i, i+1) go to t[i], ns[i].
template <class L>
SK_HD void ql_sweep(L* d, L* e, const QlWindow<L>& q, L shift, L* t, L* ns) {
  using T = real_t<L>;
  const L one(1), zero(0), tiny(Machine<T>::safmin / Machine<T>::ulp);
  L g(0), c(1), s(1), p(0);
  for (int i = q.last - 1; i >= q.first; --i) {
    const L at(T{1} * i);
    const mask_t<L> on = q.active & (at >= q.l) & (at < q.m);
    const mask_t<L> begin = at == q.m - one, end = on & (at == q.l);
    g = lane_select(begin, d[i + 1] - shift, g);
    c = lane_select(begin, one, c);
    s = lane_select(begin, one, s);
    p = lane_select(begin, zero, p);
    const L f = s * e[i], b = c * e[i];
    // (c, s, r) with c >= 0 (xLARTG).  What is too small to square is left out: far below eps times the norm.
    const L rr = lane_fma(f, f, g * g);
    const mask_t<L> rotate = on & (rr > tiny);
    const L r = lane_copysign(lane_sqrt(lane_select(rotate, rr, one)), g);
    c = lane_select(rotate, g / r, one);
    s = lane_select(rotate, f / r, zero);
    t[i] = lane_select(rotate, f / (r + g), zero);
    ns[i] = -s;
    e[i + 1] = lane_select(on & !begin, lane_select(rotate, r, g), e[i + 1]);
    const L dg = d[i + 1] - p;
    const L rho = lane_fma(d[i] - dg, s, (b + b) * c);
    p = s * rho;
    d[i + 1] = lane_select(on, dg + p, d[i + 1]);
    g = lane_fma(c, rho, -b);
    d[i] = lane_select(end, d[i] - p, d[i]);
    e[i] = lane_select(end, g, e[i]);
  }
}

// One QL sweep on d and e^2, without square roots.
template <class L>
SK_HD void square_root_free_sweep(L* d, L* e, const QlWindow<L>& q, L shift) {
  using T = real_t<L>;
  const L one(1), zero(0);
  L gamma(0), c(1), s(0), p(0);
  for (int i = q.last - 1; i >= q.first; --i) {
    const L at(T{1} * i);
    const mask_t<L> on = q.active & (at >= q.l) & (at < q.m);
    const mask_t<L> begin = at == q.m - one, end = on & (at == q.l);
    gamma = lane_select(begin, d[i + 1] - shift, gamma);
    c = lane_select(begin, one, c);
    s = lane_select(begin, zero, s);
    p = lane_select(begin, gamma * gamma, p);
    const L bb = e[i], r = p + bb;
    e[i + 1] = lane_select(on & !begin, s * r, e[i + 1]);
    const L safe_r = lane_select(r > zero, r, one), old_c = c, old_gamma = gamma;
    c = p / safe_r;
    s = bb / safe_r;
    gamma = lane_fma(c, d[i] - shift, -(s * old_gamma));
    d[i + 1] = lane_select(on, old_gamma + (d[i] - gamma), d[i + 1]);
    p = lane_select(c > zero, gamma * gamma / lane_select(c > zero, c, one), old_c * bb);
    d[i] = lane_select(end, shift + gamma, d[i]);
    e[i] = lane_select(end, s * p, e[i]);
  }
}

// Rotates columns j ... j + Width - 1 of rows last ... first of Z^T by all collected sweeps.  Z starts as the identity,
// so before sweep k row i is zero left of column i - k: those rotations are skipped.
template <int Width, class L>
SK_HD void rotate_columns(Tile<L> st, int j, const RotationSweep* sweeps, int count, const L* rotations) {
  for (int k = 0; k < count; ++k) {
    const int first = sweeps[k].first;
    int last = j + Width + sweeps[k].index;
    last = last < sweeps[k].last ? last : sweeps[k].last;
    if (last <= first) continue;
    const L *t = rotations + 2L * k * st.n, *ns = t + st.n;
    L x[Width];
    L* row = st.row(last) + j;
    for (int c = 0; c < Width; ++c) x[c] = row[c];
    for (int i = last - 1; i >= first; --i) {
      L* above = row - st.ld;
      const L ti = t[i], nsi = ns[i];
      for (int c = 0; c < Width; ++c) {
        const L y = above[c];
        const L u = lane_fma(ti, y, x[c]);
        x[c] = lane_fma(nsi, u, y);
        row[c] = lane_fma(ti, x[c], u);
      }
      row = above;
    }
    for (int c = 0; c < Width; ++c) row[c] = x[c];
  }
}

template <class L>
SK_HD void apply_rotations(Tile<L> st, const RotationSweep* sweeps, int count, const L* rotations) {
  int j = 0;
  for (; j + 4 <= st.n; j += 4) rotate_columns<4>(st, j, sweeps, count, rotations);
  for (; j < st.n; ++j) rotate_columns<1>(st, j, sweeps, count, rotations);
}

// Reverses the order of d and e in the lanes whose matrix is graded upwards: QL wants the small entries on top.
template <class L>
SK_HD mask_t<L> put_small_end_first(L* d, L* e, int n) {
  const mask_t<L> reverse = lane_abs(d[n - 1]) < lane_abs(d[0]);
  auto exchange = [&](L& x, L& y) {
    const L z = x;
    x = lane_select(reverse, y, x);
    y = lane_select(reverse, z, y);
  };
  for (int i = 0; i < n - 1 - i; ++i) exchange(d[i], d[n - 1 - i]);
  for (int i = 0; i < n - 2 - i; ++i) exchange(e[i], e[n - 2 - i]);
  return reverse;
}

// Iterates until every lane is diagonal or out of its 30 n sweeps.  Returns, per lane, the number of eigenvalues that
// were not found.  The eigenvalues go to ws.d, unordered; with Vectors, those of T to the rows of ws.st.
template <bool Vectors, class E>
SK_HD lane_of<E> implicit_ql(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  using T = real_t<L>;
  const int n = ws.a.n;
  L *d = ws.d, *e = ws.e;
  const mask_t<L> reversed = put_small_end_first(d, e, n);
  QlWindow<L> q;
  q.l = q.d0 = q.d1 = q.e0sq = L(0);
  q.first = 0;
  RotationSweep sweeps[SymmetricWorkspace<E>::buffered_sweeps];
  int collected = 0;
  if (Vectors) {
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) ws.st(i, j) = L(i == j ? 1 : 0);
  } else {
    for (int i = 0; i + 1 < n; ++i) e[i] = e[i] * e[i];
  }
  for (int sweep = 0;; ++sweep) {
    find_windows<!Vectors>(d, e, n, q);
    const bool done = !lane_any(q.active) || sweep == 30 * n;
    if (Vectors && (done || collected == SymmetricWorkspace<E>::buffered_sweeps)) {
      apply_rotations(ws.st, sweeps, collected, ws.rotations);
      collected = 0;
    }
    if (done) break;
    const L shift = wilkinson_shift(q);
    if constexpr (Vectors) {
      L* t = ws.rotations + 2L * collected * n;
      ql_sweep(d, e, q, shift, t, t + n);
      sweeps[collected++] = {q.first, q.last, sweep};
    } else {
      square_root_free_sweep(d, e, q, shift);
    }
  }
  if (Vectors && lane_any(reversed))
    for (int c = 0; c < n; ++c)
      for (int i = 0; i < n - 1 - i; ++i) {
        L &x = ws.st(c, i), &y = ws.st(c, n - 1 - i);
        const L z = x;
        x = lane_select(reversed, y, x);
        y = lane_select(reversed, z, y);
      }
  return lane_select(q.active, L(T(n - 1)) - q.l, L(0));
}

}  // namespace sk
