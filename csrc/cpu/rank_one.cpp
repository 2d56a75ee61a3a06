// spectral_kernels::rank_one_eigvals on CPU tensors: the memory's speed, so each k is read once and each eigenvalue written once.
#include "../core/rank_one.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <optional>

#include "batch_offsets.h"
#include "complex_rows.h"
#include "parallel.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The item of every position of one tensor.
template <class T>
struct Operand {
  const T* data;
  sk::BatchOffsets at;

  Operand(const Tensor& t, int core, const sk::BroadcastShape& batch) : data(static_cast<const T*>(t.const_data_ptr())), at(t, core, batch) {}
  const T* operator[](int64_t position) const { return data + at(position); }
};

// p^T k of up to W matrices: each in 2 W partial sums, down its own vectors, which one transpose brings into the lanes.
template <class T, int W>
sk::SimdLane<T, W, 1> dot_products(const T* const* k, const T* const* p, int count, int64_t n) {
  sk::Vec<T, W> sums[W] = {};
  for (int w = 0; w < count; ++w) {
    sk::Vec<T, W> even{}, odd{};
    int64_t e = 0;
    for (; e + 2 * W <= n; e += 2 * W) {
      even = sk::vec_fma<T, W>(sk::vec_load<T, W>(k[w] + e, W), sk::vec_load<T, W>(p[w] + e, W), even);
      odd = sk::vec_fma<T, W>(sk::vec_load<T, W>(k[w] + e + W, W), sk::vec_load<T, W>(p[w] + e + W, W), odd);
    }
    for (; e < n; e += W) {
      const int left = int(n - e < W ? n - e : W);
      even = sk::vec_fma<T, W>(sk::vec_load<T, W>(k[w] + e, left), sk::vec_load<T, W>(p[w] + e, left), even);
    }
    sums[w] = even + odd;
  }
  sk::vec_transpose<1, T, W>(sums);
  SK_UNROLL_ALL
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] = sums[i] + sums[i + half];
  sk::SimdLane<T, W, 1> result;
  result.v[0] = sums[0];
  return result;
}

// `last` behind n - 1 times `repeated`, as complex numbers.
template <bool Stream, class T>
void write_values(T repeated, T last, int64_t n, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  const sk::SimdLane<T, W, 1> all(repeated);
  sk::Vec<T, W> pairs, high;
  sk::vec_interleave<T, W>(all.v[0], sk::Vec<T, W>{}, pairs, high, std::make_integer_sequence<int, W>{});
  const int64_t length = 2 * n;
  int64_t e = 0;
  if (Stream) {
    e = std::min(sk::vec_stream_before(out), length);
    sk::vec_store<T, W>(out, pairs, int(e));
    for (; e + W < length; e += W) sk::vec_stream<T, W>(out + e, pairs);
  }
  for (; e + W <= length; e += W) sk::vec_store<T, W>(out + e, pairs, W);
  if (e < length) sk::vec_store<T, W>(out + e, pairs, int(length - e));
  out[length - 2] = last;
}

template <bool Stream, class T>
void run(const Operand<T>& alpha, const Operand<T>& beta, const Operand<T>& k, const Operand<T>& p, int64_t batch, int64_t n, int64_t written, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  const int64_t grain = (1 + 16384 / (n * W)) * W;  // matrices that a thread takes at once
  sk::for_each_chunk((batch + grain - 1) / grain, [&] {
    return [&](int64_t begin, int64_t end) {
      const int64_t stop = end * grain < batch ? end * grain : batch;
      for (int64_t first = begin * grain; first < stop; first += W) {
        const int count = int(stop - first < W ? stop - first : W);
        T a[W] = {}, b[W] = {};
        const T *rows[W], *others[W];
        for (int w = 0; w < count; ++w) {
          a[w] = alpha[first + w][0], b[w] = beta[first + w][0];
          rows[w] = k[first + w], others[w] = p[first + w];
        }
        L alphas, betas;
        alphas.v[0] = sk::vec_load<T, W>(a, W), betas.v[0] = sk::vec_load<T, W>(b, W);
        const auto values = sk::rank_one_eigenvalues(alphas, betas, dot_products<T, W>(rows, others, count, n));
        for (int w = 0; w < count; ++w) write_values<Stream>(sk::lane_get(values.repeated, w), sk::lane_get(values.last, w), written, out + (first + w) * 2 * written);
      }
      if (Stream) sk::vec_stream_end();
    };
  });
}

template <class T>
void solve(const Tensor& alpha, const Tensor& beta, const Tensor& k, const Tensor& p, const sk::BroadcastShape& batch, int64_t n, int64_t written, Tensor& values) {
  const int64_t count = batch.count();
  auto function = count * written * 2 * int64_t(sizeof(T)) >= sk::stream_from_bytes ? run<true, T> : run<false, T>;
  function({alpha, 0, batch}, {beta, 0, batch}, {k, 1, batch}, {p, 1, batch}, count, n, written, static_cast<T*>(values.mutable_data_ptr()));
}

// alpha, beta (...), k and p (..., n) -> (..., n) complex, or (..., min(n, 2)) where `distinct` is set.
Tensor rank_one_eigvals(const Tensor& alpha, const Tensor& beta, const Tensor& k, std::optional<Tensor> p, bool distinct) {
  const int64_t dims = k.dim();
  STD_TORCH_CHECK(dims >= 1 && (!p || (p->dim() >= 1 && p->sizes()[p->dim() - 1] == k.sizes()[dims - 1])),
                  "spectral_kernels::rank_one_eigvals: expected alpha and beta (...), k and p (..., n)");
  const int64_t n = k.sizes()[dims - 1], written = distinct ? std::min<int64_t>(n, 2) : n;
  const ScalarType dtype = k.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && alpha.scalar_type() == dtype && beta.scalar_type() == dtype &&
                      (!p || p->scalar_type() == dtype),
                  "spectral_kernels::rank_one_eigvals: expected float32 or float64, all of one dtype");
  sk::BroadcastShape batch;
  batch.add(alpha, 0);
  batch.add(beta, 0);
  batch.add(k, 1);
  if (p) batch.add(*p, 1);
  Tensor values = torch::stable::new_empty(k, batch.with({written}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  if (n > 0 && batch.count() > 0) {
    const Tensor k_dense = sk::with_dense_core(k, 1);
    const std::optional<Tensor> p_dense = p ? std::optional<Tensor>(sk::with_dense_core(*p, 1)) : std::nullopt;
    (dtype == ScalarType::Float ? solve<float> : solve<double>)(alpha, beta, k_dense, p_dense ? *p_dense : k_dense, batch, n, written, values);
  }
  return values;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("rank_one_eigvals", TORCH_BOX(&rank_one_eigvals)); }
