// spectral_kernels::jacobian_eig on CUDA tensors: checks, allocation, registration (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "broadcast.h"
#include "factor_eig.h"

namespace {

using sk::Tensor;
using torch::headeronly::ScalarType;

template <class T, bool Vectors>
void solve(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, int64_t batch, Tensor& w, Tensor& right, Tensor& left, Tensor& info) {
  auto data = [](const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  auto pairs = [](Tensor& t) { return t.numel() ? static_cast<sk::Pair<T>*>(t.mutable_data_ptr()) : nullptr; };
  const int gates = int(weight.sizes()[0]), n = int(weight.sizes()[1]), parts = int(coefficient.sizes()[coefficient.dim() - 3]);
  const sk::JacobianSource<T> source{data(weight), data(coefficient), data(diagonal), gates, parts, n};
  const sk::TensorSink<T, Vectors> sink{pairs(w), pairs(right), pairs(left), static_cast<int32_t*>(info.mutable_data_ptr())};
  Tensor workspace = info;
  sk::run_on_device("jacobian_eig", weight, [&](cudaStream_t stream) {
    return sk::eig_of_factors<sk::JacobianSource<T>, Vectors>({batch, parts * n, true}, source, sink, stream, [&](int64_t bytes) {
      workspace = torch::stable::new_empty(weight, {bytes}, ScalarType::Byte);
      return workspace.mutable_data_ptr();
    });
  });
}

// weight (G, n, n), coefficient (..., S, G, n), diagonal (..., S, S, n) -> eigenvalues (..., S n), right and left eigenvectors
// (..., S n, S n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> jacobian_eig(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal, bool left, bool right) {
  constexpr const char* shapes = "spectral_kernels::jacobian_eig: expected weight (G, n, n), coefficient (..., S, G, n) and diagonal (..., S, S, n)";
  const int64_t dims = coefficient.dim();
  STD_TORCH_CHECK(weight.dim() == 3 && dims >= 3 && diagonal.dim() == dims, shapes);
  const auto c = coefficient.sizes(), d = diagonal.sizes();
  const int64_t gates = weight.sizes()[0], n = weight.sizes()[1], parts = c[dims - 3], size = parts * n;
  bool same = weight.sizes()[2] == n && c[dims - 2] == gates && c[dims - 1] == n && d[dims - 3] == parts && d[dims - 2] == parts && d[dims - 1] == n;
  for (int64_t i = 0; i < dims - 3; ++i) same = same && c[i] == d[i];
  STD_TORCH_CHECK(same, shapes);
  STD_TORCH_CHECK(size <= 128, "spectral_kernels::jacobian_eig: the CUDA kernels serve S n <= 128, got ", size);
  const ScalarType dtype = weight.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && coefficient.scalar_type() == dtype && diagonal.scalar_type() == dtype,
                  "spectral_kernels::jacobian_eig: expected float32 or float64, all of one dtype");
  sk::CommonBatch batch;
  batch.add(coefficient, 3);
  const ScalarType complex = dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
  const std::vector<int64_t> none{0}, shape = batch.with({size, size});
  Tensor w = torch::stable::new_empty(weight, batch.with({size}), complex);
  Tensor vr = torch::stable::new_empty(weight, right ? shape : none, complex);
  Tensor vl = torch::stable::new_empty(weight, left ? shape : none, complex);
  Tensor info = torch::stable::new_empty(weight, batch.with({}), ScalarType::Int);
  if (size == 0) torch::stable::zero_(info);
  if (batch.count() > 0 && size > 0) {
    auto go = left || right ? (dtype == ScalarType::Float ? solve<float, true> : solve<double, true>) : (dtype == ScalarType::Float ? solve<float, false> : solve<double, false>);
    go(torch::stable::contiguous(weight), torch::stable::contiguous(coefficient), torch::stable::contiguous(diagonal), batch.count(), w, vr, vl, info);
  }
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {w, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("jacobian_eig", TORCH_BOX(&jacobian_eig)); }
