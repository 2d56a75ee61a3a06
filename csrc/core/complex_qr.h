// The implicit single-shift QR iteration on a group of complex Hessenberg matrices (xLAHQR for complex; Golub and Van Loan,
// section 7.5; Wilkinson's shift).
//
// Every lane has its own window (lo, hi) and iteration count.  Each sweep runs over the union of the windows; a lane that
// has nothing to do at step k gets the identity, which leaves its entries alone.  Entries outside a lane's window may
// change by another lane's bounds, but only in the blocks that couple windows, which no eigenvalue depends on: so the
// eigenvalues are the same bits with and without the Schur form.
//
// xLAHQR keeps the subdiagonal real by scaling rows and columns with unit numbers.  Here each entry is a size and a phase
// (Subdiagonal): rotation k, b real, annihilates b size[k+1] phase[k+1], and the entry it leaves behind inherits that phase.
// So phases move up by one a sweep, nothing is scaled, and only the last entry of the window gets a new phase.
//
// N is the size where the compiler knows it, and 0 where it does not: with N the matrices stay in registers, and every lane takes every
// step of the whole matrix.
#pragma once
#include "complex_workspace.h"
#include "deflation.h"

namespace sk {

template <class L>
struct QrState {
  L hi, lo;      // the window of each lane; hi < 0: finished
  L stalled;     // iterations since the last deflation ("KDEFL")
  L failed;      // 1 + hi of a lane that ran out of iterations, else 0
};

// Deflation test of Ahues and Tisseur at h(k, k-1), after the cheap test against ulp times the diagonal.
template <class L>
SK_HD mask_t<L> negligible_subdiagonal(const Workspace<Complex<L>>& ws, int k, mask_t<L> here, L c0, L c1, L smlnum) {
  using T = real_t<L>;
  const L ulp(Machine<T>::ulp);
  L sub = ws.sub.size[k - 1], tst = c0 + c1;
  mask_t<L> zero = here & (tst == L(0));
  if (lane_any(zero)) {
    L more = ws.sub.size[k];  // 0 for k = n - 1
    if (k >= 2) more = more + ws.sub.size[k - 2];
    tst = lane_select(zero, more, tst);
  }
  mask_t<L> tiny = here & (sub <= smlnum);
  mask_t<L> candidate = here & (sub <= ulp * tst);
  if (!lane_any(candidate)) return tiny;
  return tiny | (candidate & ahues_tisseur(sub, cabs1(ws.h(k - 1, k)), c1, cabs1(ws.h(k - 1, k - 1) - ws.h(k, k)), smlnum));
}

// Finds each lane's active window from the bottom up, deflating eigenvalues on the way.
template <int N, class L>
SK_HD void deflate_and_find_windows(Workspace<Complex<L>>& ws, QrState<L>& s, L smlnum) {
  using T = real_t<L>;
  mask_t<L> searching = s.hi >= L(0);
  s.lo = L(0);
  const int top = N > 0 ? N - 1 : int(lane_hmax(s.hi));
  L c1 = top >= 1 ? cabs1(ws.h(top, top)) : L(0);
  SK_UNROLL_STATIC
  for (int k = top; k >= 1; --k) {
    L c0 = cabs1(ws.h(k - 1, k - 1));
    mask_t<L> cut = negligible_subdiagonal(ws, k, searching & (L(T(k)) <= s.hi), c0, c1, smlnum);
    c1 = c0;
    if (!lane_any(cut)) continue;
    ws.sub.size[k - 1] = lane_select(cut, L(0), ws.sub.size[k - 1]);
    mask_t<L> deflated = cut & (L(T(k)) == s.hi), window = cut & !deflated;
    s.lo = lane_select(window, L(T(k)), s.lo);
    searching = searching & !window;
    s.hi = lane_select(deflated, L(T(k - 1)), s.hi);
    s.stalled = lane_select(deflated, L(0), s.stalled);
    if (!lane_any(searching)) break;
  }
  s.hi = lane_select(searching & (s.hi <= L(0)), L(-1), s.hi);
}

// Exceptional shifts after 10 and 20 iterations without deflation: rare, so lane by lane.
template <class L>
SK_STEP void exceptional_shifts(const Workspace<Complex<L>>& ws, const QrState<L>& s, Complex<L>& shift) {
  using T = real_t<L>;
  for (int w = 0; w < width_v<L>; ++w) {
    int hi = int(lane_get(s.hi, w)), lo = int(lane_get(s.lo, w)), stalled = int(lane_get(s.stalled, w));
    if (hi < 0 || stalled == 0 || stalled % 10) continue;
    const bool at_bottom = stalled % 20 == 0;
    const Complex<L>& corner = at_bottom ? ws.h(hi, hi) : ws.h(lo, lo);
    const T size = lane_get(ws.sub.size[at_bottom ? hi - 1 : lo], w);
    lane_set(shift.re, w, T(0.75) * size + lane_get(corner.re, w));
    lane_set(shift.im, w, lane_get(corner.im, w));
  }
}

// The eigenvalue of the trailing 2x2 block that is nearer to its corner: t - u^2 / (x + y), x half the difference of the
// diagonal, u^2 the product of the off-diagonal entries, y = +-sqrt(x^2 + u^2).
template <int N, class L>
SK_HD Complex<L> wilkinson_shift(const Workspace<Complex<L>>& ws, const QrState<L>& st) {
  using T = real_t<L>;
  mask_t<L> active = st.hi >= L(0);
  const int top = N > 0 ? N - 1 : int(lane_hmax(st.hi)), bottom = N > 0 ? 1 : int(lane_hmin(lane_select(active, st.hi, L(T(ws.h.n)))));
  Complex<L> zero{L(0), L(0)}, h11 = zero, h12 = zero, h22 = zero, phase = zero;
  L h21(0);
  SK_UNROLL_STATIC
  for (int i = bottom; i <= top; ++i) {
    mask_t<L> here = st.hi == L(T(i));
    h11 = complex_select(here, ws.h(i - 1, i - 1), h11);
    h12 = complex_select(here, ws.h(i - 1, i), h12);
    h22 = complex_select(here, ws.h(i, i), h22);
    phase = complex_select(here, ws.sub.phase[i - 1], phase);
    h21 = lane_select(here, ws.sub.size[i - 1], h21);
  }
  L c12 = cabs1(h12);
  c12 = lane_select(c12 < L(Machine<T>::safmin), L(0), c12);
  L size_u = lane_sqrt(c12) * lane_sqrt(h21);
  Complex<L> x = (h11 - h22) * L(T(0.5));
  mask_t<L> shifted = size_u != L(0);
  L s = lane_max(size_u, cabs1(x));
  L inverse = L(1) / lane_select(shifted, s, L(1));
  L ratio = size_u * inverse;
  Complex<L> u2 = (h12 * (L(1) / lane_select(c12 == L(0), L(1), c12))) * phase * (ratio * ratio);
  x = x * inverse;
  Complex<L> y = square_root(multiply_add(x, x, u2));
  L along = lane_fma(x.re, y.re, x.im * y.im);
  y = complex_select(along < L(0), x - y, x + y);
  L norm = abs_squared(y);
  L scale = s / lane_select(shifted & (norm != L(0)), norm, L(1));
  Complex<L> back = (u2 * conj(y)) * scale;
  return {lane_select(shifted, h22.re - back.re, h22.re), lane_select(shifted, h22.im - back.im, h22.im)};
}

// Whether the bulge may start at row m > 0, f = h(m, m) - shift: xLAHQR's test without its divisions, which only guard the range;
// where a product underflows the row is not accepted, which is always safe.  c0, c1: the sizes of h(m, m) and h(m+1, m+1).
template <class L>
SK_HD mask_t<L> may_start_at(const Subdiagonal<L>& sub, int m, Complex<L> f, L c0, L c1) {
  using T = real_t<L>;
  L lhs = sub.size[m - 1] * sub.size[m], rhs = L(Machine<T>::ulp) * (cabs1(f) * (c0 + c1));
  return (lhs <= rhs) & (rhs >= L(Machine<T>::safmin));
}

// The lowest row m above which two consecutive subdiagonal entries are small, and the first column (v, sub(m)) of H - shift
// there.
template <int N, class L>
SK_HD L start_of_bulge(const Workspace<Complex<L>>& ws, const QrState<L>& st, Complex<L> shift, Complex<L>& v) {
  using T = real_t<L>;
  mask_t<L> seeking = st.hi >= L(0);
  L start(0);
  v = {L(0), L(0)};
  const int bottom = N > 0 ? 0 : int(lane_hmin(lane_select(seeking, st.lo, L(T(ws.h.n)))));
  int m = N > 0 ? N - 2 : int(lane_hmax(st.hi)) - 1;
  L c1 = cabs1(ws.h(m + 1, m + 1));
  SK_UNROLL_STATIC
  for (; m >= bottom; --m) {
    mask_t<L> here = seeking & (L(T(m)) < st.hi);
    Complex<L> d = ws.h(m, m), f = d - shift;
    L c0 = cabs1(d);
    mask_t<L> accept = here & (L(T(m)) <= st.lo);
    if (m > 0) accept = accept | (here & may_start_at(ws.sub, m, f, c0, c1));
    c1 = c0;
    if (!lane_any(accept)) continue;
    start = lane_select(accept, L(T(m)), start);
    v = complex_select(accept, f, v);
    seeking = seeking & !accept;
    if (!lane_any(seeking)) break;
  }
  return start;
}

// Rotations first..last-1 of one sweep.
template <class L>
struct Sweep {
  Rotation<L>* rotations;  // rotation k at rotations[k - first]
  int first, last;
};

// Rows r .. r+B-1 of a, rotated from the right.
template <int B, class L>
SK_HD void rotate_rows(ColumnTile<Complex<L>> a, int r, const Sweep<L>& s) {
  Complex<L> carry[B];
  for (int b = 0; b < B; ++b) carry[b] = a(r + b, s.first);
  SK_UNROLL_STATIC
  for (int k = s.first; k < s.last; ++k) {
    const Rotation<L> rotation = s.rotations[k - s.first];
    Complex<L>*to = a.col(k) + r, *from = a.col(k + 1) + r;
    for (int b = 0; b < B; ++b) {
      Complex<L> next = from[b];
      rotation.columns(carry[b], next);
      to[b] = carry[b];
      carry[b] = next;
    }
  }
  for (int b = 0; b < B; ++b) a(r + b, s.last) = carry[b];
}

// Columns j .. j+B-1 of a, rotated from the left.
template <int B, class L>
SK_HD void rotate_columns(ColumnTile<Complex<L>> a, int j, const Sweep<L>& s) {
  Complex<L> carry[B];
  Complex<L>* x = a.col(j);
  for (int b = 0; b < B; ++b) carry[b] = x[b * a.ld + s.first];
  for (int k = s.first; k < s.last; ++k) {
    const Rotation<L> rotation = s.rotations[k - s.first];
    for (int b = 0; b < B; ++b) {
      Complex<L> next = x[b * a.ld + k + 1];
      rotation.rows(carry[b], next);
      x[b * a.ld + k] = carry[b];
      carry[b] = next;
    }
  }
  for (int b = 0; b < B; ++b) x[b * a.ld + s.last] = carry[b];
}

// The whole sweep on rows r..end-1, or columns j..end-1, four at a time.
template <class L>
SK_STEP void rotate_all_rows(ColumnTile<Complex<L>> a, int r, int end, const Sweep<L>& s) {
  for (; r + 4 <= end; r += 4) rotate_rows<4>(a, r, s);
  for (; r < end; ++r) rotate_rows<1>(a, r, s);
}
template <class L>
SK_STEP void rotate_all_columns(ColumnTile<Complex<L>> a, int j, int end, const Sweep<L>& s) {
  for (; j + 4 <= end; j += 4) rotate_columns<4>(a, j, s);
  for (; j < end; ++j) rotate_columns<1>(a, j, s);
}

// One implicit single-shift sweep over the union of the windows.  Step k needs column k + 1 up to date, so that column
// takes rotations first..k from the left in one pass down, and each of its entries rotation k from the right in the same
// pass; rows above the window, columns right of it and Z take the whole sweep afterwards.
template <bool Schur, int N, class L>
SK_HD void qr_sweep(Workspace<Complex<L>>& ws, const QrState<L>& st, L start, Complex<L> v) {
  using T = real_t<L>;
  const ColumnTile<Complex<L>> h = ws.h;
  const int n = h.n;
  mask_t<L> active = st.hi >= L(0);
  const int last = N > 0 ? N - 1 : int(lane_hmax(st.hi));
  const int first = N > 0 ? 0 : int(lane_hmin(lane_select(active, start, L(T(n)))));
  const int top = Schur || N > 0 ? 0 : int(lane_hmin(lane_select(active, st.lo, L(T(n)))));
  const Sweep<L> sweep{ws.rotations, first, last};
  Rotation<L> previous = Rotation<L>::identity();
  Complex<L> bulge{L(0), L(0)};  // h(k, k-1) after step k - 1
  SK_UNROLL_STATIC
  for (int k = first; k < last; ++k) {
    mask_t<L> on = active & (L(T(k)) >= start) & (L(T(k)) < st.hi);
    mask_t<L> begin = on & (L(T(k)) == start), chase = on & !begin;
    const Complex<L> phase = ws.sub.phase[k];
    const L size = ws.sub.size[k];
    L beta;
    const Rotation<L> r = rotation_of(complex_select(begin, v, bulge) * conj(phase), lane_select(begin, size, previous.b * size), on, beta);
    sweep.rotations[k - first] = r;
    if (k > 0) {
      ws.sub.size[k - 1] = lane_select(chase, beta, ws.sub.size[k - 1]);
      ws.sub.phase[k - 1] = complex_select(chase, phase, ws.sub.phase[k - 1]);
      mask_t<L> inside = begin & (L(T(k)) > st.lo);
      if (lane_any(inside)) {  // a bulge that starts inside a window turns the entry above it
        L shrink = modulus(r.a);
        Complex<L> turned = conj(phase_of(r.a, shrink)) * ws.sub.phase[k - 1];
        ws.sub.size[k - 1] = lane_select(inside, shrink * ws.sub.size[k - 1], ws.sub.size[k - 1]);
        ws.sub.phase[k - 1] = complex_select(inside, turned, ws.sub.phase[k - 1]);
      }
    }
    Complex<L>*x = h.col(k), *y = h.col(k + 1);
    Complex<L> x0 = x[k], x1 = conj(previous.a) * (phase * size);
    r.rows(x0, x1);
    Complex<L> carry = y[first];
    SK_UNROLL_STATIC
    for (int j = first; j < k; ++j) {
      Complex<L> next = y[j + 1];
      sweep.rotations[j - first].rows(carry, next);
      r.columns(x[j], carry);
      y[j] = carry;
      carry = next;
    }
    Complex<L> next = y[k + 1];
    r.rows(carry, next);
    r.columns(x0, carry);
    x[k] = x0;
    y[k] = carry;
    r.columns(x1, next);
    y[k + 1] = next;
    bulge = x1;
    mask_t<L> end = on & (L(T(k + 1)) == st.hi);
    if (lane_any(end)) {
      L left = modulus(bulge);
      ws.sub.size[k] = lane_select(end, left, size);
      ws.sub.phase[k] = complex_select(end, phase_of(bulge, left), phase);
    }
    previous = r;
  }
  if constexpr (N > 0) {
    SK_UNROLL
    for (int i = 0; Schur && i < N; ++i) rotate_rows<1>(ws.z, i, sweep);
    return;
  }
  rotate_all_rows(h, top, first, sweep);
  if (!Schur) return;
  rotate_all_columns(h, last + 1, n, sweep);
  rotate_all_rows(ws.z, 0, n, sweep);
}

// H and the sizes of its subdiagonal.
template <int N, class L>
SK_HD void copy_matrix(const Workspace<Complex<L>>& from, Workspace<Complex<L>>& to) {
  copy_tile<N>(from.h, to.h);
  SK_UNROLL
  for (int i = 0; i < N; ++i) to.sub.size[i] = from.sub.size[i];
}

// Iterates until every lane is triangular or out of iterations.  Returns, per lane, 0 or 1 + the index of the last
// eigenvalue that was not found.  `home`: in memory, for the exceptional shifts, which index by data.
template <bool Schur, int N, class L>
SK_HD L single_shift_iterations(Workspace<Complex<L>>& ws, Workspace<Complex<L>>& home) {
  using T = real_t<L>;
  const int n = N > 0 ? N : ws.h.n;
  const L smlnum(Machine<T>::safmin * (T(n) / Machine<T>::ulp));
  const L limit(T(30 * (n > 10 ? n : 10)));
  QrState<L> st;
  st.hi = L(T(n - 1));
  st.lo = st.stalled = st.failed = L(0);
  for (;;) {
    deflate_and_find_windows<N>(ws, st, smlnum);
    mask_t<L> active = st.hi >= L(0);
    if (!lane_any(active)) return st.failed;
    st.stalled = lane_select(active, st.stalled + L(1), L(0));
    mask_t<L> give_up = active & (st.stalled > limit);
    if (lane_any(give_up)) {
      st.failed = lane_select(give_up, st.hi + L(1), st.failed);
      st.hi = lane_select(give_up, L(-1), st.hi);
      if (!lane_any(st.hi >= L(0))) return st.failed;
    }
    Complex<L> shift = wilkinson_shift<N>(ws, st), v;
    if (lane_any(st.stalled >= L(10))) {
      if constexpr (N > 0) copy_matrix<N>(ws, home);
      Complex<L> exceptional = shift;
      exceptional_shifts(home, st, exceptional);
      shift = exceptional;
    }
    L start = start_of_bulge<N>(ws, st, shift, v);
    qr_sweep<Schur, N>(ws, st, start, v);
  }
}

template <bool Schur, class L>
SK_STEP L single_shift_qr(Workspace<Complex<L>>& ws) {
  return single_shift_iterations<Schur, 0>(ws, ws);
}

}  // namespace sk
