// spectral_kernels::expand_exp on CPU tensors: exp(delta_d rate_dn) as complex numbers, each written once.
#include <torch/csrc/stable/library.h>

#include "../core/exp.h"
#include "batch_offsets.h"
#include "complex_rows.h"
#include "parallel.h"
#include "scratch.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t block = 4096;  // numbers that a thread takes at once, a multiple of every W

// Numbers [begin, end) of one position, at most `block`: exp(delta[e / N] rate[e]) to out[2 e].  spread: scratch [block + W].
template <bool Stream, class T>
void expand(const T* delta, const T* rate, int64_t N, int64_t begin, int64_t end, T* spread, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  const T* steps = delta + begin;  // that of number begin + e is steps[e]
  if (N > 1) {  // a broadcast step goes as far as whole vectors do; the next one overwrites what was too far
    steps = spread;
    int64_t d = begin / N;
    for (int64_t e = begin, next = (d + 1) * N; e < end; e = next, next += N, ++d) {
      const L step(delta[d]);
      for (const int64_t stop = std::min(next, end); e < stop; e += W) sk::vec_store<T, W>(spread + e - begin, step.v[0], W);
    }
  }
  sk::write_complex<Stream>(out + 2 * begin, end - begin, [&](int64_t e, int count) {
    L d, r;
    d.v[0] = sk::vec_load<T, W>(steps + e, count);
    r.v[0] = sk::vec_load<T, W>(rate + begin + e, count);
    return sk::lane_exp(d * r).v[0];
  });
}

template <class T>
void run(const Tensor& delta, const Tensor& rate, const sk::BroadcastShape& batch, Tensor& values) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  const int64_t N = rate.sizes()[1], length = rate.sizes()[0] * N, blocks = (length + block - 1) / block;
  const sk::BatchOffsets delta_at(delta, 1, batch);
  const T *const d = static_cast<const T*>(delta.const_data_ptr()), *const r = static_cast<const T*>(rate.const_data_ptr());
  T* const out = static_cast<T*>(values.mutable_data_ptr());
  const int64_t grain = std::max<int64_t>(1, block / length), items = batch.count() * blocks;
  const bool large = batch.count() * length * 2 * int64_t(sizeof(T)) >= sk::stream_from_bytes;
  const auto fill = large ? expand<true, T> : expand<false, T>;
  sk::for_each_chunk((items + grain - 1) / grain, [&] {
    return [&, spread = sk::Scratch(size_t(block + W) * sizeof(T))](int64_t begin, int64_t end) {
      for (int64_t i = begin * grain; i < std::min(end * grain, items); ++i) {
        const int64_t position = i / blocks, first = i % blocks * block;
        fill(d + delta_at(position), r, N, first, std::min(first + block, length), reinterpret_cast<T*>(spread.get()), out + position * 2 * length);
      }
      sk::vec_stream_end();
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
