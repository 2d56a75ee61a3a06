// The whole pipeline of xSYEV and xHEEV for one lane group.
#pragma once
#include "implicit_ql.h"
#include "tridiagonal.h"

namespace sk {

// Every matrix is scaled by a power of two, so that the largest part lies in [target, 2 target): squares of entries down
// to sqrt(safmin) / target of the norm stay normal.  Exact, but for entries too small to matter.
template <class T>
constexpr T symmetric_target = sizeof(T) == 4 ? T(0x1p30) : T(0x1p300);
// What brings denormal matrices into range first: target / size must not overflow.
template <class T>
constexpr T symmetric_lift = sizeof(T) == 4 ? T(0x1p60) : T(0x1p600);

template <class L>
struct PowerOfTwoScale {
  L lift, size;  // entries are multiplied by lift, then by target / size: no intermediate over- or underflows
  template <class E>
  SK_HD E apply(E x) const {
    return x * lift * (L(symmetric_target<real_t<L>>) / size);
  }
  SK_HD L undo(L x) const {
    return x * L(real_t<L>(1) / symmetric_target<real_t<L>>) * size * (L(1) / lift);
  }
};

// The scale of a matrix whose largest part is amax.
template <class L>
SK_HD PowerOfTwoScale<L> power_of_two_scale(L amax) {
  using T = real_t<L>;
  const L one(1);
  PowerOfTwoScale<L> f;
  f.lift = lane_select(amax < L(Machine<T>::safmin * symmetric_lift<T>), L(symmetric_lift<T>), one);
  f.size = lane_select(amax > L(0), lane_pow2_floor(amax * f.lift), one);
  return f;
}

template <class E>
SK_STEP PowerOfTwoScale<lane_of<E>> scale_triangle(Tile<E> a, lane_of<E> amax) {
  const PowerOfTwoScale<lane_of<E>> f = power_of_two_scale(amax);
  for (int i = 0; i < a.n; ++i)
    for (int j = 0; j <= i; ++j) a(i, j) = f.apply(a(i, j));
  return f;
}

// rank[i]: the position of d[i] in ascending order; equal values keep their order.
template <class L>
SK_STEP void ranks(const L* d, int n, L* rank) {
  const L one(1), zero(0);
  for (int i = 0; i < n; ++i) rank[i] = zero;
  for (int i = 1; i < n; ++i)
    for (int j = 0; j < i; ++j) {
      const L before = lane_select(d[j] <= d[i], one, zero);
      rank[i] = rank[i] + before;
      rank[j] = rank[j] + (one - before);
    }
}

// Eigenvalues into ws.values with their ranks in ws.value_rank and, where Vectors is set, eigenvectors into the rows of
// ws.zt with theirs in ws.vector_rank.  Returns info per lane: 0; 1..n where the iteration did not converge; n + 1 where
// the triangle holds NaN or Inf.
template <bool Vectors, class E>
SK_HD lane_of<E> eigh(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  const int n = ws.a.n;
  L amax;
  const mask_t<L> bad = screen_triangle(ws.a, amax);
  const PowerOfTwoScale<L> f = scale_triangle(ws.a, amax);
  reduce_to_tridiagonal<Vectors>(ws);
  const L unfinished = implicit_ql<Vectors>(ws);
  ranks(ws.values, n, ws.value_rank);
  for (int i = 0; i < n; ++i) ws.values[i] = f.undo(ws.values[i]);
  if (Vectors) {
    apply_q(ws);
    ranks(ws.d, n, ws.vector_rank);
  }
  return lane_select(bad, L(real_t<L>(n + 1)), unfinished);
}

}  // namespace sk
