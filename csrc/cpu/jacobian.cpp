// spectral_kernels::jacobian_eig on CPU tensors (LibTorch stable ABI).
#include "jacobian.h"

#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"

namespace {

using sk::Tensor;

std::tuple<Tensor, Tensor, Tensor, Tensor> jacobian_eig(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, bool left, bool right) {
  const sk::JacobianFactors f(weight, coefficient, diagonal);
  sk::check_size("jacobian_eig", "S n", f.size, 512);
  sk::EigTensors out(weight, f.batch, f.size, f.single, left, right);
  if (!f.empty()) {
    auto solve = f.single ? sk::jacobian_tensor<float> : sk::jacobian_tensor<double>;
    solve(torch::stable::contiguous(weight), torch::stable::contiguous(coefficient), torch::stable::contiguous(diagonal), f.batch.count(), {left, right, true}, out.values,
          out.right, out.left, out.info);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("jacobian_eig", TORCH_BOX(&jacobian_eig)); }
