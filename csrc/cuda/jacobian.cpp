// spectral_kernels::jacobian_eig on CUDA tensors (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"
#include "factor_eig.h"
#include "torch_device.h"
#include "tuning.h"

namespace {

using sk::Tensor;

template <class T, bool Vectors>
void solve(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, const sk::JacobianFactors& f, sk::EigTensors& out) {
  auto data = [](const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  const int gates = int(weight.size(0)), n = int(weight.size(1)), parts = int(coefficient.size(coefficient.dim() - 3));
  const sk::JacobianSource<T> source{data(weight), data(coefficient), data(diagonal), gates, parts, n};
  const auto sink = sk::tensor_sink<T, Vectors>(out);
  sk::run_with_workspace("jacobian_eig", weight, [&](cudaStream_t stream, const sk::Allocate& allocate) {
    return sk::eig_of_factors<sk::JacobianSource<T>, Vectors>({f.batch.count(), int(f.size), true}, source, sink, stream, allocate);
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> jacobian_eig(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, bool left, bool right) {
  const sk::JacobianFactors f(weight, coefficient, diagonal);
  sk::check_size("jacobian_eig", "S n", f.size, sk::limits({0, 1, f.single ? 4 : 8, false}).block);
  sk::EigTensors out(weight, f.batch, f.size, f.single, left, right);
  if (!f.empty()) {
    auto go = left || right ? (f.single ? solve<float, true> : solve<double, true>) : (f.single ? solve<float, false> : solve<double, false>);
    go(torch::stable::contiguous(weight), torch::stable::contiguous(coefficient), torch::stable::contiguous(diagonal), f, out);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("jacobian_eig", TORCH_BOX(&jacobian_eig)); }
