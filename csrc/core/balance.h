// Screening, scaling and balancing: steps 1 and 2 of xGEEV (xLANGE 'M', xLASCL, xGEBAL), of real and of complex matrices: M is
// a tile of either, and h(i, j) a lane value or a Complex of it.
#pragma once
#include "tile.h"

namespace sk {

// What the size of an entry is; complex.h has the same functions for complex entries.
template <class L>
SK_HD L cabs1(L a) {
  return lane_abs(a);
}
template <class L>
SK_HD mask_t<L> is_finite(L a) {
  return lane_abs(a) <= L(Machine<real_t<L>>::largest);
}
template <class L>
SK_HD L largest_part(L a) {
  return lane_abs(a);
}
template <class L>
SK_HD L add_square(L a, L sum) {
  return lane_fma(a, a, sum);
}
template <class L>
SK_HD L select_zero(mask_t<L> m, L a) {
  return lane_select(m, L(0), a);
}
template <class L>
SK_HD bool is_zero_at(const L& a, int w) {
  return lane_get(a, w) == 0;
}
template <class L>
SK_HD void swap_at(L& a, L& b, int w) {
  auto t = lane_get(a, w);
  lane_set(a, w, lane_get(b, w));
  lane_set(b, w, t);
}

// Matrices that hold NaN or Inf become zero matrices and are reported; the others are left alone.
template <class M, class L>
SK_STEP mask_t<L> screen_nonfinite(M h, L& amax) {
  amax = L(0);
  mask_t<L> bad = amax > L(1);
  for (int i = 0; i < h.n; ++i)
    for (int j = 0; j < h.n; ++j) {
      bad = bad | !is_finite(h(i, j));
      amax = lane_max(largest_part(h(i, j)), amax);
    }
  if (lane_any(bad)) {
    amax = lane_select(bad, L(0), amax);
    for (int i = 0; i < h.n; ++i)
      for (int j = 0; j < h.n; ++j) h(i, j) = select_zero(bad, h(i, j));
  }
  return bad;
}

// The factor 2^-e for which max|a| lies within the bounds of Machine<T>; 1 where it does already.  Powers of two are
// exact; applied in two halves because 2^-e itself may not be representable.  Returns the inverse halves to undo it.
template <class L>
struct ScaleFactors {
  L first, second, undo_first, undo_second;
  bool any;
};

template <class L>
SK_HD ScaleFactors<L> scale_factors(L amax) {
  using T = real_t<L>;
  const L bound(Machine<T>::norm_bound), one(1);
  mask_t<L> tiny = (amax > L(0)) & (amax < one / bound), huge = amax > bound;
  ScaleFactors<L> f{one, one, one, one, false};
  if (!lane_any(tiny | huge)) return f;
  f.any = true;
  // tiny: bring denormals into the normal range first, then to 1/bound.  huge: down to the bound.
  const L lift(T(1) / Machine<T>::safmin);
  f.first = lane_select(amax < L(Machine<T>::safmin) * L(Machine<T>::norm_bound), lift, one);
  f.first = lane_select(tiny, f.first, one);
  L p = lane_pow2_floor(lane_max(amax * f.first, L(Machine<T>::safmin)));
  // a lifted matrix may already exceed the lower bound: then the second factor brings it back down to it
  f.second = lane_select(tiny, (one / bound) / p, lane_select(huge, bound / p, one));
  f.undo_first = one / f.first;
  f.undo_second = one / f.second;
  return f;
}

template <class M, class L>
SK_STEP ScaleFactors<L> scale_to_bounds(M h, L amax) {
  const ScaleFactors<L> f = scale_factors(amax);
  if (!f.any) return f;
  for (int i = 0; i < h.n; ++i)
    for (int j = 0; j < h.n; ++j) h(i, j) = h(i, j) * f.first * f.second;
  return f;
}

template <class L>
SK_HD L unscale(L x, const ScaleFactors<L>& f) {
  return x * f.undo_second * f.undo_first;
}

// xGEBAL 'P' on one matrix of the group: moves rows and columns that isolate an eigenvalue to the outside.
template <class M>
SK_STEP void isolate_eigenvalues(M h, int w, uint16_t* perm, int& lo, int& hi) {
  const int n = h.n;
  auto swap_with = [&](int j, int m, int top) {
    if (j == m) return;
    uint16_t p = perm[j];
    perm[j] = perm[m];
    perm[m] = p;
    for (int i = 0; i <= top; ++i) swap_at(h(i, j), h(i, m), w);
    for (int i = 0; i < n; ++i) swap_at(h(j, i), h(m, i), w);
  };
  lo = 0;
  hi = n - 1;
  for (bool found = true; found;) {  // rows isolating an eigenvalue are pushed down
    found = false;
    for (int i = hi; i >= 0 && !found; --i) {
      bool isolated = true;
      for (int j = 0; j <= hi && isolated; ++j) isolated = i == j || is_zero_at(h(i, j), w);
      if (!isolated) continue;
      swap_with(i, hi, hi);
      if (hi == 0) return;
      --hi;
      found = true;
    }
  }
  for (bool found = true; found;) {  // columns isolating an eigenvalue are pushed left
    found = false;
    for (int j = lo; j <= hi && !found; ++j) {
      bool isolated = true;
      for (int i = lo; i <= hi && isolated; ++i) isolated = i == j || is_zero_at(h(i, j), w);
      if (!isolated) continue;
      swap_with(j, lo, hi);
      ++lo;
      found = true;
    }
  }
}

// Sums of squares of column and row i inside the window [lo, hi] of each lane.  `whole`: that is the whole matrix.
template <class M, class L>
SK_HD void squared_norms(M h, int i, L lo, L hi, bool whole, L& c, L& r) {
  using T = real_t<L>;
  c = r = L(0);
  for (int k = 0; k < h.n; ++k) {
    auto col = h(k, i), row = h(i, k);
    if (!whole) {
      mask_t<L> outside = (L(T(k)) < lo) | (L(T(k)) > hi);
      col = select_zero(outside, col);
      row = select_zero(outside, row);
    }
    c = add_square(col, c);
    r = add_square(row, r);
  }
}

// A necessary condition for the scaling of row and column i, of their squared norms: a factor of two is accepted where it
// makes the sum of the norms smaller by 5 %, so their ratio must exceed 1.05 / 0.45, its square 5.44.
template <class L>
SK_HD mask_t<L> unbalanced(L c, L r) {
  using T = real_t<L>;
  const L limit(T(5.4)), small(sizeof(T) == 4 ? T(1e-30) : T(1e-280));
  return (r > limit * c) | (c > limit * r) | (lane_max(c, r) < small);
}

// Norms of column and row i from their squares, computed anew where those may have lost digits to underflow, and their
// largest entries: ca over rows 0..hi, ra over columns lo.. (xGEBAL).
template <class M, class L>
SK_HD void norms(M h, int i, L lo, L hi, bool whole, L& c, L& r, L& ca, L& ra) {
  using T = real_t<L>;
  L cm(0), rm(0);
  ca = ra = L(0);
  for (int k = 0; k < h.n; ++k) {
    L col = cabs1(h(k, i)), row = cabs1(h(i, k));
    if (!whole) {
      mask_t<L> above = L(T(k)) >= lo, below = L(T(k)) <= hi, inside = above & below;
      cm = lane_max(cm, lane_select(inside, col, L(0)));
      rm = lane_max(rm, lane_select(inside, row, L(0)));
      col = lane_select(below, col, L(0));
      row = lane_select(above, row, L(0));
    }
    ca = lane_max(ca, col);
    ra = lane_max(ra, row);
  }
  if (whole) cm = ca, rm = ra;
  c = lane_sqrt(c);
  r = lane_sqrt(r);
  const L small(sizeof(T) == 4 ? T(1e-15) : T(1e-140));
  mask_t<L> lost = ((cm > L(0)) & (c < small)) | ((rm > L(0)) & (r < small));
  if (!lane_any(lost)) return;
  L pc = lane_pow2_floor(lane_max(cm, L(Machine<T>::safmin))), pr = lane_pow2_floor(lane_max(rm, L(Machine<T>::safmin)));
  L cc(0), rr(0);
  for (int k = 0; k < h.n; ++k) {
    mask_t<L> outside = (L(T(k)) < lo) | (L(T(k)) > hi);
    cc = add_square(select_zero(outside, h(k, i)) * (L(1) / pc), cc);
    rr = add_square(select_zero(outside, h(i, k)) * (L(1) / pr), rr);
  }
  c = lane_select(lost, lane_sqrt(cc) * pc, c);
  r = lane_select(lost, lane_sqrt(rr) * pr, r);
}

// The power of two f by which xGEBAL scales column i, and row i by its inverse, where `here`; c and r are the squared norms, `scaled`
// the factor of column i so far.  Returns where f is to be applied.
template <class M, class L>
SK_HD mask_t<L> balancing_factor(M h, int i, L lo, L hi, bool whole, mask_t<L> here, L c, L r, L scaled, L& f) {
  using T = real_t<L>;
  const L sfmin1(Machine<T>::safmin / Machine<T>::ulp), sfmax1(T(1) / (Machine<T>::safmin / Machine<T>::ulp));
  const L sfmin2(Machine<T>::safmin / Machine<T>::ulp * 2), sfmax2(T(1) / (Machine<T>::safmin / Machine<T>::ulp * 2));
  const L half(T(0.5)), two(2), one(1), zero(0);
  L ca, ra;
  norms(h, i, lo, hi, whole, c, r, ca, ra);
  here = here & (c > zero) & (r > zero);
  f = one;
  L g = r * half, s = c + r;
  for (;;) {
    mask_t<L> grow = here & (c < g) & (lane_max(f, lane_max(c, ca)) < sfmax2) & (lane_min(r, lane_min(g, ra)) > sfmin2);
    if (!lane_any(grow)) break;
    L up = lane_select(grow, two, one), down = lane_select(grow, half, one);
    f = f * up, c = c * up, ca = ca * up;
    r = r * down, g = g * down, ra = ra * down;
  }
  g = c * half;
  for (;;) {
    mask_t<L> shrink = here & (g >= r) & (lane_max(r, ra) < sfmax2) & (lane_min(lane_min(f, c), lane_min(g, ca)) > sfmin2);
    if (!lane_any(shrink)) break;
    L up = lane_select(shrink, two, one), down = lane_select(shrink, half, one);
    f = f * down, c = c * down, g = g * down, ca = ca * down;
    r = r * up, ra = ra * up;
  }
  here = here & (c + r < L(T(0.95)) * s) & (f != one);
  here = here & !((f < one) & (scaled < one) & (f * scaled <= sfmin1));
  return here & !((f > one) & (scaled > one) & (scaled >= sfmax1 / f));
}

// xGEBAL 'S': scales row i by 1/f and column i by f, f a power of two, until the 2-norms of row and column i are within
// a factor of two (James, Langou and Lowery, arXiv:1401.5766).
template <class M, class L>
SK_STEP void equilibrate(M h, L lo, L hi, L* scale) {
  using T = real_t<L>;
  const L one(1), zero(0);
  const bool whole = !lane_any((lo > zero) | (hi < L(T(h.n - 1))));
  mask_t<L> sweeping = hi >= lo;  // lanes whose last sweep changed something
  while (lane_any(sweeping)) {
    mask_t<L> changed = one < zero;
    for (int i = 0; i < h.n; ++i) {
      L c, r, f;
      squared_norms(h, i, lo, hi, whole, c, r);
      mask_t<L> here = sweeping & (L(T(i)) >= lo) & (L(T(i)) <= hi) & unbalanced(c, r);
      if (!lane_any(here)) continue;
      here = balancing_factor(h, i, lo, hi, whole, here, c, r, scale[i], f);
      if (!lane_any(here)) continue;
      changed = changed | here;
      f = lane_select(here, f, one);
      L inverse = lane_pow2_inverse(f);
      scale[i] = scale[i] * f;
      for (int k = 0; k < h.n; ++k) h(i, k) = h(i, k) * inverse;
      for (int k = 0; k < h.n; ++k) h(k, i) = h(k, i) * f;
    }
    sweeping = changed;
  }
}

template <class E>
SK_HD void balance(Workspace<E>& ws) {
  using L = lane_of<E>;
  using T = real_t<L>;
  const auto h = ws.h;
  const int n = h.n;
  // A row or a column whose off-diagonal entries are all zero starts the permutation; most matrices have none.
  mask_t<L> isolated = L(1) < L(0);
  for (int i = 0; i < n; ++i) {
    L row(0), col(0);
    for (int k = 0; k < n; ++k) {
      if (k == i) continue;
      row = lane_max(row, largest_part(h(i, k)));
      col = lane_max(col, largest_part(h(k, i)));
    }
    isolated = isolated | (row == L(0)) | (col == L(0));
  }
  L lo(0), hi(T(n - 1));
  if (lane_any(isolated)) {
    L flag = lane_select(isolated, L(1), L(0));
    ws.permuted = true;
    for (int w = 0; w < width_v<L>; ++w) {
      uint16_t* perm = ws.perm + w * n;
      for (int i = 0; i < n; ++i) perm[i] = uint16_t(i);
      if (lane_get(flag, w) == 0) continue;
      int l, u;
      isolate_eigenvalues(h, w, perm, l, u);
      lane_set(lo, w, T(l));
      lane_set(hi, w, T(u));
    }
  }
  equilibrate(h, lo, hi, ws.scale);
}

}  // namespace sk
