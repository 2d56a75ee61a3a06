// spectral_kernels::householder_eigvals on CPU tensors (LibTorch stable ABI).
#include "householder.h"

#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"

namespace {

using sk::Tensor;

std::tuple<Tensor, Tensor> householder_eigvals(const Tensor& beta, const Tensor& k) {
  const sk::HouseholderFactors f(beta, k);
  sk::check_size("householder_eigvals", "m", f.m, 512);
  sk::EigTensors out(k, f.batch, f.m, f.single, false, false);
  if (!f.empty()) {
    auto solve = f.single ? sk::householder_tensor<float> : sk::householder_tensor<double>;
    solve(sk::with_dense_core(beta, 1), sk::with_dense_core(k, 2), f.batch, out.values, out.info);
  }
  return {out.values, out.info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("householder_eigvals", TORCH_BOX(&householder_eigvals)); }
