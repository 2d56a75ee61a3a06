// Batched eig of complex matrices: one group of W matrices.  Included by eig_complex64.cpp and eig_complex128.cpp.
#pragma once
#include "../core/complex_eig.h"
#include "eig.h"

namespace sk {

template <class L>
struct ComplexVectorWriter {
  using T = real_t<L>;
  T* out;
  int64_t first;
  int count;
  const L* info;
  const Workspace<Complex<L>>* ws;
  bool left;

  void operator()(int j, int v, const Complex<L>* y) const {
    const int n = ws->h.n;
    T* target[width_v<L>] = {};
    for (int w = 0; w < count; ++w) target[w] = out + ((first + w) * n + (left ? n - 1 - j : j)) * int64_t(n) * 2;
    const mask_t<L> failed = *info > L(0);
    const L nan(Machine<T>::nan);
    auto at = [&](int i) -> const Complex<L>& { return y[i * vectors_at_once + v]; };
    auto part = [&](L x) { return lane_select(failed, nan, x); };
    store_vector<L>(*ws, [&](int i) { return part(at(i).re); }, [&](int i) { return part(at(i).im); }, target);
  }
};

template <bool Vectors, class L>
void eig_group(int64_t first, int count, EigOptions opt, const EigOutputs<real_t<L>>& out, Workspace<Complex<L>>& ws) {
  const int n = ws.h.n;
  SchurResult<L> s = schur<Vectors>(ws, opt.balance);
  // + 0: no negative zeros
  store_values(first, count, n, s, [&](int i) { return ws.w[i].re + L(0); }, [&](int i) { return ws.w[i].im + L(0); }, out);
  if (!Vectors) return;
  ComplexVectorWriter<L> writer{out.right, first, count, &s.info, &ws, false};
  if (opt.right) eigenvectors(ws, false, writer);
  if (!opt.left) return;
  reflect_for_left(ws);
  writer.out = out.left;
  writer.left = true;
  eigenvectors(ws, true, writer);
}

}  // namespace sk
