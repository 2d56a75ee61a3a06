// The source of Jacobians: lane groups are formed in the tile, from the factors.
#pragma once
#include "../core/jacobian.h"
#include "eig_batch.h"

namespace sk {

template <class T>
struct JacobianSource {
  const T *weight, *coefficient, *diagonal;  // (gates, n, n), (batch, parts, gates, n), (batch, parts, parts, n), contiguous
  int gates, parts, n;

  long lanes_needed() const { return long(parts) * (gates + parts) * n; }
  template <class L>
  SK_STEP void load(int64_t first, int count, Tile<L> h, L* scratch) const {
    L* const c = scratch;
    L* const d = c + long(parts) * gates * n;
    load_rows(coefficient, first, count, long(parts) * gates * n, c);
    load_rows(diagonal, first, count, long(parts) * parts * n, d);
    form_jacobian(weight, c, d, gates, parts, n, h);
  }
};

template <class T>
void jacobian_tensor(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, int64_t batch, EigOptions opt, Tensor& w, Tensor& right, Tensor& left,
                     Tensor& info) {
  const int dims = int(coefficient.dim()), gates = int(weight.sizes()[0]), n = int(weight.sizes()[1]), parts = int(coefficient.sizes()[dims - 3]);
  auto data = [](const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  const JacobianSource<T> source{data(weight), data(coefficient), data(diagonal), gates, parts, n};
  const EigOutputs<T> out = eig_outputs<T>(opt, w, right, left, info);
  if (opt.left || opt.right)
    eig_batch<true, Real>(source, batch, parts * n, opt, out);
  else
    eig_batch<false, Real>(source, batch, parts * n, opt, out);
}

// In the source file of the dense solver of this type, whose steps they share.
#define SK_JACOBIAN_TENSOR(T)                                                                                                                            \
  void jacobian_tensor<T>(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, int64_t batch, EigOptions opt, Tensor& w, Tensor& right, \
                          Tensor& left, Tensor& info)
extern template SK_JACOBIAN_TENSOR(float);
extern template SK_JACOBIAN_TENSOR(double);

}  // namespace sk
