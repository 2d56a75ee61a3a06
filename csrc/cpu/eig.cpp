// spectral_kernels::eig_batched on CPU tensors: checks, allocation, registration (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "eig_batch.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// (..., n, n) -> eigenvalues (..., n), right and left eigenvectors (..., n, n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> eig(const Tensor& A, bool left, bool right, bool balance) {
  const auto sizes = A.sizes();
  const int64_t dims = A.dim();
  STD_TORCH_CHECK(dims >= 2 && sizes[dims - 1] == sizes[dims - 2], "spectral_kernels::eig: expected matrices of shape (..., n, n)");
  const int64_t n = sizes[dims - 1];
  STD_TORCH_CHECK(n <= 512, "spectral_kernels::eig: the SIMD kernel serves n <= 512, got n = ", n);
  const ScalarType dtype = A.scalar_type();
  const bool single = dtype == ScalarType::Float || dtype == ScalarType::ComplexFloat;
  STD_TORCH_CHECK(single || dtype == ScalarType::Double || dtype == ScalarType::ComplexDouble,
                  "spectral_kernels::eig: expected float32, float64, complex64 or complex128");
  const ScalarType complex = single ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
  std::vector<int64_t> batch_shape(sizes.begin(), sizes.begin() + (dims - 2)), shape(sizes.begin(), sizes.end()), values_shape = batch_shape, none{0};
  values_shape.push_back(n);
  int64_t batch = 1;
  for (int64_t s : batch_shape) batch *= s;
  Tensor w = torch::stable::new_empty(A, values_shape, complex);
  Tensor vr = torch::stable::new_empty(A, right ? shape : none, complex);
  Tensor vl = torch::stable::new_empty(A, left ? shape : none, complex);
  Tensor info = torch::stable::new_empty(A, batch_shape, ScalarType::Int);
  if (n == 0) torch::stable::zero_(info);
  if (batch > 0 && n > 0) {
    const sk::EigOptions opt{left, right, balance};
    auto solve = dtype == complex ? (single ? sk::eig_tensor<sk::Complex, float> : sk::eig_tensor<sk::Complex, double>)
                                  : (single ? sk::eig_tensor<sk::Real, float> : sk::eig_tensor<sk::Real, double>);
    solve(A, batch, int(n), opt, w, vr, vl, info);
  }
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {w, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("eig_batched", TORCH_BOX(&eig)); }
