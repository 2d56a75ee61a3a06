// spectral_kernels::expand_exp on CPU tensors: exp(delta_d rate_dn) as complex numbers, each written once.
#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "../core/exponential.h"
#include "batch_offsets.h"
#include "lane_simd.h"
#include "parallel.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Numbers e of [begin, end) of one position: exp(delta[e / N] rate[e]) to out[2 e].
template <class T>
void expand(const T* delta, const T* rate, int64_t N, int64_t begin, int64_t end, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  for (int64_t e = begin; e < end; e += W) {
    const int count = int(end - e < W ? end - e : W);
    L d, r;
    if (N == 1) {
      d.v[0] = sk::vec_load<T, W>(delta + e, count);
    } else if (N % W == 0) {
      d = L(delta[e / N]);
    } else {
      T each[W] = {};
      int64_t index = e / N, left = N - e % N;
      for (int w = 0; w < count; ++w) {
        each[w] = delta[index];
        if (--left == 0) ++index, left = N;
      }
      d.v[0] = sk::vec_load<T, W>(each, W);
    }
    r.v[0] = sk::vec_load<T, W>(rate + e, count);
    sk::Vec<T, W> low, high;
    sk::vec_interleave<T, W>(sk::lane_exp(d * r).v[0], sk::Vec<T, W>{}, low, high, std::make_integer_sequence<int, W>{});
    sk::vec_store<T, W>(out + 2 * e, low, 2 * count);
    if (2 * count > W) sk::vec_store<T, W>(out + 2 * e + W, high, 2 * count - W);
  }
}

template <class T>
void run(const Tensor& delta, const Tensor& rate, const sk::BroadcastShape& batch, Tensor& values) {
  constexpr int64_t block = 4096;  // numbers that a thread takes at once, a multiple of every W
  const int64_t N = rate.sizes()[1], length = rate.sizes()[0] * N, blocks = (length + block - 1) / block;
  const sk::BatchOffsets delta_at(delta, 1, batch);
  const T *const d = static_cast<const T*>(delta.const_data_ptr()), *const r = static_cast<const T*>(rate.const_data_ptr());
  T* const out = static_cast<T*>(values.mutable_data_ptr());
  const int64_t grain = std::max<int64_t>(1, block / length), items = batch.count() * blocks;
  sk::for_each_chunk((items + grain - 1) / grain, [&] {
    return [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * grain; i < std::min(end * grain, items); ++i) {
        const int64_t position = i / blocks, first = i % blocks * block;
        expand(d + delta_at(position), r, N, first, std::min(first + block, length), out + position * 2 * length);
      }
    };
  });
}

// delta (..., D), rate (D, N) -> (..., D N) complex.
Tensor expand_exp(const Tensor& delta, const Tensor& rate) {
  STD_TORCH_CHECK(delta.dim() >= 1 && rate.dim() == 2 && delta.sizes()[delta.dim() - 1] == rate.sizes()[0],
                  "spectral_kernels::expand_exp: expected delta (..., D) and rate (D, N)");
  const ScalarType dtype = delta.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && rate.scalar_type() == dtype,
                  "spectral_kernels::expand_exp: expected float32 or float64, all of one dtype");
  sk::BroadcastShape batch;
  batch.add(delta, 1);
  const int64_t length = rate.sizes()[0] * rate.sizes()[1];
  Tensor values = torch::stable::new_empty(delta, batch.with({length}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  if (length > 0 && batch.count() > 0) {
    auto fill = dtype == ScalarType::Float ? run<float> : run<double>;
    fill(sk::with_dense_core(delta, 1), torch::stable::contiguous(rate), batch, values);
  }
  return values;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("expand_exp", TORCH_BOX(&expand_exp)); }
