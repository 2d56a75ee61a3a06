// spectral_kernels::rank_one_eigvals on CPU tensors: the memory's speed, so each k is read once and each eigenvalue written once.
#include "../core/rank_one.h"

#include <torch/csrc/stable/library.h>

#include <limits>
#include <optional>

#include "batch_offsets.h"
#include "pack.h"
#include "parallel.h"
#include "scratch.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// One operand: (batch axes..., core axes).
template <class T>
struct Operand {
  const T* data;
  sk::BatchOffsets at;

  Operand(const Tensor& t, int core, const sk::BroadcastShape& batch) : data(static_cast<const T*>(t.const_data_ptr())), at(t, core, batch) {}
};

// n - 1 times alpha, then `last`; where that is not finite, the matrix is not, and all are NaN.
template <class T>
void write_values(T alpha, T last, int64_t n, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  const bool finite = sk::lane_abs(last) <= sk::Machine<T>::largest;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const sk::SimdLane<T, W, 1> repeated(finite ? alpha : nan);
  sk::Vec<T, W> low, high;
  sk::vec_interleave<T, W>(repeated.v[0], sk::Vec<T, W>{}, low, high, std::make_integer_sequence<int, W>{});
  for (int64_t e = 0; e < 2 * n; e += W) sk::vec_store<T, W>(out + e, low, int(2 * n - e < W ? 2 * n - e : W));
  out[2 * n - 2] = finite ? last : nan;
}

template <class T>
void run(const Tensor& alpha, const Tensor& beta, const Tensor& k, const Tensor& p, const sk::BroadcastShape& batch, int64_t n, Tensor& values) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  const Operand<T> alphas(alpha, 0, batch), betas(beta, 0, batch), ks(k, 1, batch), ps(p, 1, batch);
  const bool symmetric = &k == &p;
  const int64_t count = batch.count(), grain = (1 + 16384 / (n * W)) * W;  // matrices that a thread takes at once
  T* const out = static_cast<T*>(values.mutable_data_ptr());
  sk::for_each_chunk((count + grain - 1) / grain, [&] {
    return [&, scratch = sk::Scratch(size_t(symmetric ? 1 : 2) * n * sizeof(L))](int64_t begin, int64_t end) {
      L* const k_lanes = reinterpret_cast<L*>(scratch.get());
      L* const p_lanes = symmetric ? k_lanes : k_lanes + n;
      const int64_t stop = end * grain < count ? end * grain : count;
      for (int64_t first = begin * grain; first < stop; first += W) {
        const int group = int(stop - first < W ? stop - first : W);
        L alpha_lane, beta_lane;
        sk::load_rows(alphas.data, alphas.at, first, group, 1, &alpha_lane);
        sk::load_rows(betas.data, betas.at, first, group, 1, &beta_lane);
        sk::load_rows(ks.data, ks.at, first, group, n, k_lanes);
        if (!symmetric) sk::load_rows(ps.data, ps.at, first, group, n, p_lanes);
        const L last = sk::rank_one_eigenvalue(alpha_lane, beta_lane, k_lanes, p_lanes, n);
        for (int w = 0; w < group; ++w) write_values(sk::lane_get(alpha_lane, w), sk::lane_get(last, w), n, out + (first + w) * 2 * n);
      }
    };
  });
}

// alpha, beta (...), k and p (..., n) -> (..., n) complex.
Tensor rank_one_eigvals(const Tensor& alpha, const Tensor& beta, const Tensor& k, std::optional<Tensor> p) {
  const int64_t dims = k.dim();
  STD_TORCH_CHECK(dims >= 1 && (!p || (p->dim() >= 1 && p->sizes()[p->dim() - 1] == k.sizes()[dims - 1])),
                  "spectral_kernels::rank_one_eigvals: expected alpha and beta (...), k and p (..., n)");
  const int64_t n = k.sizes()[dims - 1];
  const ScalarType dtype = k.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && alpha.scalar_type() == dtype && beta.scalar_type() == dtype &&
                      (!p || p->scalar_type() == dtype),
                  "spectral_kernels::rank_one_eigvals: expected float32 or float64, all of one dtype");
  sk::BroadcastShape batch;
  batch.add(alpha, 0);
  batch.add(beta, 0);
  batch.add(k, 1);
  if (p) batch.add(*p, 1);
  Tensor values = torch::stable::new_empty(k, batch.with({n}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  if (n > 0 && batch.count() > 0) {
    const Tensor k_dense = sk::with_dense_core(k, 1);
    const std::optional<Tensor> p_dense = p ? std::optional<Tensor>(sk::with_dense_core(*p, 1)) : std::nullopt;
    (dtype == ScalarType::Float ? run<float> : run<double>)(alpha, beta, k_dense, p_dense ? *p_dense : k_dense, batch, n, values);
  }
  return values;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("rank_one_eigvals", TORCH_BOX(&rank_one_eigvals)); }
