// spectral_kernels::sketch on CPU tensors: eigenvalues, or their logarithms, one after another.
#include "sketch_value.h"

namespace {

using sk::PartialSketch, sk::Positions, sk::ScalarType, sk::Tables, sk::Tensor;

constexpr int64_t block_values = 16384;  // eigenvalues that a thread takes at a time

template <bool Complex, bool Log, class T>
struct Visitor {
  const T* values;
  const Positions& layout;
  const sk::Flags &valid, &suspect;
  const Tables& tables;
  const int64_t* repeats;
  int64_t m;

  void operator()(PartialSketch& part, int64_t group, int64_t begin, int64_t end) const {
    constexpr int64_t parts = Complex ? 2 : 1;
    const size_t last = layout.sizes.size() - 1;
    for (int64_t i = begin; i < end;) {  // runs along the last axis of the positions
      const int64_t run = last == 0 ? 1 : std::min(end - i, layout.sizes[last] - i % layout.sizes[last]);
      const T* p = values + parts * layout.offset(group, i);
      const bool* ok = valid.data ? valid.data + valid.layout.offset(group, i) : nullptr;
      const bool* mark = suspect.data ? suspect.data + suspect.layout.offset(group, i) : nullptr;
      for (int64_t r = 0; r < run; ++r) {
        if (!ok || *ok)
          for (int64_t j = 0; j < m; ++j)
            if (repeats[j] > 0)
              sk::add_value<Complex, Log>(part, p + parts * j * layout.core, repeats[j], mark && mark[j * suspect.layout.core], tables);
        p += parts * layout.strides[last];
        if (ok) ok += valid.layout.strides[last];
        if (mark) mark += suspect.layout.strides[last];
      }
      i += run;
    }
  }

  void flush(PartialSketch&) {}
};

template <bool Complex, bool Log, class T>
void run(sk::SketchState& state, const Tensor& values, const Positions& layout, const int64_t* rows, const sk::Flags& valid, const sk::Flags& suspect,
         const Tables& tables, const int64_t* repeats, int64_t m) {
  const T* data = static_cast<const T*>(values.const_data_ptr());
  const int64_t block = std::max<int64_t>(1, block_values / m);
  sk::sketch_blocks(state, rows, layout.groups(), layout.per_group(), block, 1,
                    [&] { return Visitor<Complex, Log, T>{data, layout, valid, suspect, tables, repeats, m}; });
}

void sketch(Tensor counts, Tensor sums, Tensor extremes, const Tensor& rows, const Tensor& values, std::optional<Tensor> valid,
            std::optional<Tensor> suspect, const Tensor& repeats, const Tensor& edges, const Tensor& directions, const Tensor& rings, bool log) {
  sk::SketchState state(counts, sums, extremes);
  STD_TORCH_CHECK(values.dim() >= 2, "spectral_kernels::sketch: expected values of shape (G, ..., m)");
  const Positions layout(values, true);
  const int64_t m = values.size(values.dim() - 1);
  sk::check_rows(rows, counts, layout.groups());
  const sk::Flags ok(valid, layout, -1, "valid"), marks(suspect, layout, m, "suspect");
  const ScalarType dtype = values.scalar_type();
  const bool single = dtype == ScalarType::Float || dtype == ScalarType::ComplexFloat;
  const bool complex = dtype == ScalarType::ComplexFloat || dtype == ScalarType::ComplexDouble;
  STD_TORCH_CHECK(single || complex || dtype == ScalarType::Double, "spectral_kernels::sketch: expected float32, float64, complex64 or complex128");
  STD_TORCH_CHECK(repeats.dim() == 1 && repeats.size(0) == m && repeats.scalar_type() == ScalarType::Long && repeats.is_contiguous(),
                  "spectral_kernels::sketch: expected repeats of shape (", m, "), int64 and contiguous");
  const Tables tables(edges, directions, rings, complex && !log ? ScalarType::Double : single ? ScalarType::Float : ScalarType::Double);
  if (values.numel() == 0) return;
  auto go = single ? (complex ? (log ? run<true, true, float> : run<true, false, float>) : (log ? run<false, true, float> : run<false, false, float>))
                   : (complex ? (log ? run<true, true, double> : run<true, false, double>) : (log ? run<false, true, double> : run<false, false, double>));
  go(state, values, layout, static_cast<const int64_t*>(rows.const_data_ptr()), ok, marks, tables, static_cast<const int64_t*>(repeats.const_data_ptr()), m);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("sketch", TORCH_BOX(&sketch)); }
