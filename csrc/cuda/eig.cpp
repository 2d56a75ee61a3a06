// spectral_kernels::eig_batched on CUDA tensors (LibTorch stable ABI).
#include "eig.h"

#include <torch/csrc/stable/library.h>

#include <type_traits>

#include "../ops/eigenproblem.h"
#include "torch_device.h"
#include "tuning.h"

namespace {

using sk::Tensor;

template <class E, bool Vectors>
void solve(const Tensor& A, const sk::EigProblem& p, sk::EigTensors& out) {
  Tensor kept = A;
  const sk::StridedSource<E> source = sk::strided_source<E>(A, kept);
  const auto sink = sk::tensor_sink<sk::lane_of<E>, Vectors>(out);
  sk::run_with_workspace("eig_batched", A, [&](cudaStream_t stream, const sk::Allocate& allocate) { return sk::eig_of_strided<E, Vectors>(p, source, sink, stream, allocate); });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> eig(const Tensor& A, bool left, bool right, bool balance) {
  const sk::Matrices m("eig", A);
  sk::check_size("eig", "n", m.n, sk::limits({0, m.complex ? 2 : 1, m.single ? 4 : 8, false}).block);
  sk::EigTensors out(A, m.batch, m.n, m.single, left, right);
  if (!m.empty()) {
    auto of = [&](auto vectors) {
      constexpr bool V = decltype(vectors)::value;
      return m.complex ? (m.single ? &solve<sk::Complex<float>, V> : &solve<sk::Complex<double>, V>) : (m.single ? &solve<float, V> : &solve<double, V>);
    };
    (left || right ? of(std::true_type{}) : of(std::false_type{}))(A, {m.batch.count(), int(m.n), balance}, out);
  }
  return out.as_torch_has_them();
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) { m.impl("eig_batched", TORCH_BOX(&eig)); }
