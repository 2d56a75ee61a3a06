// spectral_kernels::secular and secular_eig on CPU tensors: checks, allocation, threads, registration (LibTorch stable ABI).
#include "secular.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>
#include <vector>

#include "parallel.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <class T>
const T* data(const Tensor& a) {
  return static_cast<const T*>(a.const_data_ptr());
}
template <class T>
T* mutable_data(Tensor& a) {
  return static_cast<T*>(a.mutable_data_ptr());
}

// Vectors (..., n) of one shape and dtype.
struct Batch {
  std::vector<int64_t> shape;
  int64_t count;
  int n;
  bool single;

  Batch(const char* what, std::initializer_list<const Tensor*> tensors) {
    const Tensor& d = **tensors.begin();
    const auto sizes = d.sizes();
    const ScalarType dtype = d.scalar_type();
    bool same = d.dim() >= 1;
    for (const Tensor* t : tensors) {
      same = same && t->dim() == d.dim() && t->scalar_type() == dtype;
      for (int64_t i = 0; same && i < d.dim(); ++i) same = t->sizes()[i] == sizes[i];
    }
    STD_TORCH_CHECK(same, "spectral_kernels::", what, " of the same shape (..., n) and dtype");
    STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double, "spectral_kernels::", what, " of dtype float32 or float64");
    shape.assign(sizes.begin(), sizes.end());
    n = int(shape.back());
    count = n > 0 ? d.numel() / n : 0;
    single = dtype == ScalarType::Float;
  }
};

template <class T>
void run_values(const Batch& batch, const Tensor& d, const Tensor& p, Tensor& eigenvalues, Tensor& origin, Tensor& offset) {
  const int64_t n = batch.n;
  sk::for_each_chunk(batch.count, [&] {
    return [&, solver = sk::SecularSolver<T>(batch.n)](int64_t begin, int64_t end) mutable {
      for (int64_t b = begin * n; b < end * n; b += n)
        solver.values(data<T>(d) + b, data<T>(p) + b, mutable_data<T>(eigenvalues) + b, mutable_data<int64_t>(origin) + b, mutable_data<T>(offset) + b);
    };
  });
}

template <class T>
void run_vectors(const Batch& batch, const Tensor& d, const Tensor& b, const Tensor& c, Tensor& eigenvalues, Tensor* right, Tensor* left, Tensor& info) {
  const int64_t n = batch.n;
  sk::for_each_chunk(batch.count, [&] {
    return [&, solver = sk::SecularSolver<T>(batch.n)](int64_t begin, int64_t end) mutable {
      for (int64_t m = begin; m < end; ++m)
        mutable_data<int32_t>(info)[m] = solver.vectors(data<T>(d) + m * n, data<T>(b) + m * n, data<T>(c) + m * n, mutable_data<T>(eigenvalues) + m * n,
                                                        right ? mutable_data<T>(*right) + m * n * n : nullptr, left ? mutable_data<T>(*left) + m * n * n : nullptr);
    };
  });
}

// d, p (..., n) -> eigenvalues (..., n) ascending, origin (..., n) int64, offset (..., n).
std::tuple<Tensor, Tensor, Tensor> secular(const Tensor& d, const Tensor& p) {
  const Batch batch("secular: expected d and p", {&d, &p});
  Tensor eigenvalues = torch::stable::new_empty(d, batch.shape), offset = torch::stable::new_empty(d, batch.shape);
  Tensor origin = torch::stable::new_empty(d, batch.shape, ScalarType::Long);
  const Tensor dc = torch::stable::contiguous(d), pc = torch::stable::contiguous(p);
  (batch.single ? run_values<float> : run_values<double>)(batch, dc, pc, eigenvalues, origin, offset);
  return {eigenvalues, origin, offset};
}

// d, b, c (..., n) -> eigenvalues (..., n) ascending, right and left eigenvectors (..., n, n) or (0,), info (...) int32.
std::tuple<Tensor, Tensor, Tensor, Tensor> secular_eig(const Tensor& d, const Tensor& b, const Tensor& c, bool left, bool right) {
  const Batch batch("secular_eig: expected d, b and c", {&d, &b, &c});
  std::vector<int64_t> square = batch.shape, batch_shape(batch.shape.begin(), batch.shape.end() - 1), none{0};
  square.push_back(batch.n);
  Tensor eigenvalues = torch::stable::new_empty(d, batch.shape), info = torch::stable::new_empty(d, batch_shape, ScalarType::Int);
  Tensor vr = torch::stable::new_empty(d, right ? square : none), vl = torch::stable::new_empty(d, left ? square : none);
  if (batch.n == 0) torch::stable::zero_(info);
  const Tensor dc = torch::stable::contiguous(d), bc = torch::stable::contiguous(b), cc = torch::stable::contiguous(c);
  (batch.single ? run_vectors<float> : run_vectors<double>)(batch, dc, bc, cc, eigenvalues, right ? &vr : nullptr, left ? &vl : nullptr, info);
  if (right) vr = torch::stable::transpose(vr, -2, -1);
  if (left) vl = torch::stable::transpose(vl, -2, -1);
  return {eigenvalues, vr, vl, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) {
  m.impl("secular", TORCH_BOX(&secular));
  m.impl("secular_eig", TORCH_BOX(&secular_eig));
}
