// Eigenvectors of T by back-substitution and of A by back-transformation (xTREVC3, xGEBAK, the end of xGEEV).
//
// Two columns are solved at a time.  A lane takes either a complex pair, whose vector is xr + i xi, or two real
// eigenvalues with one vector in xr and one in xi, or a single real eigenvalue in xi.  Row i of (T - lambda) x = 0 is
//     (t_ii - la) xr_i + w xi_i = -sum_{k>i} t_ik xr_k
//     (t_ii - lb) xi_i - w xr_i = -sum_{k>i} t_ik xi_k
// with la = lb for a pair and w = 0 for real eigenvalues: one code path for all lanes, at full use of the arithmetic.
#pragma once
#include "tile.h"

namespace sk {

// The columns that each lane solves in one step.
template <class L>
struct ColumnPair {
  L bottom;                 // larger column index, < 0: this lane is done
  mask_t<L> live, pair, two, has_first;  // complex pair; two real eigenvalues; pair | two
  L la, lb, w;              // lambda of xr, of xi; imaginary part
  L smin_a, smin_b;         // smallest pivots
};

template <class L>
SK_HD ColumnPair<L> next_columns(const L* wr, const L* wi, int n, L bottom) {
  using T = real_t<L>;
  ColumnPair<L> c;
  c.bottom = bottom;
  c.live = bottom >= L(0);
  L wr1(0), wi1(0), wr0(0), wi0(0);
  const int hi = int(lane_hmax(bottom)), lo = int(lane_hmin(lane_select(c.live, bottom, L(T(n)))));
  for (int j = lo; j <= hi; ++j) {
    mask_t<L> here = L(T(j)) == bottom;
    wr1 = lane_select(here, wr[j], wr1);
    wi1 = lane_select(here, wi[j], wi1);
    if (j == 0) continue;
    wr0 = lane_select(here, wr[j - 1], wr0);
    wi0 = lane_select(here, wi[j - 1], wi0);
  }
  c.pair = c.live & (wi1 != L(0));
  c.two = c.live & !c.pair & (bottom >= L(1)) & (wi0 == L(0));
  c.has_first = c.pair | c.two;
  c.lb = wr1;
  c.la = lane_select(c.has_first, wr0, wr1);
  c.w = lane_select(c.pair, lane_abs(wi1), L(0));
  const L ulp(Machine<T>::ulp), floor(Machine<T>::pivot_floor);
  c.smin_a = lane_max(ulp * (lane_abs(c.la) + c.w), floor);
  c.smin_b = lane_max(ulp * (lane_abs(c.lb) + c.w), floor);
  return c;
}

// (dr + i di) with modulus raised to smin, divided by its own power of two: 1 / d = conj(unit) * inverse.
template <class L>
struct Pivot {
  L re, im, inverse, size;
};

template <class L>
SK_HD Pivot<L> pivot_of(L re, L im, L smin) {
  mask_t<L> small = lane_abs(re) + lane_abs(im) < smin;
  re = lane_select(small, smin, re);
  im = lane_select(small, L(0), im);
  L size = lane_pow2_floor(lane_abs(re) + lane_abs(im));
  L g = lane_pow2_inverse(size);
  L a = re * g, b = im * g;
  return {a, b, g / lane_fma(a, a, b * b), size};
}

template <class L, class X>
SK_HD void rescale(X xr, X xi, int from, int to, L sr, L si) {
  for (int k = from; k <= to; ++k) {
    xr[k] = xr[k] * sr;
    xi[k] = xi[k] * si;
  }
}

// Keeps the next component below vector_bound: where |acc| / |pivot| would exceed it, the vector so far and acc are
// scaled so that the new component is about one (xLATRS by hand).
template <class L, class X>
SK_HD void guard_growth(const ColumnPair<L>& c, L size_a, L size_b, L& ar, L& ai, L& br, L& bi, X xr, X xi, int i, int top) {
  using T = real_t<L>;
  const L bound(Machine<T>::vector_bound);
  L ga = lane_max(lane_abs(ar), lane_abs(br)), gb = lane_max(lane_abs(ai), lane_abs(bi));
  L both = lane_max(ga, gb);
  ga = lane_select(c.pair, both, ga);
  gb = lane_select(c.pair, both, gb);
  mask_t<L> over_a = ga > bound * size_a, over_b = gb > bound * size_b;
  if (!lane_any(over_a | over_b)) return;
  L sa = lane_select(over_a, lane_pow2_floor(size_a / lane_select(over_a, ga, L(1))), L(1));
  L sb = lane_select(over_b, lane_pow2_floor(size_b / lane_select(over_b, gb, L(1))), L(1));
  L least = lane_min(sa, sb);
  sa = lane_select(c.pair, least, sa);
  sb = lane_select(c.pair, least, sb);
  ar = ar * sa, br = br * sa, ai = ai * sb, bi = bi * sb;
  rescale(xr, xi, i, top, sa, sb);
}

// The 2x2 complex system [p q; r s] (x0, x1) = -(f, g) by elimination with row pivoting; every entry but the shift is
// real, so the shift's imaginary part -w stands on the diagonal only.
template <class L>
SK_HD void solve_block(L p, L q, L r, L s, L w, L smin, L fr, L fi, L gr, L gi, L& x0r, L& x0i, L& x1r, L& x1i) {
  mask_t<L> keep = lane_abs(p) + w >= lane_abs(r);
  // rows (a, b | e) first, (c, d | f) second
  L ar = lane_select(keep, p, r), ai = lane_select(keep, -w, L(0));
  L br = lane_select(keep, q, s), bi = lane_select(keep, L(0), -w);
  L cr = lane_select(keep, r, p), ci = lane_select(keep, L(0), -w);
  L dr = lane_select(keep, s, q), di = lane_select(keep, -w, L(0));
  L er = lane_select(keep, fr, gr), ei = lane_select(keep, fi, gi);
  L hr = lane_select(keep, gr, fr), hi = lane_select(keep, gi, fi);
  Pivot<L> a = pivot_of(ar, ai, smin);
  // m = c / a
  L mr = (cr * a.re + ci * a.im) * a.inverse, mi = (ci * a.re - cr * a.im) * a.inverse;
  L ur = dr - (mr * br - mi * bi), ui = di - (mr * bi + mi * br);
  L yr = hr - (mr * er - mi * ei), yi = hi - (mr * ei + mi * er);
  Pivot<L> u = pivot_of(ur, ui, smin);
  x1r = -(yr * u.re + yi * u.im) * u.inverse;
  x1i = -(yi * u.re - yr * u.im) * u.inverse;
  L tr = er + (br * x1r - bi * x1i), ti = ei + (br * x1i + bi * x1r);
  x0r = -(tr * a.re + ti * a.im) * a.inverse;
  x0i = -(ti * a.re - tr * a.im) * a.inverse;
}

// The same with real entries and a real shift that is already subtracted.
template <class L>
SK_HD void solve_real_block(L p, L q, L r, L s, L smin, L f, L g, L& x0, L& x1) {
  mask_t<L> keep = lane_abs(p) >= lane_abs(r);
  L a = lane_select(keep, p, r), b = lane_select(keep, q, s), c = lane_select(keep, r, p), d = lane_select(keep, s, q);
  L e = lane_select(keep, f, g), y = lane_select(keep, g, f);
  L over_a = L(1) / lane_select(lane_abs(a) < smin, smin, a);
  L m = c * over_a, u = d - m * b;
  x1 = (m * e - y) / lane_select(lane_abs(u) < smin, smin, u);
  x0 = -(e + b * x1) * over_a;
}

// Solves for one pair of columns per lane; xr, xi hold rows 0..top, zero beyond each lane's own column.  X, Y: L*, or what is indexed
// like it.
template <class L, class X>
SK_STEP void back_substitute(Tile<L> t, const ColumnPair<L>& c, int top, X xr, X xi) {
  using T = real_t<L>;
  const L zero(0), one(1);
  L pending_r(0), pending_i(0);  // sums of the row below, for a 2x2 block
  for (int i = top; i >= 0; --i) {
    const L row = L(T(i));
    const L* ti = t.row(i);
    L ar(0), ai(0), odd_r(0), odd_i(0);  // two sums each: twice as many in flight
    int k = i + 1;
    for (; k < top; k += 2) {
      ar = lane_fma(ti[k], xr[k], ar);
      ai = lane_fma(ti[k], xi[k], ai);
      odd_r = lane_fma(ti[k + 1], xr[k + 1], odd_r);
      odd_i = lane_fma(ti[k + 1], xi[k + 1], odd_i);
    }
    if (k == top) {
      ar = lane_fma(ti[k], xr[k], ar);
      ai = lane_fma(ti[k], xi[k], ai);
    }
    ar = ar + odd_r, ai = ai + odd_i;
    mask_t<L> at_bottom = c.live & (row == c.bottom), at_first = c.has_first & (row == c.bottom - one);
    mask_t<L> fixed = (row > c.bottom) | !c.live | at_bottom | (at_first & c.pair);
    mask_t<L> below_block = i + 1 <= top ? (t(i + 1 < t.n ? i + 1 : i, i) != zero) & (i + 1 < t.n ? one == one : one == zero) : one < zero;
    mask_t<L> above_block = i > 0 ? t(i, i > 0 ? i - 1 : 0) != zero : one < zero;  // i is the lower row of a block
    // Lanes where i is the lower row of a block wait for row i - 1.
    mask_t<L> wait = above_block & !fixed & !at_first;
    mask_t<L> block = below_block & !fixed & (row + one < c.bottom);
    L diag = ti[i];
    Pivot<L> pa = pivot_of(diag - c.la, -c.w, c.smin_a), pb = pivot_of(diag - c.lb, -c.w, c.smin_b);
    mask_t<L> simple = !fixed & !wait & !block;
    L sr = lane_select(simple, ar, zero), si = lane_select(simple, ai, zero), dummy_r(0), dummy_i(0);
    if (i < top) guard_growth(c, pa.size, pb.size, sr, si, dummy_r, dummy_i, xr, xi, i + 1, top);
    // (acc) conj(pivot) / |pivot|^2 with the imaginary part of the pivot -w
    L vr = -(sr * pa.re + si * pa.im) * pa.inverse, vi = -(si * pb.re - sr * pb.im) * pb.inverse;
    if (lane_any(block)) {
      L p = diag, q = ti[i + 1], r = t(i + 1, i), s = t(i + 1, i + 1);
      L fr = lane_select(block, ar, zero), fi = lane_select(block, ai, zero);
      L gr = lane_select(block, pending_r, zero), gi = lane_select(block, pending_i, zero);
      L guard_a = lane_select(block, lane_max(c.smin_a, lane_abs(q) * L(Machine<T>::ulp)), one);
      L guard_b = lane_select(block, lane_max(c.smin_b, lane_abs(q) * L(Machine<T>::ulp)), one);
      guard_growth(c, guard_a, guard_b, fr, fi, gr, gi, xr, xi, i + 1, top);
      L x0r(0), x0i(0), x1r(0), x1i(0);
      if (lane_any(block & c.pair))
        solve_block(p - c.la, q, r, s - c.la, c.w, c.smin_a, fr, fi, gr, gi, x0r, x0i, x1r, x1i);
      mask_t<L> real_lane = block & !c.pair;
      if (lane_any(real_lane)) {
        L y0r, y1r, y0i, y1i;
        solve_real_block(p - c.la, q, r, s - c.la, c.smin_a, fr, gr, y0r, y1r);
        solve_real_block(p - c.lb, q, r, s - c.lb, c.smin_b, fi, gi, y0i, y1i);
        x0r = lane_select(real_lane, y0r, x0r);
        x0i = lane_select(real_lane, y0i, x0i);
        x1r = lane_select(real_lane, y1r, x1r);
        x1i = lane_select(real_lane, y1i, x1i);
      }
      vr = lane_select(block, x0r, vr);
      vi = lane_select(block, x0i, vi);
      xr[i + 1] = lane_select(block, x1r, xr[i + 1]);
      xi[i + 1] = lane_select(block, x1i, xi[i + 1]);
    }
    vr = lane_select(fixed | wait, zero, vr);
    vi = lane_select(fixed | wait, zero, vi);
    vr = lane_select(c.has_first, vr, zero);
    // Starting values at the lane's own columns.
    if (lane_any(at_bottom | at_first)) {
      vi = lane_select(at_bottom & !c.pair, one, vi);
      vr = lane_select(at_first & c.two, one, vr);
      mask_t<L> bottom_pair = at_bottom & c.pair, first_pair = at_first & c.pair;
      if (i > 0 && lane_any(bottom_pair)) {  // x_j = i w / t(j-1, j), or i
        L up = t(i - 1, i), down = t(i, i - 1);
        mask_t<L> first_is_one = lane_abs(up) >= lane_abs(down);
        L value = lane_select(bottom_pair & first_is_one, c.w / lane_select(bottom_pair, up, one), one);
        vi = lane_select(bottom_pair, value, vi);
      }
      if (i + 1 < t.n && lane_any(first_pair)) {  // x_{j-1} = 1, or -w / t(j, j-1)
        L up = t(i, i + 1), down = t(i + 1, i);
        mask_t<L> first_is_one = lane_abs(up) >= lane_abs(down);
        L value = lane_select(first_is_one, one, -c.w / lane_select(first_pair & (down != zero), down, one));
        vr = lane_select(first_pair, value, vr);
      }
    }
    xr[i] = vr;
    xi[i] = vi;
    pending_r = ar;
    pending_i = ai;
  }
}

// (yr, yi) = Z (xr, xi), four rows at a time.
template <class L, class X, class Y>
SK_STEP void back_transform(Tile<L> zt, int top, X xr, X xi, Y yr, Y yi) {
  const int n = zt.n;
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    L r0(0), r1(0), r2(0), r3(0), s0(0), s1(0), s2(0), s3(0);
    for (int k = 0; k <= top; ++k) {
      const L* z = zt.row(k) + i;
      L a = xr[k], b = xi[k];
      r0 = lane_fma(z[0], a, r0), s0 = lane_fma(z[0], b, s0);
      r1 = lane_fma(z[1], a, r1), s1 = lane_fma(z[1], b, s1);
      r2 = lane_fma(z[2], a, r2), s2 = lane_fma(z[2], b, s2);
      r3 = lane_fma(z[3], a, r3), s3 = lane_fma(z[3], b, s3);
    }
    yr[i] = r0, yr[i + 1] = r1, yr[i + 2] = r2, yr[i + 3] = r3;
    yi[i] = s0, yi[i + 1] = s1, yi[i + 2] = s2, yi[i + 3] = s3;
  }
  for (; i < n; ++i) {
    L r(0), s(0);
    for (int k = 0; k <= top; ++k) {
      r = lane_fma(zt(k, i), xr[k], r);
      s = lane_fma(zt(k, i), xi[k], s);
    }
    yr[i] = r, yi[i] = s;
  }
}

// Undoes the balancing (d = scale, or its inverse for left vectors) and normalises: 2-norm one; the largest component of
// a complex vector real.  A power of two per vector keeps the squares in range.
template <class L, class Y>
SK_STEP void normalize(const ColumnPair<L>& c, const L* scale, bool left, int n, Y yr, Y yi) {
  using T = real_t<L>;
  L pr(0), pi(0);
  for (int i = 0; i < n; ++i) {
    L d = left ? L(1) / scale[i] : scale[i];
    yr[i] = yr[i] * d;
    yi[i] = yi[i] * d;
    pr = lane_max(pr, lane_abs(yr[i]));
    pi = lane_max(pi, lane_abs(yi[i]));
  }
  L both = lane_max(pr, pi);
  pr = lane_select(c.pair, both, pr);
  pi = lane_select(c.pair, both, pi);
  const L tiny(Machine<T>::safmin);
  pr = L(1) / lane_pow2_floor(lane_max(pr, tiny));
  pi = L(1) / lane_pow2_floor(lane_max(pi, tiny));
  L sr(0), si(0), best(-1), kr(0), ki(0);
  for (int i = 0; i < n; ++i) {
    L a = yr[i] * pr, b = yi[i] * pi;
    yr[i] = a, yi[i] = b;
    sr = lane_fma(a, a, sr);
    si = lane_fma(b, b, si);
    L m = lane_fma(a, a, b * b);
    mask_t<L> larger = m > best;
    best = lane_select(larger, m, best);
    kr = lane_select(larger, a, kr);
    ki = lane_select(larger, b, ki);
  }
  L norm = lane_sqrt(sr + si);
  L fr = L(1) / lane_select(c.pair, norm, lane_select(c.has_first, lane_sqrt(sr), L(1)));
  L fi = L(1) / lane_select(c.pair, norm, lane_select(c.live, lane_sqrt(si), L(1)));
  if (!lane_any(c.pair)) {
    for (int i = 0; i < n; ++i) {
      yr[i] = yr[i] * fr;
      yi[i] = yi[i] * fi;
    }
    return;
  }
  // xLARTG: the rotation (cs, sn) maps (kr, ki) to (sign(kr) |k|, 0)
  L size = lane_copysign(lane_sqrt(lane_select(c.pair, lane_fma(kr, kr, ki * ki), L(1))), kr);
  L cs = lane_select(c.pair, kr / size, L(1)), sn = lane_select(c.pair, ki / size, L(0));
  mask_t<L> open = c.pair;
  for (int i = 0; i < n; ++i) {
    mask_t<L> here = open & (lane_fma(yr[i], yr[i], yi[i] * yi[i]) == best);
    open = open & !here;
    L a = yr[i] * fr, b = yi[i] * fi;
    yr[i] = lane_fma(cs, a, sn * b);
    yi[i] = lane_select(here, L(0), lane_fma(cs, b, -(sn * a)));
  }
}

// All right eigenvectors of A from T (t) and Z (zt).  emit(columns, yr, yi) receives them two columns at a time.
template <class L, class Emit>
SK_HD void eigenvectors(Tile<L> t, Tile<L> zt, const L* wr, const L* wi, const L* scale, bool left, L* scratch, Emit&& emit) {
  using T = real_t<L>;
  const int n = t.n;
  L *xr = scratch, *xi = xr + n, *yr = xi + n, *yi = yr + n;
  L bottom = L(T(n - 1));
  for (;;) {
    ColumnPair<L> c = next_columns(wr, wi, n, bottom);
    if (!lane_any(c.live)) return;
    const int top = int(lane_hmax(bottom));
    back_substitute(t, c, top, xr, xi);
    back_transform(zt, top, xr, xi, yr, yi);
    normalize(c, scale, left, n, yr, yi);
    emit(c, yr, yi);
    bottom = lane_select(c.live, bottom - lane_select(c.has_first, L(2), L(1)), L(-1));
  }
}

// Left eigenvectors are right eigenvectors of A^T = Z T^T Z^T.  Reversing rows and columns makes T^T upper
// quasi-triangular again, in place: t(i, j) <-> t(n-1-j, n-1-i), Z's columns and the eigenvalues in reverse order.
template <class L>
SK_STEP void reflect_for_left(Tile<L> t, Tile<L> zt, L* wr, L* wi) {
  const int n = t.n;
  auto swap = [](L& a, L& b) {
    L c = a;
    a = b;
    b = c;
  };
  for (int i = 0; i < n; ++i)
    for (int j = 0; i + j < n - 1; ++j) swap(t(i, j), t(n - 1 - j, n - 1 - i));
  for (int i = 0; i < n / 2; ++i) {
    for (int r = 0; r < n; ++r) swap(zt(i, r), zt(n - 1 - i, r));
    swap(wr[i], wr[n - 1 - i]);
    swap(wi[i], wi[n - 1 - i]);
  }
}

}  // namespace sk
