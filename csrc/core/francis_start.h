// What a double-shift sweep starts from: the windows that deflation leaves, the shifts, and the first column of
// (H - rt1)(H - rt2).  N and the lanes as in francis.h.
#pragma once
#include "deflation.h"
#include "tile.h"

namespace sk {

template <class L>
struct FrancisState {
  L hi, lo;         // the window of each lane; hi < 0: finished
  L stalled;        // iterations since the last deflation ("KDEFL")
  L h11, h21, h12, h22;  // trailing 2x2 block of the window
  L small_product;  // 48 ulp |H|_F^3
  int last;         // the largest hi of the group
  L failed;         // 1 + hi of a lane that ran out of iterations, else 0
};

// Deflation test of Ahues and Tisseur, after the cheap test |h(k,k-1)| <= ulp (|h(k-1,k-1)| + |h(k,k)|).
template <int N, class L>
SK_HD mask_t<L> negligible_subdiagonal(Tile<L> h, int k, mask_t<L> here, L smlnum) {
  using T = real_t<L>;
  const L ulp(Machine<T>::ulp);
  L sub = lane_abs(h(k, k - 1)), d0 = h(k - 1, k - 1), d1 = h(k, k);
  L tst = lane_abs(d0) + lane_abs(d1);
  mask_t<L> zero = here & (tst == L(0));
  if (N > 0 || lane_any(zero)) {
    L more = tst;
    if (k >= 2) more = more + lane_abs(h(k - 1, k - 2));
    if (k + 1 < h.n) more = more + lane_abs(h(k + 1, k));
    tst = lane_select(zero, more, tst);
  }
  mask_t<L> tiny = here & (sub <= smlnum);
  mask_t<L> candidate = here & (sub <= ulp * tst);
  if (N == 0 && !lane_any(candidate)) return tiny;
  return tiny | (candidate & ahues_tisseur(sub, lane_abs(h(k - 1, k)), lane_abs(d1), lane_abs(d0 - d1), smlnum));
}

// Finds each lane's active window from the bottom up, deflating 1x1 and 2x2 blocks on the way.  The loop's own test is
// a necessary condition for negligible_subdiagonal, in as few operations as possible.
template <int N, class L>
SK_HD void deflate_and_find_windows(Tile<L> h, FrancisState<L>& s, L smlnum) {
  using T = real_t<L>;
  const L ulp(Machine<T>::ulp);
  mask_t<L> searching = s.hi >= L(0);
  s.lo = L(0);
  int k = N > 0 ? N - 1 : s.last;
  L below = lane_abs(h(k, k));
  SK_UNROLL
  for (; k >= 1; --k) {
    if (N == 0) {
      L above = lane_abs(h(k - 1, k - 1));
      L tst = above + below;
      below = above;
      mask_t<L> suspect = (lane_abs(h(k, k - 1)) <= lane_max(ulp * tst, smlnum)) | (tst == L(0));
      if (!lane_any(suspect)) continue;
    }
    mask_t<L> here = searching & (L(T(k)) <= s.hi);
    mask_t<L> cut = negligible_subdiagonal<N>(h, k, here, smlnum);
    if (N == 0 && !lane_any(cut)) continue;
    h(k, k - 1) = lane_select(cut, L(0), h(k, k - 1));
    if (N == 3) {  // whatever splits off, what is left is no window
      s.hi = lane_select(cut, L(T(k - 1)), s.hi);
      continue;
    }
    mask_t<L> block = cut & (L(T(k)) >= s.hi - L(1));  // a 1x1 or 2x2 block has split off
    mask_t<L> window = cut & !block;
    s.lo = lane_select(window, L(T(k)), s.lo);
    searching = searching & !window;
    s.hi = lane_select(block, L(T(k - 1)), s.hi);
    s.stalled = lane_select(block, L(0), s.stalled);
    if (N == 0 && !lane_any(searching)) break;
  }
  s.hi = lane_select((s.hi <= L(1)) & searching, L(-1), s.hi);
}

// The trailing 2x2 block of each lane's window, for the shifts.
template <int N, class L>
SK_HD void capture_trailing_block(Tile<L> h, FrancisState<L>& s, mask_t<L> active) {
  using T = real_t<L>;
  SK_UNROLL_STATIC
  for (int k = N > 0 ? N - 1 : s.last; N > 0 ? k >= 2 : lane_any(active); --k) {
    mask_t<L> here = L(T(k)) == s.hi;
    s.h22 = lane_select(here, h(k, k), s.h22);
    s.h21 = lane_select(here, h(k, k - 1), s.h21);
    s.h12 = lane_select(here, h(k - 1, k), s.h12);
    s.h11 = lane_select(here, h(k - 1, k - 1), s.h11);
    active = active & !here;
  }
}

// The smallest row, a small integer, among the lanes that take part: most often zero.
template <class L>
SK_HD int lowest_row(L row, mask_t<L> active, int n) {
  if (!lane_any(active & (row == L(0)))) return int(lane_hmin(lane_select(active, row, L(real_t<L>(n)))));
  return 0;
}

// Exceptional shifts after 10 and 20 iterations without deflation: rare, so lane by lane.
template <class L>
SK_STEP void exceptional_shifts(Tile<L> h, FrancisState<L>& s) {
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
  s = lane_pow2_floor(lane_max(s, L(Machine<T>::safmin)));
  L inv = lane_pow2_inverse(s);
  L h11 = st.h11 * inv, h21 = st.h21 * inv, h12 = st.h12 * inv, h22 = st.h22 * inv;
  L tr = (h11 + h22) * L(T(0.5));
  L det = (h11 - tr) * (h22 - tr) - h12 * h21;
  L disc = lane_sqrt(lane_abs(det));
  mask_t<L> complex_pair = det >= L(0);
  L rt1 = tr + disc, rt2 = tr - disc;
  L nearest = lane_select(lane_abs(rt1 - h22) <= lane_abs(rt2 - h22), rt1, rt2);
  L re = lane_select(complex_pair, tr, nearest) * s;
  L im = lane_select(complex_pair, disc, L(0)) * s;
  return {re, re, im};
}

// The bulge of each lane on its way down: where it starts, and with which vector.
template <class L>
struct Bulge {
  L start, v1, v2, v3;
};

// Rows m and m + 1 of H that the first column of (H - rt1)(H - rt2) at row m is made of.
template <class L>
struct StartingRow {
  L hmm, hm1, h1m, h11, h21;
};
template <class L>
SK_HD StartingRow<L> starting_row(Tile<L> h, int m) {
  return {h(m, m), h(m, m + 1), h(m + 1, m), h(m + 1, m + 1), h(m + 2, m + 1)};
}
template <class L>
SK_HD void take_row(StartingRow<L>& r, mask_t<L> here, const StartingRow<L>& x) {
  r.hmm = lane_select(here, x.hmm, r.hmm);
  r.hm1 = lane_select(here, x.hm1, r.hm1);
  r.h1m = lane_select(here, x.h1m, r.h1m);
  r.h11 = lane_select(here, x.h11, r.h11);
  r.h21 = lane_select(here, x.h21, r.h21);
}

// Whether the bulge may start at row m, s0 = |h(m, m-1)|: xLAHQR's test without its divisions, which only guard the range; where a
// product underflows the row is not accepted, which is always safe.
template <class L>
SK_HD mask_t<L> may_start_at(Tile<L> h, int m, const StartingRow<L>& x, L s0, const Shifts<L>& sh) {
  using T = real_t<L>;
  L p1 = lane_fma(x.h1m, x.hm1, lane_fma(x.hmm - sh.rt1r, x.hmm - sh.rt2r, sh.rt1i * sh.rt1i));
  L lhs = lane_abs(s0 * x.h1m) * (lane_abs(x.hmm + x.h11 - (sh.rt1r + sh.rt2r)) + lane_abs(x.h21));
  L rhs = L(Machine<T>::ulp) * lane_abs(p1) * (lane_abs(h(m - 1, m - 1)) + lane_abs(x.hmm) + lane_abs(x.h11));
  return (lhs <= rhs) & (rhs >= L(Machine<T>::safmin));
}

// The first column of (H - rt1)(H - rt2) at that row, scaled by powers of two, which is as good as xLAHQR's divisions.
template <class L>
SK_HD void first_column(const StartingRow<L>& at, const Shifts<L>& sh, Bulge<L>& bulge) {
  const L safmin(Machine<real_t<L>>::safmin);
  L inv = lane_pow2_inverse(lane_pow2_floor(lane_max(lane_abs(at.hmm - sh.rt2r) + lane_abs(sh.rt1i) + lane_abs(at.h1m), safmin)));
  L c = at.h1m * inv;
  bulge.v1 = lane_fma(c, at.hm1, lane_fma(at.hmm - sh.rt1r, (at.hmm - sh.rt2r) * inv, sh.rt1i * (sh.rt1i * inv)));
  bulge.v2 = c * (at.hmm + at.h11 - (sh.rt1r + sh.rt2r));
  bulge.v3 = c * at.h21;
  inv = lane_pow2_inverse(lane_pow2_floor(lane_max(lane_abs(bulge.v1) + lane_abs(bulge.v2) + lane_abs(bulge.v3), safmin)));
  bulge.v1 = bulge.v1 * inv, bulge.v2 = bulge.v2 * inv, bulge.v3 = bulge.v3 * inv;
}

// The first column of (H - rt1)(H - rt2), started at the lowest row m above which two consecutive subdiagonal entries
// are small.  The test's right side is at most 48 ulp |H|_F^3 and its left side at least the product of three neighbouring
// subdiagonal entries: few rows need the whole of it.
template <int N, class L>
SK_HD Bulge<L> start_bulge(Tile<L> h, const FrancisState<L>& st, const Shifts<L>& sh, int top) {
  using T = real_t<L>;
  mask_t<L> seeking = st.hi >= L(0);
  Bulge<L> bulge;
  bulge.start = st.lo;
  StartingRow<L> at = starting_row(h, top);
  const int last = N > 0 ? N - 1 : st.last;
  L s1 = lane_abs(h(last - 1, last - 2)), s2 = lane_abs(h(last, last - 1));
  SK_UNROLL
  for (int m = last - 2; m > top; --m) {
    L s0 = lane_abs(h(m, m - 1));
    if (N == 0) {
      mask_t<L> suspect = s0 * s1 * s2 <= st.small_product;
      s2 = s1, s1 = s0;
      if (!lane_any(suspect)) continue;
    }
    StartingRow<L> x = starting_row(h, m);
    mask_t<L> accept = seeking & (L(T(m)) > st.lo) & (L(T(m)) <= st.hi - L(2)) & may_start_at(h, m, x, s0, sh);
    if (N == 0 && !lane_any(accept)) continue;
    bulge.start = lane_select(accept, L(T(m)), bulge.start);
    take_row(at, accept, x);
    seeking = seeking & !accept;
  }
  seeking = seeking & (st.lo > L(T(top)));
  SK_UNROLL_STATIC
  for (int m = top + 1; N > 0 ? m <= N - 3 : lane_any(seeking); ++m) {
    mask_t<L> here = seeking & (L(T(m)) == st.lo);
    take_row(at, here, starting_row(h, m));
    seeking = seeking & !here;
  }
  first_column(at, sh, bulge);
  return bulge;
}

}  // namespace sk
