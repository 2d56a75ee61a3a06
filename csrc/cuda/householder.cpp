// spectral_kernels::householder_eigvals on CUDA tensors (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>

#include "../ops/eigenproblem.h"
#include "factor_eig.h"
#include "torch_device.h"
#include "tuning.h"

namespace {

using sk::Tensor;

template <class T>
void solve(const Tensor& beta, const Tensor& k, const sk::HouseholderFactors& f, sk::EigTensors& out) {
  auto data = [](const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  const sk::HouseholderSource<T> source{data(beta), data(k), sk::strides_of(beta, 1, f.batch), sk::strides_of(k, 2, f.batch), k.size(k.dim() - 1)};
  const auto sink = sk::tensor_sink<T, false>(out);
  sk::run_with_workspace("householder_eigvals", k, [&](cudaStream_t stream, const sk::Allocate& allocate) {
    return sk::eig_of_factors<sk::HouseholderSource<T>, false>({f.batch.count(), int(f.m), true}, source, sink, stream, allocate);
  });
}

std::tuple<Tensor, Tensor> householder_eigvals(const Tensor& beta, const Tensor& k) {
  const sk::HouseholderFactors f(beta, k);
  sk::check_size("householder_eigvals", "m", f.m, sk::limits({0, 1, f.single ? 4 : 8, false}).block);
  sk::EigTensors out(k, f.batch, f.m, f.single, false, false);
  if (!f.empty()) (f.single ? solve<float> : solve<double>)(sk::with_dense_core(beta, 1), sk::with_dense_core(k, 2), f, out);
  return {out.values, out.info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("householder_eigvals", TORCH_BOX(&householder_eigvals)); }
