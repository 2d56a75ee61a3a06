// spectral_kernels::eigh_batched on CUDA tensors: checks, allocation, registration (LibTorch stable ABI).
#include "eigh.h"

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "eigh_tuning.h"
#include "torch_device.h"

namespace {

using sk::Tensor;
using torch::headeronly::ScalarType;

template <class E>
void solve(const Tensor& A, bool upper, int64_t batch, int n, Tensor& w, Tensor& v, Tensor& info) {
  using Entry = typename sk::Memory<E>::type;
  Tensor kept = A;
  const sk::TriangleSource<E> source{sk::strided_source<E>(A, kept), upper};
  const sk::SymmetricOutputs<E> out{static_cast<sk::lane_of<E>*>(w.mutable_data_ptr()), v.numel() ? static_cast<Entry*>(v.mutable_data_ptr()) : nullptr,
                                    static_cast<int32_t*>(info.mutable_data_ptr())};
  sk::run_on_device("eigh_batched", A, [&](cudaStream_t stream) { return sk::eigh_of_triangle<E>(source, batch, n, out, stream); });
}

// (..., n, n) -> eigenvalues (..., n) real and ascending, eigenvectors (..., n, n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor> eigh(const Tensor& A, bool vectors, bool upper) {
  const auto sizes = A.sizes();
  const int64_t dims = A.dim();
  STD_TORCH_CHECK(dims >= 2 && sizes[dims - 1] == sizes[dims - 2], "spectral_kernels::eigh: expected matrices of shape (..., n, n)");
  const int64_t n = sizes[dims - 1];
  const ScalarType dtype = A.scalar_type();
  const bool single = dtype == ScalarType::Float || dtype == ScalarType::ComplexFloat;
  const bool complex = dtype == ScalarType::ComplexFloat || dtype == ScalarType::ComplexDouble;
  STD_TORCH_CHECK(single || complex || dtype == ScalarType::Double, "spectral_kernels::eigh: expected float32, float64, complex64 or complex128");
  const int64_t largest = sk::eigh_limits((single ? 4 : 8) * (complex ? 2 : 1)).block;
  STD_TORCH_CHECK(n <= largest, "spectral_kernels::eigh: the CUDA kernels of this dtype serve n <= ", largest, ", got n = ", n);
  std::vector<int64_t> batch_shape(sizes.begin(), sizes.begin() + (dims - 2)), shape(sizes.begin(), sizes.end()), values_shape = batch_shape, none{0};
  values_shape.push_back(n);
  int64_t batch = 1;
  for (int64_t s : batch_shape) batch *= s;
  Tensor w = torch::stable::new_empty(A, values_shape, single ? ScalarType::Float : ScalarType::Double);
  Tensor v = torch::stable::new_empty(A, vectors ? shape : none);
  Tensor info = torch::stable::new_empty(A, batch_shape, ScalarType::Int);
  if (n == 0) torch::stable::zero_(info);
  if (batch > 0 && n > 0) {
    auto go = complex ? (single ? solve<sk::Complex<float>> : solve<sk::Complex<double>>) : (single ? solve<float> : solve<double>);
    go(A, upper, batch, int(n), w, v, info);
  }
  if (vectors) v = torch::stable::transpose(v, -2, -1);
  return {w, v, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("eigh_batched", TORCH_BOX(&eigh)); }
