// spectral_kernels::eig on CPU tensors: checks, allocation, threads, registration (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>
#include <vector>

#include "eig.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Fewer matrices than this fill too few lanes: each is solved by the scalar lane, whose bits are the same.
template <class T>
constexpr int64_t scalar_below = sk::register_bytes / int64_t(sizeof(T)) / 2;

// Up to this size two registers per lane value pay: the latency of one chain hides behind the other.
constexpr int two_registers_up_to = 8;

template <bool Vectors, class Lane, class T>
void eig_groups(const T* a, const sk::BatchLayout& layout, int64_t batch, int n, sk::EigOptions opt, const sk::EigOutputs<T>& out) {
  constexpr int64_t W = sk::width_v<Lane>;
  const int64_t groups = (batch + W - 1) / W;
  torch::stable::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * W, last = end * W < batch ? end * W : batch;
    const int64_t tail = (last - first) % W;
    const int64_t cut = tail < scalar_below<T> ? last - tail : last;
    if (cut > first) sk::eig_range<Vectors, Lane>(a, layout, first, cut, n, opt, out);
    if (last > cut) sk::eig_range<Vectors, T>(a, layout, cut, last, n, opt, out);
  });
}

template <bool Vectors, class T>
void eig_batch(const T* a, const sk::BatchLayout& layout, int64_t batch, int n, sk::EigOptions opt, const sk::EigOutputs<T>& out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  if (n <= two_registers_up_to && batch >= 4 * W)
    eig_groups<Vectors, sk::SimdLane<T, W, 2>>(a, layout, batch, n, opt, out);
  else
    eig_groups<Vectors, sk::SimdLane<T, W, 1>>(a, layout, batch, n, opt, out);
}

template <class T>
void run(const Tensor& A, int64_t batch, int n, sk::EigOptions opt, Tensor& w, Tensor& right, Tensor& left, Tensor& info) {
  const auto sizes = A.sizes(), strides = A.strides();
  const int dims = int(sizes.size()) - 2;
  const sk::BatchLayout layout{sizes.data(), strides.data(), dims, strides[dims], strides[dims + 1]};
  sk::EigOutputs<T> out{static_cast<T*>(w.mutable_data_ptr()), opt.right ? static_cast<T*>(right.mutable_data_ptr()) : nullptr,
                        opt.left ? static_cast<T*>(left.mutable_data_ptr()) : nullptr, static_cast<int32_t*>(info.mutable_data_ptr())};
  const T* a = static_cast<const T*>(A.const_data_ptr());
  if (opt.left || opt.right)
    eig_batch<true>(a, layout, batch, n, opt, out);
  else
    eig_batch<false>(a, layout, batch, n, opt, out);
}

// (..., n, n) real -> eigenvalues (..., n), right and left eigenvectors (..., n, n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> eig(const Tensor& A, bool left, bool right, bool balance) {
  const auto sizes = A.sizes();
  const int64_t dims = A.dim();
  STD_TORCH_CHECK(dims >= 2 && sizes[dims - 1] == sizes[dims - 2], "spectral_kernels::eig: expected matrices of shape (..., n, n)");
  const int64_t n = sizes[dims - 1];
  STD_TORCH_CHECK(n <= 128, "spectral_kernels::eig: the SIMD kernel serves n <= 128, got n = ", n);
  const ScalarType dtype = A.scalar_type();
  STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double, "spectral_kernels::eig: expected float32 or float64");
  const ScalarType complex = dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
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
    if (dtype == ScalarType::Float)
      run<float>(A, batch, int(n), opt, w, vr, vl, info);
    else
      run<double>(A, batch, int(n), opt, w, vr, vl, info);
  }
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {w, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("eig_simd", TORCH_BOX(&eig)); }
