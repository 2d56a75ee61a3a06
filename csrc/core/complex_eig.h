// The whole pipeline of xGEEV for one group of complex matrices.
#pragma once
#include "complex_eigenvectors.h"
#include "complex_hessenberg.h"
#include "complex_qr.h"
#include "eig.h"

namespace sk {

// Eigenvalues of the scaled matrix into ws.w, and the Schur form of the balanced matrix where Schur is set.
template <bool Schur, class L>
SK_HD SchurResult<L> schur(Workspace<Complex<L>>& ws, bool balanced) {
  using T = real_t<L>;
  const int n = ws.h.n;
  SchurResult<L> result;
  mask_t<L> bad = prepare(ws, balanced, result);
  Complex<L>*tau = ws.x, *v = ws.x + n;
  reduce_to_hessenberg(ws.h, tau, v);
  if (Schur) form_unitary_factor(ws.h, tau, v, ws.z);
  extract_subdiagonal(ws.h, ws.sub);
  result.info = single_shift_qr<Schur>(ws);
  for (int i = 0; i < n; ++i) ws.w[i] = ws.h(i, i);
  result.info = lane_select(bad, L(T(n + 1)), result.info);
  return result;
}

// As eig.h has it for real matrices.
template <bool Schur, int N, class L>
SK_HD L iterate_in_registers(Workspace<Complex<L>>& ws) {
  Complex<L> entries[N * N], factor[Schur ? N * N : 1], phase[N];
  L size[N];
  Rotation<L> rotations[N];
  Workspace<Complex<L>> inner;
  inner.h = {entries, N, N};
  inner.z = {factor, N, N};
  inner.rotations = rotations;
  inner.sub = {size, phase};
  copy_tile<N>(ws.h, inner.h);
  reduce_in_registers<Schur, N>(inner.h, inner.z);
  extract_subdiagonal(inner.h, inner.sub);
  const L failed = single_shift_iterations<Schur, N>(inner, ws);
  copy_tile<N>(inner.h, ws.h);
  if constexpr (Schur) copy_tile<N>(inner.z, ws.z);
  return failed;
}

template <bool Schur, int N, class L>
SK_HD SchurResult<L> schur_in_registers(Workspace<Complex<L>>& ws, bool balanced) {
  using T = real_t<L>;
  const int n = ws.h.n;
  SchurResult<L> result;
  mask_t<L> bad = prepare(ws, balanced, result);
  result.info = L(0);
  if constexpr (N > 1)
    result.info = iterate_in_registers<Schur, N>(ws);
  else if (Schur)
    set_identity(ws.z);
  for (int i = 0; i < n; ++i) ws.w[i] = ws.h(i, i);
  result.info = lane_select(bad, L(T(n + 1)), result.info);
  return result;
}

}  // namespace sk
