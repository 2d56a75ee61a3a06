// spectral_kernels::eigh_batched on CUDA tensors (LibTorch stable ABI).
#include "eigh.h"

#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"
#include "eigh_tuning.h"
#include "torch_device.h"

namespace {

using sk::Tensor;

template <class E>
void solve(const Tensor& A, bool upper, int64_t batch, int n, sk::EighTensors& out) {
  using Entry = typename sk::Memory<E>::type;
  Tensor kept = A;
  const sk::TriangleSource<E> source{sk::strided_source<E>(A, kept), upper};
  const sk::SymmetricOutputs<E> to{static_cast<sk::lane_of<E>*>(out.values.mutable_data_ptr()), out.vectors.numel() ? static_cast<Entry*>(out.vectors.mutable_data_ptr()) : nullptr,
                                   static_cast<int32_t*>(out.info.mutable_data_ptr())};
  sk::run_on_device("eigh_batched", A, [&](cudaStream_t stream) { return sk::eigh_of_triangle<E>(source, batch, n, to, stream); });
}

std::tuple<Tensor, Tensor, Tensor> eigh(const Tensor& A, bool vectors, bool upper) {
  const sk::Matrices m("eigh", A);
  sk::check_size("eigh", "n", m.n, sk::eigh_limits((m.single ? 4 : 8) * (m.complex ? 2 : 1)).block);
  sk::EighTensors out(A, m, vectors);
  if (!m.empty()) {
    auto go = m.complex ? (m.single ? solve<sk::Complex<float>> : solve<sk::Complex<double>>) : (m.single ? solve<float> : solve<double>);
    go(A, upper, m.batch.count(), int(m.n), out);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("eigh_batched", TORCH_BOX(&eigh)); }
