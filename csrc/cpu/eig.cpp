// spectral_kernels::eig_batched on CPU tensors (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"
#include "eig_batch.h"

namespace {

using sk::Tensor;

std::tuple<Tensor, Tensor, Tensor, Tensor> eig(const Tensor& A, bool left, bool right, bool balance) {
  const sk::Matrices m("eig", A);
  sk::check_size("eig", "n", m.n, 512);
  sk::EigTensors out(A, m.batch, m.n, m.single, left, right);
  if (!m.empty()) {
    auto solve = m.complex ? (m.single ? sk::eig_tensor<sk::Complex, float> : sk::eig_tensor<sk::Complex, double>)
                           : (m.single ? sk::eig_tensor<sk::Real, float> : sk::eig_tensor<sk::Real, double>);
    solve(A, m.batch.count(), int(m.n), {left, right, balance}, out.values, out.right, out.left, out.info);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("eig_batched", TORCH_BOX(&eig)); }
