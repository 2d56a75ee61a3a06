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

}  // namespace sk
