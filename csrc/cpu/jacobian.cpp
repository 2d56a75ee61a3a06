// spectral_kernels::jacobian_eig on CPU tensors: checks, allocation, registration (LibTorch stable ABI).
#include "jacobian.h"

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "batch_offsets.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// weight (G, n, n), coefficient (..., S, G, n), diagonal (..., S, S, n) -> eigenvalues (..., S n), right and left eigenvectors
// (..., S n, S n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> jacobian_eig(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, bool left, bool right) {
  const int64_t dims = coefficient.dim();
  STD_TORCH_CHECK(weight.dim() == 3 && dims >= 3 && diagonal.dim() == dims, "spectral_kernels::jacobian_eig: expected weight (G, n, n), coefficient (..., S, G, n) and diagonal (..., S, S, n)");
  const int64_t gates = weight.sizes()[0], n = weight.sizes()[1], parts = coefficient.sizes()[dims - 3], size = parts * n;
  bool same = weight.sizes()[2] == n && coefficient.sizes()[dims - 2] == gates && coefficient.sizes()[dims - 1] == n && diagonal.sizes()[dims - 3] == parts &&
              diagonal.sizes()[dims - 2] == parts && diagonal.sizes()[dims - 1] == n;
  for (int64_t d = 0; d < dims - 3; ++d) same = same && coefficient.sizes()[d] == diagonal.sizes()[d];
  STD_TORCH_CHECK(same, "spectral_kernels::jacobian_eig: expected weight (G, n, n), coefficient (..., S, G, n) and diagonal (..., S, S, n)");
  STD_TORCH_CHECK(size <= 512, "spectral_kernels::jacobian_eig: the SIMD kernel serves S n <= 512, got ", size);
  const ScalarType dtype = weight.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && coefficient.scalar_type() == dtype && diagonal.scalar_type() == dtype,
                  "spectral_kernels::jacobian_eig: expected float32 or float64, all of one dtype");
  sk::BroadcastShape batch;
  batch.add(coefficient, 3);
  const ScalarType complex = dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
  const std::vector<int64_t> none{0}, shape = batch.with({size, size});
  Tensor w = torch::stable::new_empty(weight, batch.with({size}), complex);
  Tensor vr = torch::stable::new_empty(weight, right ? shape : none, complex);
  Tensor vl = torch::stable::new_empty(weight, left ? shape : none, complex);
  Tensor info = torch::stable::new_empty(weight, batch.sizes(), ScalarType::Int);
  if (size == 0) torch::stable::zero_(info);
  if (batch.count() > 0 && size > 0) {
    auto solve = dtype == ScalarType::Float ? sk::jacobian_tensor<float> : sk::jacobian_tensor<double>;
    solve(torch::stable::contiguous(weight), torch::stable::contiguous(coefficient), torch::stable::contiguous(diagonal), batch.count(), {left, right, true}, w, vr, vl, info);
  }
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {w, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("jacobian_eig", TORCH_BOX(&jacobian_eig)); }
