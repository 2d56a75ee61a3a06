// The whole pipeline of xGEEV for one lane group.
#pragma once
#include "balance.h"
#include "eigenvectors.h"
#include "francis.h"
#include "hessenberg.h"
#include "standardize.h"

namespace sk {

struct EigOptions {
  bool left, right, balance;
};

// Eigenvalues of the scaled matrix into ws.wr, ws.wi, and the Schur form of the balanced matrix where Schur is set.
// info per lane: 0; 1..n where the iteration did not converge (eigenvalues info..n-1 are right); n + 1 where the matrix
// holds NaN or Inf.
template <class L>
struct SchurResult {
  L info;
  ScaleFactors<L> factors;  // unscale(x, factors) gives eigenvalues of A
};

// Eigenvalue i, or a part of it: of A in place of the scaled matrix, NaN where the iteration did not reach it.
template <class L>
SK_HD L finished_value(int i, L x, const SchurResult<L>& s) {
  using T = real_t<L>;
  return lane_select(L(T(i)) < s.info, L(Machine<T>::nan), unscale(x, s.factors));
}

// Screens, scales and balances; the lanes that hold NaN or Inf.  E: the matrix entry, a lane value or a Complex of one.
template <class E, class L>
SK_HD mask_t<L> prepare(Workspace<E>& ws, bool balanced, SchurResult<L>& result) {
  L amax;
  mask_t<L> bad = screen_nonfinite(ws.h, amax);
  result.factors = scale_to_bounds(ws.h, amax);
  for (int i = 0; i < ws.h.n; ++i) ws.scale[i] = L(1);
  ws.permuted = false;
  if (balanced) balance(ws);
  return bad;
}

template <bool Schur, class L>
SK_HD SchurResult<L> schur(Workspace<L>& ws, bool balanced) {
  using T = real_t<L>;
  const int n = ws.h.n;
  SchurResult<L> result;
  mask_t<L> bad = prepare(ws, balanced, result);
  const HessenbergScratch<L> scratch(ws.x, n);
  reduce_to_hessenberg(ws.h, scratch);
  if (Schur) form_orthogonal_factor(ws.h, scratch.tau, scratch.v, ws.zt);
  clear_below_subdiagonal(ws.h);
  result.info = francis<Schur>(ws.h, ws.zt, ws.chain);
  standardize_blocks<Schur>(ws.h, ws.zt, ws.wr, ws.wi);
  result.info = lane_select(bad, L(T(n + 1)), result.info);
  return result;
}

}  // namespace sk
