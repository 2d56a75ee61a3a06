// spectral_kernels::eigh_batched on CPU tensors: threads over lane groups (LibTorch stable ABI).
#include "eigh.h"

#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"
#include "parallel.h"

namespace {

using sk::Tensor;

// U native registers per value: two hide the latency of the QL recurrence, as long as the tiles stay in the L2 cache.
template <class T, int U>
using Lane = sk::SimdLane<T, sk::register_bytes / int(sizeof(T)), U>;
template <template <class> class Entry>
constexpr int two_registers_up_to = sk::is_complex_v<Entry<float>> ? 32 : 64;

// Matrices [begin, end), in groups of W = width of E.
template <bool Vectors, class E, class T>
void eigh_groups(const T* a, const sk::BatchLayout& layout, int64_t begin, int64_t end, int n, bool upper, const sk::EighOutputs<T>& out) {
  constexpr int64_t W = sk::width_v<sk::lane_of<E>>;
  sk::for_each_chunk((end - begin + W - 1) / W, [&] {
    return [&, solver = sk::EighSolver<Vectors, E>(n)](int64_t first, int64_t last) mutable {
      solver.solve(a, layout, begin + first * W, begin + last * W < end ? begin + last * W : end, upper, out);
    };
  });
}

// Groups of two registers, what is left in groups of one, and what is left of that one by one: the bits are the same.
template <bool Vectors, template <class> class Entry, class T>
void eigh_batch(const T* a, const sk::BatchLayout& layout, int64_t batch, int n, bool upper, const sk::EighOutputs<T>& out) {
  constexpr int64_t W = sk::width_v<Lane<T, 1>>;
  const bool wide = n <= two_registers_up_to<Entry> && batch >= 4 * W * int64_t(torch::stable::get_num_threads());
  const int64_t wide_end = !wide ? 0 : batch % (2 * W) > W ? batch : batch - batch % (2 * W);
  const int64_t left = (batch - wide_end) % W, end = left < sk::scalar_below<T> ? batch - left : batch;
  eigh_groups<Vectors, Entry<Lane<T, 2>>>(a, layout, 0, wide_end, n, upper, out);
  eigh_groups<Vectors, Entry<Lane<T, 1>>>(a, layout, wide_end, end, n, upper, out);
  eigh_groups<Vectors, Entry<T>>(a, layout, end, batch, n, upper, out);
}

template <template <class> class Entry, class T>
void run(const Tensor& A, int64_t batch, int n, bool vectors, bool upper, Tensor& w, Tensor& v, Tensor& info) {
  const auto sizes = A.sizes(), strides = A.strides();
  const int dims = int(sizes.size()) - 2;
  const sk::BatchLayout layout{sizes.data(), strides.data(), dims, strides[dims], strides[dims + 1]};
  const sk::EighOutputs<T> out{static_cast<T*>(w.mutable_data_ptr()), vectors ? static_cast<T*>(v.mutable_data_ptr()) : nullptr,
                               static_cast<int32_t*>(info.mutable_data_ptr())};
  const T* a = static_cast<const T*>(A.const_data_ptr());
  if (vectors)
    eigh_batch<true, Entry>(a, layout, batch, n, upper, out);
  else
    eigh_batch<false, Entry>(a, layout, batch, n, upper, out);
}

std::tuple<Tensor, Tensor, Tensor> eigh(const Tensor& A, bool vectors, bool upper) {
  const sk::Matrices m("eigh", A);
  sk::check_size("eigh", "n", m.n, 512);
  sk::EighTensors out(A, m, vectors);
  if (!m.empty()) {
    auto solve = m.complex ? (m.single ? run<sk::Complex, float> : run<sk::Complex, double>) : (m.single ? run<sk::Real, float> : run<sk::Real, double>);
    solve(A, m.batch.count(), int(m.n), vectors, upper, out.values, out.vectors, out.info);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("eigh_batched", TORCH_BOX(&eigh)); }
