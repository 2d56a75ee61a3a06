// spectral_kernels::diagonal_eigvals on CPU tensors: each eigenvalue read once and written once, as a complex number.
#include <torch/csrc/stable/library.h>

#include <limits>

#include "../core/exp.h"
#include "batch_offsets.h"
#include "complex_rows.h"
#include "parallel.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Where a number makes its matrix one: logs may be -inf, that of 0.
template <bool Log, class L>
sk::mask_t<L> is_number(L x) {
  const L infinity(std::numeric_limits<sk::real_t<L>>::infinity());
  return Log ? x < infinity : sk::lane_abs(x) < infinity;
}

template <bool Log, bool Stream, class T>
void write_row(const T* row, int64_t n, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  auto load = [&](int64_t e, int count) {
    L x;
    x.v[0] = sk::vec_load<T, W>(row + e, count);
    return x;
  };
  auto bad = !is_number<Log>(L(0));
  for (int64_t e = 0; e < n; e += W) bad = bad | !is_number<Log>(load(e, int(std::min<int64_t>(W, n - e))));
  const bool all_nan = sk::lane_any(bad);
  const L nan(std::numeric_limits<T>::quiet_NaN());
  sk::write_complex<Stream>(out, n, [&](int64_t e, int count) {
    const L x = load(e, count);
    return (all_nan ? nan : Log ? sk::lane_exp(x) : x).v[0];
  });
}

// Matrices of size 1 next to each other: every number is its own row.
template <bool Log, bool Stream, class T>
void write_numbers(const T* numbers, int64_t count, T* out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  using L = sk::SimdLane<T, W, 1>;
  const L nan(std::numeric_limits<T>::quiet_NaN());
  sk::write_complex<Stream>(out, count, [&](int64_t e, int some) {
    L x;
    x.v[0] = sk::vec_load<T, W>(numbers + e, some);
    return sk::lane_select(is_number<Log>(x), Log ? sk::lane_exp(x) : x, nan).v[0];
  });
}

template <bool Log, bool Stream, class T>
void run(const Tensor& value, const sk::BroadcastShape& batch, int64_t n, T* out) {
  constexpr int64_t block = 4096;  // numbers that a thread takes at once
  const T* const data = static_cast<const T*>(value.const_data_ptr());
  const int64_t rows = batch.count(), grain = 1 + block / n;
  const sk::BatchOffsets at(value, 1, batch);
  sk::for_each_chunk((rows + grain - 1) / grain, [&] {
    return [&](int64_t begin, int64_t end) {
      const int64_t first = begin * grain, stop = std::min(end * grain, rows);
      if (n == 1)
        write_numbers<Log, Stream>(data + first, stop - first, out + 2 * first);
      else
        for (int64_t i = first; i < stop; ++i) write_row<Log, Stream>(data + at(i), n, out + i * 2 * n);
      if (Stream) sk::vec_stream_end();
    };
  });
}

template <class T>
void solve(const Tensor& value, bool log, const sk::BroadcastShape& batch, int64_t n, Tensor& values) {
  const bool stream = batch.count() * n * 2 * int64_t(sizeof(T)) >= sk::stream_from_bytes;
  auto function = log ? (stream ? run<true, true, T> : run<true, false, T>) : (stream ? run<false, true, T> : run<false, false, T>);
  function(value, batch, n, static_cast<T*>(values.mutable_data_ptr()));
}

// value (..., n) -> (..., n) complex.
Tensor diagonal_eigvals(const Tensor& value, bool log) {
  STD_TORCH_CHECK(value.dim() >= 1, "spectral_kernels::diagonal_eigvals: expected value (..., n)");
  const ScalarType dtype = value.scalar_type();
  STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double, "spectral_kernels::diagonal_eigvals: expected float32 or float64");
  sk::BroadcastShape batch;
  batch.add(value, 1);
  const int64_t n = value.sizes()[value.dim() - 1];
  Tensor values = torch::stable::new_empty(value, batch.with({n}), dtype == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
  if (n > 0 && batch.count() > 0) {
    const Tensor dense = n == 1 ? torch::stable::contiguous(value) : sk::with_dense_core(value, 1);
    (dtype == ScalarType::Float ? solve<float> : solve<double>)(dense, log, batch, n, values);
  }
  return values;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("diagonal_eigvals", TORCH_BOX(&diagonal_eigvals)); }
