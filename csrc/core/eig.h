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

// From the balanced matrix to the quasi-triangular one in registers, N being its size: ws.h is read and written once, and only
// exceptional shifts, which index by data, use it in between.
template <bool Schur, int N, class L>
SK_HD L iterate_in_registers(Workspace<L>& ws) {
  L entries[N * N], factor[Schur ? N * N : 1];
  const Tile<L> h{entries, N, N}, zt{factor, N, N};
  copy_tile<N>(ws.h, h);
  reduce_in_registers<Schur, N>(h, zt);
  const L failed = francis_iterations<Schur, N>(h, zt, static_cast<Reflector3<L>*>(nullptr), ws.h);
  copy_tile<N>(h, ws.h);
  if (Schur) copy_tile<N>(zt, ws.zt);
  return failed;
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

// The same with the iteration in registers; N <= 2: nothing to iterate, for matrices of size 1 and 2.
template <bool Schur, int N, class L>
SK_HD SchurResult<L> schur_in_registers(Workspace<L>& ws, bool balanced) {
  using T = real_t<L>;
  const int n = ws.h.n;
  SchurResult<L> result;
  mask_t<L> bad = prepare(ws, balanced, result);
  result.info = L(0);
  if constexpr (N > 2)
    result.info = iterate_in_registers<Schur, N>(ws);
  else if (Schur)
    set_identity(ws.zt);
  standardize_blocks<Schur>(ws.h, ws.zt, ws.wr, ws.wi);
  result.info = lane_select(bad, L(T(n + 1)), result.info);
  return result;
}

}  // namespace sk
