// Francis' implicit double-shift QR iteration on a group of Hessenberg matrices (xLAHQR; Golub and Van Loan, 7.5).
//
// Every lane has its own window (lo, hi) and iteration count.  Each sweep runs over the union of the windows; a lane
// that has nothing to do at step k gets the reflector tau = 0, and selects keep its entries bit for bit.  Entries
// outside a lane's window may change by another lane's bounds, but only in the blocks that couple windows, which no
// eigenvalue depends on: so the eigenvalues are the same bits with and without the Schur form.
// 2x2 blocks are standardised after the iteration, all lanes together (standardize.h).
#pragma once
#include "tile.h"

namespace sk {

template <class L>
struct FrancisState {
  L hi, lo;         // the window of each lane; hi < 0: finished
  L stalled;        // iterations since the last deflation ("KDEFL")
  L h11, h21, h12, h22;  // trailing 2x2 block of the window
  L failed;         // 1 + hi of a lane that ran out of iterations, else 0
};

// Deflation test of Ahues and Tisseur (LAWN 122), after the cheap test |h(k,k-1)| <= ulp (|h(k-1,k-1)| + |h(k,k)|).
template <class L>
SK_HD mask_t<L> negligible_subdiagonal(Tile<L> h, int k, mask_t<L> here, L smlnum) {
  using T = real_t<L>;
  const L ulp(Machine<T>::ulp);
  L sub = lane_abs(h(k, k - 1)), d0 = h(k - 1, k - 1), d1 = h(k, k);
  L tst = lane_abs(d0) + lane_abs(d1);
  mask_t<L> zero = here & (tst == L(0));
  if (lane_any(zero)) {
    L more = tst;
    if (k >= 2) more = more + lane_abs(h(k - 1, k - 2));
    if (k + 1 < h.n) more = more + lane_abs(h(k + 1, k));
    tst = lane_select(zero, more, tst);
  }
  mask_t<L> tiny = here & (sub <= smlnum);
  mask_t<L> candidate = here & (sub <= ulp * tst);
  if (!lane_any(candidate)) return tiny;
  L sup = lane_abs(h(k - 1, k)), diff = lane_abs(d0 - d1), diag = lane_abs(d1);
  L ab = lane_max(sub, sup), ba = lane_min(sub, sup), aa = lane_max(diag, diff), bb = lane_min(diag, diff);
  L s = aa + ab;
  s = lane_select(s == L(0), L(1), s);
  return tiny | (candidate & (ba * (ab / s) <= lane_max(smlnum, ulp * (bb * (aa / s)))));
}

// Finds each lane's active window from the bottom up, deflating 1x1 and 2x2 blocks on the way, and captures the
// trailing 2x2 block of the window for the shifts.
template <class L>
SK_HD void deflate_and_find_windows(Tile<L> h, FrancisState<L>& s, L smlnum) {
  using T = real_t<L>;
  mask_t<L> searching = s.hi >= L(0);
  s.lo = L(0);
  for (int k = int(lane_hmax(s.hi)); k >= 1; --k) {
    mask_t<L> here = searching & (L(T(k)) <= s.hi);
    mask_t<L> cut = negligible_subdiagonal(h, k, here, smlnum);
    if (lane_any(cut)) {
      h(k, k - 1) = lane_select(cut, L(0), h(k, k - 1));
      mask_t<L> block = cut & (L(T(k)) >= s.hi - L(1));  // a 1x1 or 2x2 block has split off
      mask_t<L> window = cut & !block;
      s.lo = lane_select(window, L(T(k)), s.lo);
      searching = searching & !window;
      s.hi = lane_select(block, L(T(k - 1)), s.hi);
      s.stalled = lane_select(block, L(0), s.stalled);
      here = here & !cut;
      if (!lane_any(searching)) break;
    }
    mask_t<L> bottom = here & (L(T(k)) == s.hi);
    s.h22 = lane_select(bottom, h(k, k), s.h22);
    s.h21 = lane_select(bottom, h(k, k - 1), s.h21);
    s.h12 = lane_select(bottom, h(k - 1, k), s.h12);
    s.h11 = lane_select(bottom, h(k - 1, k - 1), s.h11);
  }
  s.hi = lane_select(searching & (s.hi <= L(1)), L(-1), s.hi);
}

// Exceptional shifts after 10 and 20 iterations without deflation: rare, so lane by lane.
template <class L>
SK_HD void exceptional_shifts(Tile<L> h, FrancisState<L>& s) {
  using T = real_t<L>;
  for (int w = 0; w < width_v<L>; ++w) {
    int hi = int(lane_get(s.hi, w)), lo = int(lane_get(s.lo, w)), stalled = int(lane_get(s.stalled, w));
    if (hi < 0 || stalled == 0 || stalled % 10) continue;
    auto at = [&](int i, int j) { return lane_get(h(i, j), w); };
    bool at_bottom = stalled % 20 == 0;
    T sum = at_bottom ? lane_abs(at(hi, hi - 1)) + lane_abs(at(hi - 1, hi - 2))
                      : lane_abs(at(lo + 1, lo)) + lane_abs(at(lo + 2, lo + 1));
    T corner = T(0.75) * sum + (at_bottom ? at(hi, hi) : at(lo, lo));
    lane_set(s.h11, w, corner);
    lane_set(s.h12, w, T(-0.4375) * sum);
    lane_set(s.h21, w, sum);
    lane_set(s.h22, w, corner);
  }
}

template <class L>
struct Shifts {
  L rt1r, rt2r, rt1i;  // rt2i = -rt1i
};

// The eigenvalues of the trailing 2x2 block; of two real ones the nearer to h22, twice.
template <class L>
SK_HD Shifts<L> double_shift(const FrancisState<L>& st) {
  using T = real_t<L>;
  L s = lane_abs(st.h11) + lane_abs(st.h12) + lane_abs(st.h21) + lane_abs(st.h22);
  mask_t<L> zero = s == L(0);
  s = lane_select(zero, L(1), s);
  L inv = L(1) / s;
  L h11 = st.h11 * inv, h21 = st.h21 * inv, h12 = st.h12 * inv, h22 = st.h22 * inv;
  L tr = (h11 + h22) * L(T(0.5));
  L det = (h11 - tr) * (h22 - tr) - h12 * h21;
  L disc = lane_sqrt(lane_abs(det));
  mask_t<L> complex_pair = det >= L(0);
  L rt1 = tr + disc, rt2 = tr - disc;
  L nearest = lane_select(lane_abs(rt1 - h22) <= lane_abs(rt2 - h22), rt1, rt2);
  L re = lane_select(complex_pair, tr, nearest) * s;
  L im = lane_select(complex_pair, disc, L(0)) * s;
  re = lane_select(zero, L(0), re);
  im = lane_select(zero, L(0), im);
  return {re, re, im};
}

// The first column of (H - rt1)(H - rt2), started at the lowest row m above which two consecutive subdiagonal entries
// are small.  The test is xLAHQR's without its divisions, which only guard the range; where a product underflows the
// row is not accepted, which is always safe.
template <class L>
SK_HD L start_of_bulge(Tile<L> h, const FrancisState<L>& st, const Shifts<L>& sh, L& v1, L& v2, L& v3) {
  using T = real_t<L>;
  mask_t<L> seeking = st.hi >= L(0);
  L start(0), a(0), b(0), c(0), d(0), e(0);
  L low = lane_select(seeking, st.lo, L(T(h.n)));
  const int bottom = int(lane_hmin(low));
  for (int m = int(lane_hmax(st.hi)) - 2; m >= bottom; --m) {
    mask_t<L> here = seeking & (L(T(m)) <= st.hi - L(2));
    L hmm = h(m, m), hm1 = h(m, m + 1), h1m = h(m + 1, m), h11 = h(m + 1, m + 1), h21 = h(m + 2, m + 1);
    mask_t<L> accept = here & (L(T(m)) <= st.lo);
    if (m > 0) {
      L p1 = lane_fma(h1m, hm1, lane_fma(hmm - sh.rt1r, hmm - sh.rt2r, sh.rt1i * sh.rt1i));
      L p2 = h1m * (hmm + h11 - sh.rt1r - sh.rt2r), p3 = h1m * h21;
      L lhs = lane_abs(h(m, m - 1)) * (lane_abs(p2) + lane_abs(p3));
      L rhs = L(Machine<T>::ulp) * lane_abs(p1) * (lane_abs(h(m - 1, m - 1)) + lane_abs(hmm) + lane_abs(h11));
      accept = accept | (here & (lhs <= rhs) & (rhs >= L(Machine<T>::safmin)));
    }
    if (!lane_any(accept)) continue;
    start = lane_select(accept, L(T(m)), start);
    a = lane_select(accept, hmm, a);
    b = lane_select(accept, hm1, b);
    c = lane_select(accept, h1m, c);
    d = lane_select(accept, h11, d);
    e = lane_select(accept, h21, e);
    seeking = seeking & !accept;
    if (!lane_any(seeking)) break;
  }
  L s = lane_abs(a - sh.rt2r) + lane_abs(sh.rt1i) + lane_abs(c);
  L inv = L(1) / lane_select(s == L(0), L(1), s);
  L c_s = c * inv;
  v1 = lane_fma(c_s, b, lane_fma(a - sh.rt1r, (a - sh.rt2r) * inv, sh.rt1i * (sh.rt1i * inv)));
  v2 = c_s * (a + d - sh.rt1r - sh.rt2r);
  v3 = c_s * e;
  s = lane_abs(v1) + lane_abs(v2) + lane_abs(v3);
  inv = L(1) / lane_select(s == L(0), L(1), s);
  v1 = v1 * inv, v2 = v2 * inv, v3 = v3 * inv;
  return start;
}

// I - t1 (1, v2, v3)^T (1, v2, v3) maps (alpha, x, y) to (beta, 0, 0); t2 = t1 v2, t3 = t1 v3 (xLARFG for n = 3).
template <class L>
struct Reflector3 {
  L t1, t2, t3, v2, v3, beta;
};

template <class L>
SK_HD Reflector3<L> reflector3(L alpha, L x, L y, mask_t<L> on) {
  using T = real_t<L>;
  L tail = lane_fma(x, x, y * y);
  L ss = lane_fma(alpha, alpha, tail);
  mask_t<L> reflect = on & ((x != L(0)) | (y != L(0)));
  const L small(sizeof(T) == 4 ? T(1e-30) : T(1e-280));
  L gain(1);
  if (lane_any(reflect & (ss < small))) {  // squares underflow: scale by a power of two
    L top = lane_max(lane_abs(alpha), lane_max(lane_abs(x), lane_abs(y)));
    top = lane_pow2_floor(lane_max(top, L(Machine<T>::safmin)));
    gain = lane_select(reflect & (ss < small), L(1) / top, L(1));
    alpha = alpha * gain, x = x * gain, y = y * gain;
    ss = lane_fma(alpha, alpha, lane_fma(x, x, y * y));
  }
  L norm = lane_sqrt(lane_select(reflect, ss, L(1)));
  L beta = lane_select(alpha < L(0), norm, -norm);  // not copysign: an idle lane may turn -0 into +0
  L d = lane_select(reflect, alpha - beta, L(1));
  L inv_d = L(1) / d, inv_b = L(1) / beta;
  Reflector3<L> r;
  r.v2 = lane_select(reflect, x * inv_d, L(0));
  r.v3 = lane_select(reflect, y * inv_d, L(0));
  r.t1 = lane_select(reflect, -d * inv_b, L(0));
  r.t2 = r.t1 * r.v2;
  r.t3 = r.t1 * r.v3;
  r.beta = lane_select(reflect, beta / gain, alpha / gain);
  return r;
}

// (a, b, c) -= (a + v2 b + v3 c) (t1, t2, t3)
template <class L>
SK_HD void apply3(const Reflector3<L>& r, L& a, L& b, L& c) {
  L s = -lane_fma(r.v3, c, lane_fma(r.v2, b, a));
  a = lane_fma(s, r.t1, a);
  b = lane_fma(s, r.t2, b);
  c = lane_fma(s, r.t3, c);
}
template <class L>
SK_HD void apply2(const Reflector3<L>& r, L& a, L& b) {
  L s = -lane_fma(r.v2, b, a);
  a = lane_fma(s, r.t1, a);
  b = lane_fma(s, r.t2, b);
}

// One implicit double-shift sweep, chasing the bulge down the union of the windows.
template <bool Schur, class L>
SK_HD void francis_sweep(Tile<L> h, Tile<L> zt, const FrancisState<L>& st, L start, L v1, L v2, L v3) {
  using T = real_t<L>;
  const int n = h.n;
  mask_t<L> active = st.hi >= L(0);
  const int last = int(lane_hmax(st.hi));
  const int first = int(lane_hmin(lane_select(active, start, L(T(n)))));
  const int top = Schur ? 0 : int(lane_hmin(lane_select(active, st.lo, L(T(n)))));
  const int right = Schur ? n : last + 1;
  for (int k = first; k < last; ++k) {
    const bool three = k + 2 <= last;
    mask_t<L> on = active & (L(T(k)) >= start) & (L(T(k)) < st.hi);
    mask_t<L> begin = on & (L(T(k)) == start);
    mask_t<L> has3 = on & (L(T(k)) < st.hi - L(1));
    L alpha = v1, x = v2, y = v3;
    if (k > 0) {
      alpha = lane_select(begin, v1, h(k, k - 1));
      x = lane_select(begin, v2, h(k + 1, k - 1));
      y = three ? lane_select(begin, v3, h(k + 2, k - 1)) : L(0);
    }
    Reflector3<L> r = reflector3(alpha, x, lane_select(has3, y, L(0)), on);
    if (k > 0) {
      mask_t<L> chase = on & !begin;
      L sub = h(k, k - 1);
      // xLAHQR multiplies by 1 - t1 where a bulge starts inside a window: negating would be wrong after underflow
      sub = lane_select(begin, sub * (L(1) - r.t1), sub);
      h(k, k - 1) = lane_select(chase, r.beta, sub);
      h(k + 1, k - 1) = lane_select(chase, L(0), h(k + 1, k - 1));
      if (three) h(k + 2, k - 1) = lane_select(chase & has3, L(0), h(k + 2, k - 1));
    }
    L *r0 = h.row(k), *r1 = h.row(k + 1);
    const int below = k + 3 < last ? k + 3 : last;
    if (three) {
      L* r2 = h.row(k + 2);
      SK_INDEPENDENT
      for (int j = k; j < right; ++j) apply3(r, r0[j], r1[j], r2[j]);
      for (int i = top; i <= below; ++i) {
        L* a = h.row(i) + k;
        apply3(r, a[0], a[1], a[2]);
      }
      if (Schur) {
        L *z0 = zt.row(k), *z1 = zt.row(k + 1), *z2 = zt.row(k + 2);
        SK_INDEPENDENT
        for (int i = 0; i < n; ++i) apply3(r, z0[i], z1[i], z2[i]);
      }
    } else {
      SK_INDEPENDENT
      for (int j = k; j < right; ++j) apply2(r, r0[j], r1[j]);
      for (int i = top; i <= below; ++i) {
        L* a = h.row(i) + k;
        apply2(r, a[0], a[1]);
      }
      if (Schur) {
        L *z0 = zt.row(k), *z1 = zt.row(k + 1);
        SK_INDEPENDENT
        for (int i = 0; i < n; ++i) apply2(r, z0[i], z1[i]);
      }
    }
  }
}

// Iterates until every lane is quasi-triangular or out of iterations.  Returns, per lane, 0 or 1 + the index of the last
// eigenvalue that was not found.
template <bool Schur, class L>
SK_HD L francis(Tile<L> h, Tile<L> zt) {
  using T = real_t<L>;
  const int n = h.n;
  const L smlnum(Machine<T>::safmin * (T(n) / Machine<T>::ulp));
  const L limit(T(30 * (n > 10 ? n : 10)));
  FrancisState<L> st;
  st.hi = L(T(n - 1));
  st.lo = st.stalled = st.failed = L(0);
  st.h11 = st.h21 = st.h12 = st.h22 = L(0);
  for (;;) {
    deflate_and_find_windows(h, st, smlnum);
    mask_t<L> active = st.hi >= L(0);
    if (!lane_any(active)) return st.failed;
    st.stalled = lane_select(active, st.stalled + L(1), L(0));
    mask_t<L> give_up = active & (st.stalled > limit);
    if (lane_any(give_up)) {
      st.failed = lane_select(give_up, st.hi + L(1), st.failed);
      st.hi = lane_select(give_up, L(-1), st.hi);
      if (!lane_any(st.hi >= L(0))) return st.failed;
    }
    if (lane_any(st.stalled >= L(10))) exceptional_shifts(h, st);
    Shifts<L> shifts = double_shift(st);
    L v1, v2, v3;
    L start = start_of_bulge(h, st, shifts, v1, v2, v3);
    francis_sweep<Schur>(h, zt, st, start, v1, v2, v3);
  }
}

}  // namespace sk
