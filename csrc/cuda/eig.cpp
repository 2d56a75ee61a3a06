// spectral_kernels::eig_batched on CUDA tensors: checks, allocation, registration (LibTorch stable ABI).
#include "eig.h"

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "torch_device.h"

namespace {

using sk::Tensor;
using torch::headeronly::ScalarType;

template <class E, bool Vectors>
void solve(const Tensor& A, const sk::EigProblem& p, Tensor& w, Tensor& vr, Tensor& vl, Tensor& info) {
  using T = sk::lane_of<E>;
  auto pairs = [](Tensor& t) { return t.numel() ? static_cast<sk::Pair<T>*>(t.mutable_data_ptr()) : nullptr; };
  Tensor kept = A, workspace = info;
  const sk::StridedSource<E> source = sk::strided_source<E>(A, kept);
  const sk::TensorSink<T, Vectors> sink{pairs(w), pairs(vr), pairs(vl), static_cast<int32_t*>(info.mutable_data_ptr())};
  sk::run_on_device("eig_batched", A, [&](cudaStream_t stream) {
    return sk::eig_of_strided<E, Vectors>(p, source, sink, stream, [&](int64_t bytes) {
      workspace = torch::stable::new_empty(A, {bytes}, ScalarType::Byte);
      return workspace.mutable_data_ptr();
    });
  });
}

// (..., n, n) -> eigenvalues (..., n), right and left eigenvectors (..., n, n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> eig(const Tensor& A, bool left, bool right, bool balance) {
  const auto sizes = A.sizes();
  const int64_t dims = A.dim();
  STD_TORCH_CHECK(dims >= 2 && sizes[dims - 1] == sizes[dims - 2], "spectral_kernels::eig: expected matrices of shape (..., n, n)");
  const int64_t n = sizes[dims - 1];
  STD_TORCH_CHECK(n <= 128, "spectral_kernels::eig: the CUDA kernels serve n <= 128, got n = ", n);
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
    auto of = [&](auto vectors) {
      constexpr bool V = decltype(vectors)::value;
      return dtype == complex ? (single ? &solve<sk::Complex<float>, V> : &solve<sk::Complex<double>, V>) : (single ? &solve<float, V> : &solve<double, V>);
    };
    (left || right ? of(std::true_type{}) : of(std::false_type{}))(A, {batch, int(n), balance}, w, vr, vl, info);
  }
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {w, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("eig_batched", TORCH_BOX(&eig)); }
