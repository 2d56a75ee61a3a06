// The whole pipeline of xSYEV and xHEEV for one lane group.
#pragma once
#include "implicit_ql.h"
#include "tridiagonal.h"

namespace sk {

// Every matrix is scaled by a power of two, so that the largest part lies in [target, 2 target): squares of entries down
// to sqrt(safmin) / target of the norm stay normal.  Exact, but for entries too small to matter.
template <class T>
constexpr T symmetric_target = sizeof(T) == 4 ? T(1073741824.0) : T(Machine<double>::norm_bound);  // 2^30, 2^300

template <class L>
struct PowerOfTwoScale {
  L lift, size;  // entries were multiplied by lift, then by target / size: no intermediate over- or underflows
  SK_HD L undo(L x) const {
    return x * L(real_t<L>(1) / symmetric_target<real_t<L>>) * size * (L(1) / lift);
  }
};

template <class E>
SK_HD PowerOfTwoScale<lane_of<E>> scale_triangle(Tile<E> a, lane_of<E> amax) {
  using L = lane_of<E>;
  using T = real_t<L>;
  const L one(1), target(symmetric_target<T>);
  PowerOfTwoScale<L> f;
  f.lift = lane_select(amax < L(Machine<T>::safmin * symmetric_target<T> * symmetric_target<T>), target * target, one);
  f.size = lane_select(amax > L(0), lane_pow2_floor(amax * f.lift), one);
  const L second = target / f.size;
  for (int i = 0; i < a.n; ++i)
    for (int j = 0; j <= i; ++j) a(i, j) = a(i, j) * f.lift * second;
  return f;
}

// rank[i]: the position of d[i] in ascending order; equal values keep their order.
template <class L>
SK_HD void ranks(const L* d, int n, L* rank) {
  const L one(1), zero(0);
  for (int i = 0; i < n; ++i) rank[i] = zero;
  for (int i = 1; i < n; ++i)
    for (int j = 0; j < i; ++j) {
      const L before = lane_select(d[j] <= d[i], one, zero);
      rank[i] = rank[i] + before;
      rank[j] = rank[j] + (one - before);
    }
}

template <class L>
struct EighResult {
  L info;   // 0; 1..n where the iteration did not converge; n + 1 where the triangle holds NaN or Inf
  L* rank;  // [n] eigenvalue i is the rank[i]-th
};

// Eigenvalues into ws.d, unordered, and where Vectors is set their eigenvectors into the rows of ws.zt.
template <bool Vectors, class E>
SK_HD EighResult<lane_of<E>> eigh(SymmetricWorkspace<E>& ws) {
  using L = lane_of<E>;
  using T = real_t<L>;
  const int n = ws.a.n;
  L amax;
  const mask_t<L> bad = screen_triangle(ws.a, amax);
  const PowerOfTwoScale<L> f = scale_triangle(ws.a, amax);
  reduce_to_tridiagonal<Vectors>(ws);
  L info = implicit_ql<Vectors>(ws);
  if (Vectors) apply_q(ws);
  L* rank = ws.e;
  ranks(ws.d, n, rank);
  for (int i = 0; i < n; ++i) ws.d[i] = f.undo(ws.d[i]);
  return {lane_select(bad, L(T(n + 1)), info), rank};
}

}  // namespace sk
