// spectral_kernels::householder_eigvals on CUDA tensors: checks, allocation, registration (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "broadcast.h"
#include "factor_eig.h"

namespace {

using sk::Tensor;
using torch::headeronly::ScalarType;

template <class T>
void solve(const Tensor& beta, const Tensor& k, const sk::CommonBatch& batch, Tensor& w, Tensor& info) {
  auto data = [](const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  const int m = int(beta.sizes()[beta.dim() - 1]);
  const sk::HouseholderSource<T> source{data(beta), data(k), batch.strides_of(beta, 1), batch.strides_of(k, 2), k.sizes()[k.dim() - 1]};
  const sk::TensorSink<T, false> sink{static_cast<sk::Pair<T>*>(w.mutable_data_ptr()), nullptr, nullptr, static_cast<int32_t*>(info.mutable_data_ptr())};
  Tensor workspace = info;
  sk::run_on_device("householder_eigvals", k, [&](cudaStream_t stream) {
    return sk::eig_of_factors<sk::HouseholderSource<T>, false>({batch.count(), m, true}, source, sink, stream, [&](int64_t bytes) {
      workspace = torch::stable::new_empty(k, {bytes}, ScalarType::Byte);
      return workspace.mutable_data_ptr();
    });
  });
}

// beta (..., m), k (..., m, n) -> the eigenvalues (..., m) of the core, info (...) int32.
std::tuple<Tensor, Tensor> householder_eigvals(const Tensor& beta, const Tensor& k) {
  STD_TORCH_CHECK(beta.dim() >= 1 && k.dim() >= 2 && k.sizes()[k.dim() - 2] == beta.sizes()[beta.dim() - 1],
                  "spectral_kernels::householder_eigvals: expected beta (..., m) and k (..., m, n)");
  const int64_t m = beta.sizes()[beta.dim() - 1];
  STD_TORCH_CHECK(m <= 128, "spectral_kernels::householder_eigvals: the CUDA kernels serve m <= 128, got m = ", m);
  const ScalarType dtype = k.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && beta.scalar_type() == dtype,
                  "spectral_kernels::householder_eigvals: expected float32 or float64, all of one dtype");
  sk::CommonBatch batch;
  batch.add(beta, 1);
  batch.add(k, 2);
  Tensor w = torch::stable::new_empty(k, batch.with({m}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  Tensor info = torch::stable::new_empty(k, batch.with({}), ScalarType::Int);
  if (m == 0) torch::stable::zero_(info);
  if (batch.count() > 0 && m > 0)
    (dtype == ScalarType::Float ? solve<float> : solve<double>)(sk::with_dense_core(beta, 1), sk::with_dense_core(k, 2), batch, w, info);
  return {w, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("householder_eigvals", TORCH_BOX(&householder_eigvals)); }
