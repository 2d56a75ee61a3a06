// The source of the small cores of Householder products, and their eigenvalues.
#pragma once
#include "../core/householder.h"
#include "batch_offsets.h"
#include "eig_batch.h"

namespace sk {

template <class T>
struct HouseholderSource {
  const T *beta, *k;  // (m,) and (m, n) at each position's offset
  const BatchOffsets &beta_at, &k_at;
  int m;
  int64_t n;

  long lanes_needed() const { return m * long(n + 2); }
  template <class L>
  SK_STEP void load(int64_t first, int count, Tile<L> h, L* scratch) const {
    L *const vectors = scratch, *const betas = vectors + m * n, *const row = betas + m;
    load_rows(k, k_at, first, count, m * n, vectors);
    load_rows(beta, beta_at, first, count, m, betas);
    householder_core(vectors, betas, n, row, h);
  }
};

template <class T>
void householder_tensor(const Tensor& beta, const Tensor& k, const BroadcastShape& batch, Tensor& w, Tensor& info) {
  const int m = int(beta.sizes()[beta.dim() - 1]);
  const BatchOffsets beta_at(beta, 1, batch), k_at(k, 2, batch);
  const HouseholderSource<T> source{static_cast<const T*>(beta.const_data_ptr()), static_cast<const T*>(k.const_data_ptr()), beta_at, k_at, m, k.sizes()[k.dim() - 1]};
  const EigOutputs<T> out{static_cast<T*>(w.mutable_data_ptr()), nullptr, nullptr, static_cast<int32_t*>(info.mutable_data_ptr())};
  eig_batch<false, Real>(source, batch.count(), m, {false, false, true}, out);
}

// In the source file of the dense solver of this type, whose steps they share.
#define SK_HOUSEHOLDER_TENSOR(T) void householder_tensor<T>(const Tensor& beta, const Tensor& k, const BroadcastShape& batch, Tensor& w, Tensor& info)
extern template SK_HOUSEHOLDER_TENSOR(float);
extern template SK_HOUSEHOLDER_TENSOR(double);

}  // namespace sk
