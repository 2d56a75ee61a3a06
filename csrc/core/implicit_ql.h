// Implicit QL iteration on a group of symmetric tridiagonal matrices: the eigenvalues by Pal, Walker and Kahan's variant
// free of square roots (xSTERF); then, where eigenvectors are wanted, once more with rotations (xSTEQR), the eigenvalues as
// shifts.  The eigenvalues are the same bits with and without eigenvectors.
//
// Every lane has its own window [l, m]: eigenvalue l is sought, e_m is negligible.  Each sweep runs over the union of
// the windows; at a step outside its window a lane keeps d and e bit for bit and records the identity rotation.
#pragma once
#include <type_traits>

#include "tridiagonal.h"

namespace sk {

template <class L>
struct QlWindow {
  L l, m;             // l = n - 1: finished
  L d0, d1, e0sq;     // d_l, d_{l+1}, e_l^2
  mask_t<L> active;
  int first, last;    // union of the active windows

  SK_HD explicit QlWindow(int n) : l(0), m(0), d0(0), d1(0), e0sq(0), active(L(1) < L(0)), first(0), last(n - 1) {}
  SK_HD L unfinished(int n) const { return lane_select(active, L(real_t<L>(n - 1)) - l, L(0)); }
};

// Moves each lane's l past negligible e_l and finds the first negligible e_m, m >= l (to zero with both).  The test is
// xSTEQR's: e_m^2 <= eps^2 |d_m d_{m+1}| + safmin.  Squared: e holds e^2.
template <bool Squared, class L>
SK_STEP void find_windows(const L* d, L* e, int n, QlWindow<L>& q) {
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
SK_STEP void ql_sweep(L* d, L* e, const QlWindow<L>& q, L shift, L* t, L* ns) {
  using T = real_t<L>;
  const L one(1), zero(0), tiny(Machine<T>::safmin / Machine<T>::ulp);
  const L l = q.l, m = q.m, top = m - one;
  const mask_t<L> active = q.active;
  L g(0), c(1), s(1), p(0), below = d[q.last];  // d_{i+1} before this sweep
  for (int i = q.last - 1; i >= q.first; --i) {
    const L at(T{1} * i), di = d[i], ei = e[i];
    const mask_t<L> on = active & (at >= l) & (at < m);
    const mask_t<L> begin = at == top, end = on & (at == l);
    g = lane_select(begin, below - shift, g);
    c = lane_select(begin, one, c);
    s = lane_select(begin, one, s);
    p = lane_select(begin, zero, p);
    const L f = s * ei, b = c * ei;
    // (c, s, r) with c >= 0 (xLARTG).  What is too small to square is left out: far below eps times the norm.
    const L rr = lane_fma(f, f, g * g);
    const mask_t<L> rotate = on & (rr > tiny);
    const L r = lane_copysign(lane_sqrt(lane_select(rotate, rr, one)), g);
    c = lane_select(rotate, g / r, one);
    s = lane_select(rotate, f / r, zero);
    t[i] = lane_select(rotate, f / (r + g), zero);
    ns[i] = -s;
    e[i + 1] = lane_select(on & !begin, lane_select(rotate, r, g), e[i + 1]);
    const L dg = below - p;
    const L rho = lane_fma(di - dg, s, (b + b) * c);
    p = s * rho;
    d[i + 1] = lane_select(on, dg + p, d[i + 1]);
    g = lane_fma(c, rho, -b);
    d[i] = lane_select(end, di - p, di);
    e[i] = lane_select(end, g, ei);
    below = di;
  }
}

// One QL sweep on d and e^2, without square roots.
template <class L>
SK_STEP void square_root_free_sweep(L* d, L* e, const QlWindow<L>& q, L shift) {
  using T = real_t<L>;
  const L one(1), zero(0);
  const L l = q.l, m = q.m, top = m - one;
  const mask_t<L> active = q.active;
  L gamma(0), c(1), s(0), p(0), below = d[q.last];  // d_{i+1} before this sweep
  for (int i = q.last - 1; i >= q.first; --i) {
    const L at(T{1} * i), di = d[i], bb = e[i];
    const mask_t<L> on = active & (at >= l) & (at < m);
    const mask_t<L> begin = at == top, end = on & (at == l);
    gamma = lane_select(begin, below - shift, gamma);
    c = lane_select(begin, one, c);
    s = lane_select(begin, zero, s);
    p = lane_select(begin, gamma * gamma, p);
    const L r = p + bb;
    e[i + 1] = lane_select(on & !begin, s * r, e[i + 1]);
    const L safe_r = lane_select(r > zero, r, one), old_c = c, old_gamma = gamma;
    c = p / safe_r;
    s = bb / safe_r;
    gamma = lane_fma(c, di - shift, -(s * old_gamma));
    d[i + 1] = lane_select(on, old_gamma + (di - gamma), d[i + 1]);
    p = lane_select(c > zero, gamma * gamma / lane_select(c > zero, c, one), old_c * bb);
    d[i] = lane_select(end, shift + gamma, di);
    e[i] = lane_select(end, s * p, bb);
    below = di;
  }
}

// The rotation of one entry: x is carried from row to row, y is the entry above; returns the finished entry.
template <class L>
SK_HD L rotate(L t, L ns, L& x, L y) {
  const L u = lane_fma(t, y, x);
  x = lane_fma(ns, u, y);
  return lane_fma(t, x, u);
}

// Rotates columns j ... j + Width - 1 of Z^T by two sweeps in one pass, the second one row behind the first.  Z starts as
// the identity, so before sweep k row i is zero left of column i - k: those rotations are skipped.
template <int Width, class L>
SK_HD void rotate_columns(Tile<L> st, int j, RotationSweep s, const L* t1, const L* ns1, const L* t2, const L* ns2) {
  const int reach = j + Width + s.index + 1, last = reach < s.last ? reach : s.last;
  if (last <= s.first) return;
  L x1[Width], x2[Width];
  L* row = st.row(last) + j;
  for (int c = 0; c < Width; ++c) {
    x1[c] = row[c];
    x2[c] = rotate(t1[last - 1], ns1[last - 1], x1[c], row[c - st.ld]);
  }
  for (int i = last - 2; i >= s.first; --i, row -= st.ld) {
    const L* above = row - 2 * st.ld;
    const L a = t1[i], b = ns1[i], p = t2[i + 1], q = ns2[i + 1];
    for (int c = 0; c < Width; ++c) {
      const L y = rotate(a, b, x1[c], above[c]);
      row[c] = rotate(p, q, x2[c], y);
    }
  }
  for (int c = 0; c < Width; ++c) {
    row[c] = rotate(t2[s.first], ns2[s.first], x2[c], x1[c]);
    row[c - st.ld] = x2[c];
  }
}

// `rotations` holds t and -s of sweep after sweep, zero (no rotation) outside their ranges; an odd one out is followed by
// an empty one.
template <class L>
SK_STEP void apply_rotations(Tile<L> st, const RotationSweep* sweeps, int count, L* rotations) {
  const int n = st.n;
  if (count % 2)
    for (int i = 0; i < 2 * n; ++i) rotations[2L * count * n + i] = L(0);
  auto rotate_strip = [&](int j, auto width) {
    for (int k = 0; k < count; k += 2) {
      RotationSweep both = sweeps[k];
      if (k + 1 < count) {
        both.first = sweeps[k + 1].first < both.first ? sweeps[k + 1].first : both.first;
        both.last = sweeps[k + 1].last > both.last ? sweeps[k + 1].last : both.last;
      }
      const L* t = rotations + 2L * k * n;
      rotate_columns<width.value>(st, j, both, t, t + n, t + 2 * n, t + 3 * n);
    }
  };
  int j = 0;
  for (; j + 4 <= n; j += 4) rotate_strip(j, std::integral_constant<int, 4>());
  for (; j < n; ++j) rotate_strip(j, std::integral_constant<int, 1>());
}

template <class L>
SK_HD void exchange(mask_t<L> where, L& x, L& y) {
  const L z = x;
  x = lane_select(where, y, x);
  y = lane_select(where, z, y);
}

// Reverses the order of d and e in the lanes whose matrix is graded upwards: QL wants the small entries on top.
template <class L>
SK_HD mask_t<L> put_small_end_first(L* d, L* e, int n) {
  const mask_t<L> reverse = lane_abs(d[n - 1]) < lane_abs(d[0]);
  for (int i = 0; i < n - 1 - i; ++i) exchange(reverse, d[i], d[n - 1 - i]);
  for (int i = 0; i < n - 2 - i; ++i) exchange(reverse, e[i], e[n - 2 - i]);
  return reverse;
}

// d[l] of each lane, l within [first, n).
template <class L>
SK_HD L gather(const L* d, L l, int first) {
  using T = real_t<L>;
  const int last = int(lane_hmax(l));
  L x = d[first];
  for (int k = first + 1; k <= last; ++k) x = lane_select(l == L(T{1} * k), d[k], x);
  return x;
}

// d and e^2 to the eigenvalues in d, unordered.  Returns, per lane, the number of eigenvalues that were not found
// within 30 n sweeps.
template <class L>
SK_STEP L ql_values(L* d, L* e, int n) {
  QlWindow<L> q(n);
  for (int sweep = 0;; ++sweep) {
    find_windows<true>(d, e, n, q);
    if (!lane_any(q.active) || sweep == 30 * n) return q.unfinished(n);
    square_root_free_sweep(d, e, q, wilkinson_shift(q));
  }
}

// d and e to the eigenvectors of T in the rows of ws.st and their eigenvalues in ws.d, unordered.  The first shift for
// eigenvalue l is values[l] (a perfect shift), then Wilkinson's: fewer sweeps have to rotate Z.
template <class E>
SK_STEP lane_of<E> ql_vectors(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  const int n = ws.a.n;
  L *d = ws.d, *e = ws.e;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) ws.st(i, j) = L(i == j ? 1 : 0);
  QlWindow<L> q(n);
  RotationSweep sweeps[SymmetricWorkspace<E>::buffered_sweeps];
  int collected = 0;
  L tried(-1);  // the l whose perfect shift has been used
  for (int sweep = 0;; ++sweep) {
    find_windows<false>(d, e, n, q);
    const bool done = !lane_any(q.active) || sweep == 30 * n;
    if (done || collected == SymmetricWorkspace<E>::buffered_sweeps) {
      apply_rotations(ws.st, sweeps, collected, ws.rotations);
      collected = 0;
    }
    if (done) return q.unfinished(n);
    const L shift = lane_select(q.l == tried, wilkinson_shift(q), gather(ws.values, q.l, q.first));
    tried = q.l;
    L* t = ws.rotations + 2L * collected * n;
    for (int i = 0; i < 2 * n; ++i) t[i] = L(0);
    ql_sweep(d, e, q, shift, t, t + n);
    sweeps[collected++] = {q.first, q.last, sweep};
  }
}

// Diagonalises T of every lane: eigenvalues into ws.values and, with Vectors, the same up to rounding into ws.d and their
// eigenvectors into the rows of ws.st, both unordered.  Returns, per lane, the number of eigenvalues not found.
template <bool Vectors, class E>
SK_HD lane_of<E> implicit_ql(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  const int n = ws.a.n;
  const mask_t<L> reversed = put_small_end_first(ws.d, ws.e, n);
  L* squares = reinterpret_cast<L*>(ws.scratch);
  for (int i = 0; i < n; ++i) ws.values[i] = ws.d[i];
  for (int i = 0; i + 1 < n; ++i) squares[i] = ws.e[i] * ws.e[i];
  const L unfinished = ql_values(ws.values, squares, n);
  if constexpr (!Vectors) {
    return unfinished;
  } else {
    const L without_vectors = ql_vectors(ws);
    if (lane_any(reversed))
      for (int c = 0; c < n; ++c)
        for (int i = 0; i < n - 1 - i; ++i) exchange(reversed, ws.st(c, i), ws.st(c, n - 1 - i));
    return lane_max(unfinished, without_vectors);
  }
}

}  // namespace sk
