// From a stable tensor to groups of W matrices over the threads, for real and complex matrices.
#pragma once
#include <torch/csrc/stable/tensor.h>

#include <type_traits>

#include "../core/entry.h"
#include "eig.h"
#include "parallel.h"

namespace sk {

using torch::stable::Tensor;

// Up to this size two registers per lane value pay for real matrices: the latency of one chain hides behind the other.
// Complex ones keep enough chains in flight with one.
template <bool Vectors, template <class> class Entry>
constexpr int two_registers_up_to = std::is_same_v<Entry<float>, float> ? (Vectors ? 5 : 8) : 0;

// Entry: Real or Complex
template <bool Vectors, template <class> class Entry, class Lane, class T>
void eig_groups(const T* a, const BatchLayout& layout, int64_t batch, int n, EigOptions opt, const EigOutputs<T>& out) {
  constexpr int64_t W = width_v<Lane>;
  const int64_t tail = batch % W < scalar_below<T> ? batch % W : 0, cut = batch - tail;
  for_each_chunk((cut + W - 1) / W, [&] {
    return [&, solver = EigSolver<Vectors, Entry<Lane>>(n)](int64_t begin, int64_t end) mutable {
      solver.solve(a, layout, begin * W, end * W < cut ? end * W : cut, opt, out);
    };
  });
  for_each_chunk(tail, [&] {
    return [&, solver = EigSolver<Vectors, Entry<T>>(n)](int64_t begin, int64_t end) mutable { solver.solve(a, layout, cut + begin, cut + end, opt, out); };
  });
}

template <bool Vectors, template <class> class Entry, class T>
void eig_batch(const T* a, const BatchLayout& layout, int64_t batch, int n, EigOptions opt, const EigOutputs<T>& out) {
  constexpr int W = register_bytes / int(sizeof(T));
  if constexpr (two_registers_up_to<Vectors, Entry> > 0)
    if (n <= two_registers_up_to<Vectors, Entry> && batch >= 4 * W)
      return eig_groups<Vectors, Entry, SimdLane<T, W, 2>>(a, layout, batch, n, opt, out);
  eig_groups<Vectors, Entry, SimdLane<T, W, 1>>(a, layout, batch, n, opt, out);
}

template <template <class> class Entry, class T>
void eig_tensor(const Tensor& A, int64_t batch, int n, EigOptions opt, Tensor& w, Tensor& right, Tensor& left, Tensor& info) {
  const auto sizes = A.sizes(), strides = A.strides();
  const int dims = int(sizes.size()) - 2;
  const BatchLayout layout{sizes.data(), strides.data(), dims, strides[dims], strides[dims + 1]};
  EigOutputs<T> out{static_cast<T*>(w.mutable_data_ptr()), opt.right ? static_cast<T*>(right.mutable_data_ptr()) : nullptr,
                    opt.left ? static_cast<T*>(left.mutable_data_ptr()) : nullptr, static_cast<int32_t*>(info.mutable_data_ptr())};
  const T* a = static_cast<const T*>(A.const_data_ptr());
  if (opt.left || opt.right)
    eig_batch<true, Entry>(a, layout, batch, n, opt, out);
  else
    eig_batch<false, Entry>(a, layout, batch, n, opt, out);
}

// Each in a source file of its own: eig_<dtype>.cpp.  They take a while to compile.
#define SK_EIG_TENSOR(Entry, T) \
  void eig_tensor<Entry, T>(const Tensor& A, int64_t batch, int n, EigOptions opt, Tensor& w, Tensor& right, Tensor& left, Tensor& info)
extern template SK_EIG_TENSOR(Real, float);
extern template SK_EIG_TENSOR(Real, double);
extern template SK_EIG_TENSOR(Complex, float);
extern template SK_EIG_TENSOR(Complex, double);

}  // namespace sk
