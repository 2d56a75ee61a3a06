// spectral_kernels::sketch and sketch_zero_order_hold on CUDA tensors: checks, registration (LibTorch stable ABI).  Rows that the state does not have are
// passed over: to look at them here would wait for the device.
#include "sketch.h"

#include <torch/csrc/stable/library.h>

#include <optional>

#include "torch_device.h"

namespace {

using sk::Tensor;
using torch::headeronly::ScalarType;

sk::DeviceSketch state_of(Tensor& counts, Tensor& sums, Tensor& extremes) {
  STD_TORCH_CHECK(counts.dim() == 2 && counts.size(1) == sk::columns && counts.scalar_type() == ScalarType::Long && counts.is_contiguous(),
                  "spectral_kernels::sketch: expected counts of shape (R, ", int64_t(sk::columns), "), int64 and contiguous");
  STD_TORCH_CHECK(sums.dim() == 3 && sums.size(0) == counts.size(0) && sums.size(1) == 4 && sums.size(2) == 3 && sums.scalar_type() == ScalarType::Long && sums.is_contiguous(),
                  "spectral_kernels::sketch: expected sums of shape (R, 4, 3), int64 and contiguous");
  STD_TORCH_CHECK(extremes.dim() == 2 && extremes.size(0) == counts.size(0) && extremes.size(1) == 2 && extremes.scalar_type() == ScalarType::Double && extremes.is_contiguous(),
                  "spectral_kernels::sketch: expected extremes of shape (R, 2), float64 and contiguous");
  return {static_cast<int64_t*>(counts.mutable_data_ptr()), static_cast<int64_t*>(sums.mutable_data_ptr()), static_cast<double*>(extremes.mutable_data_ptr())};
}

sk::SketchTables tables_of(const Tensor& edges, const Tensor& directions, const Tensor& rings, ScalarType edge) {
  STD_TORCH_CHECK(edges.numel() == sk::axis_bins - 1 && edges.scalar_type() == edge && edges.is_contiguous() && directions.numel() == 2 * sk::directions &&
                      directions.scalar_type() == ScalarType::Double && directions.is_contiguous() && rings.numel() == sk::axis_bins && rings.scalar_type() == ScalarType::Long &&
                      rings.is_contiguous(),
                  "spectral_kernels::sketch: expected the tables of spectral_kernels.reference.sketch");
  return {edges.const_data_ptr(), static_cast<const double*>(directions.const_data_ptr()), static_cast<const int64_t*>(rings.const_data_ptr())};
}

const int64_t* integers(const Tensor& t, int64_t length, const char* name) {
  STD_TORCH_CHECK(t.dim() == 1 && t.size(0) == length && t.scalar_type() == ScalarType::Long && t.is_contiguous(), "spectral_kernels::sketch: expected ", name, " of shape (", length,
                  "), int64 and contiguous");
  return static_cast<const int64_t*>(t.const_data_ptr());
}

// The positions of a tensor (G, ..., m).
struct Positions {
  sk::BroadcastShape shape;
  int64_t groups, per_group;

  explicit Positions(const Tensor& t) : groups(t.size(0)) {
    shape.add(t, 1);
    per_group = groups > 0 ? shape.count() / groups : 0;
  }
};

// `valid` (core 0) and `suspect` (core 1): booleans of the values' shape, or nothing.
sk::FlagsAt flags_of(const std::optional<Tensor>& t, const Tensor& like, const Positions& positions, int core, const char* name) {
  if (!t) return {nullptr, {}, 0};
  bool same = t->scalar_type() == ScalarType::Bool && t->dim() == like.dim() - 1 + core;
  for (int64_t d = 0; same && d < t->dim(); ++d) same = t->size(d) == like.size(d);
  STD_TORCH_CHECK(same, "spectral_kernels::sketch: expected ", name, " boolean and of the values' shape");
  return {static_cast<const bool*>(t->const_data_ptr()), sk::strides_of(*t, core, positions.shape), core ? t->stride(t->dim() - 1) : 0};
}

template <bool Complex, bool Log, class T>
cudaError_t run(const Tensor& values, const Positions& positions, const int64_t* rows, const int64_t* repeats, const sk::FlagsAt& valid, const sk::FlagsAt& suspect,
                const sk::SketchTables& tables, const sk::DeviceSketch& state, int64_t state_rows, cudaStream_t stream) {
  const int64_t last = values.dim() - 1;
  const sk::SketchInput<T> in{static_cast<const T*>(values.const_data_ptr()), sk::strides_of(values, 1, positions.shape), values.stride(last), positions.groups, positions.per_group,
                              values.size(last), rows, repeats, valid, suspect, state_rows, 0};
  return sk::sketch_values<Complex, Log, T>(in, tables, state, stream);
}

void sketch(Tensor counts, Tensor sums, Tensor extremes, const Tensor& rows, const Tensor& values, std::optional<Tensor> valid, std::optional<Tensor> suspect, const Tensor& repeats,
            const Tensor& edges, const Tensor& directions, const Tensor& rings, bool log) {
  const sk::DeviceSketch state = state_of(counts, sums, extremes);
  STD_TORCH_CHECK(values.dim() >= 2, "spectral_kernels::sketch: expected values of shape (G, ..., m)");
  const Positions positions(values);
  const int64_t *of_group = integers(rows, positions.groups, "rows"), *times = integers(repeats, values.size(values.dim() - 1), "repeats");
  const sk::FlagsAt ok = flags_of(valid, values, positions, 0, "valid"), marks = flags_of(suspect, values, positions, 1, "suspect");
  const ScalarType dtype = values.scalar_type();
  const bool single = dtype == ScalarType::Float || dtype == ScalarType::ComplexFloat;
  const bool complex = dtype == ScalarType::ComplexFloat || dtype == ScalarType::ComplexDouble;
  STD_TORCH_CHECK(single || complex || dtype == ScalarType::Double, "spectral_kernels::sketch: expected float32, float64, complex64 or complex128");
  const sk::SketchTables tables = tables_of(edges, directions, rings, complex && !log ? ScalarType::Double : single ? ScalarType::Float : ScalarType::Double);
  if (values.numel() == 0) return;
  auto go = single ? (complex ? (log ? run<true, true, float> : run<true, false, float>) : (log ? run<false, true, float> : run<false, false, float>))
                   : (complex ? (log ? run<true, true, double> : run<true, false, double>) : (log ? run<false, true, double> : run<false, false, double>));
  sk::run_on_device("sketch", values, [&](cudaStream_t stream) { return go(values, positions, of_group, times, ok, marks, tables, state, counts.size(0), stream); });
}

template <class T>
cudaError_t hold(const Tensor& delta, const Tensor& rate, const Positions& positions, const int64_t* rows, const sk::FlagsAt& valid, int64_t repeat, const sk::SketchTables& tables,
                 const sk::DeviceSketch& state, int64_t state_rows, cudaStream_t stream) {
  const int64_t last = delta.dim() - 1, step = delta.size(last) == 1 ? 0 : delta.stride(last);
  const sk::HoldInput<T> in{static_cast<const T*>(delta.const_data_ptr()), sk::strides_of(delta, 1, positions.shape), step, static_cast<const T*>(rate.const_data_ptr()), rate.stride(0),
                            rate.stride(1), positions.groups, positions.per_group, rate.size(0), rate.size(1), repeat, rows, valid, state_rows, 0};
  return sk::sketch_zero_order_hold<T>(in, tables, state, stream);
}

void zero_order_hold(Tensor counts, Tensor sums, Tensor extremes, const Tensor& rows, const Tensor& delta, const Tensor& rate, std::optional<Tensor> valid, int64_t repeat,
                     const Tensor& edges, const Tensor& directions, const Tensor& rings) {
  const sk::DeviceSketch state = state_of(counts, sums, extremes);
  STD_TORCH_CHECK(delta.dim() >= 2 && rate.dim() == 2 && (delta.size(delta.dim() - 1) == 1 || delta.size(delta.dim() - 1) == rate.size(0)),
                  "spectral_kernels::sketch_zero_order_hold: expected delta of shape (G, ..., D) and rate of shape (D, N)");
  const ScalarType dtype = delta.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && rate.scalar_type() == dtype,
                  "spectral_kernels::sketch_zero_order_hold: expected float32 or float64, the same for delta and rate");
  const Positions positions(delta);
  const int64_t* of_group = integers(rows, positions.groups, "rows");
  const sk::FlagsAt ok = flags_of(valid, delta, positions, 0, "valid");
  const sk::SketchTables tables = tables_of(edges, directions, rings, dtype);
  if (delta.numel() == 0 || rate.numel() == 0 || repeat <= 0) return;
  auto go = dtype == ScalarType::Float ? hold<float> : hold<double>;
  sk::run_on_device("sketch_zero_order_hold", delta, [&](cudaStream_t stream) { return go(delta, rate, positions, of_group, ok, repeat, tables, state, counts.size(0), stream); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CUDA, m) {
  m.impl("sketch", TORCH_BOX(&sketch));
  m.impl("sketch_zero_order_hold", TORCH_BOX(&zero_order_hold));
}
