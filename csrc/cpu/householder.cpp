// spectral_kernels::householder_eigvals on CPU tensors: checks, allocation, registration (LibTorch stable ABI).
#include "householder.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// beta (..., m), k (..., m, n) -> the eigenvalues (..., m) of the core, info (...) int32.
std::tuple<Tensor, Tensor> householder_eigvals(const Tensor& beta, const Tensor& k) {
  STD_TORCH_CHECK(beta.dim() >= 1 && k.dim() >= 2 && k.sizes()[k.dim() - 2] == beta.sizes()[beta.dim() - 1],
                  "spectral_kernels::householder_eigvals: expected beta (..., m) and k (..., m, n)");
  const int64_t m = beta.sizes()[beta.dim() - 1];
  STD_TORCH_CHECK(m <= 512, "spectral_kernels::householder_eigvals: the SIMD kernel serves m <= 512, got m = ", m);
  const ScalarType dtype = k.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && beta.scalar_type() == dtype,
                  "spectral_kernels::householder_eigvals: expected float32 or float64, all of one dtype");
  sk::BroadcastShape batch;
  batch.add(beta, 1);
  batch.add(k, 2);
  Tensor w = torch::stable::new_empty(k, batch.with({m}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  Tensor info = torch::stable::new_empty(k, batch.sizes(), ScalarType::Int);
  if (m == 0) torch::stable::zero_(info);
  if (batch.count() > 0 && m > 0) {
    auto solve = dtype == ScalarType::Float ? sk::householder_tensor<float> : sk::householder_tensor<double>;
    solve(sk::with_dense_core(beta, 1), sk::with_dense_core(k, 2), batch, w, info);
  }
  return {w, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("householder_eigvals", TORCH_BOX(&householder_eigvals)); }
