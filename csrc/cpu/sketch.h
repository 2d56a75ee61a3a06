// What the sketch ops share: a partial sketch for one thread, the state it is added to, and the order of the work.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "../core/sketch.h"
#include "pack.h"
#include "parallel.h"

namespace sk {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Counts and sums over one group.
struct PartialSketch {
  std::vector<int64_t> counts = std::vector<int64_t>(columns);
  Sums sums;
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;

  void count_bin(int bin, int64_t cell, int64_t times) { counts[bin] += times, counts[plane_at + cell] += times; }
  void count_phase(int phase, int64_t times) { counts[phase_at + phase] += times; }
  void count_tally(Tally tally, int64_t times) { counts[tally_at + tally] += times; }
  void add(const Sums& terms, double modulus, int64_t times) {
    sums.add(terms, times);
    smallest = std::min(smallest, modulus), largest = std::max(largest, modulus);
  }
};

// The rows of the three tensors; threads add to it one at a time.  Integers and extremes: their order does not matter.
class SketchState {
 public:
  SketchState(Tensor& counts, Tensor& sums, Tensor& extremes)
      : counts_(static_cast<int64_t*>(counts.mutable_data_ptr())), sums_(static_cast<int64_t*>(sums.mutable_data_ptr())),
        extremes_(static_cast<double*>(extremes.mutable_data_ptr())) {
    STD_TORCH_CHECK(counts.dim() == 2 && counts.size(1) == columns && counts.scalar_type() == ScalarType::Long && counts.is_contiguous(),
                    "spectral_kernels::sketch: expected counts of shape (R, ", int64_t(columns), "), int64 and contiguous");
    STD_TORCH_CHECK(sums.dim() == 3 && sums.size(0) == counts.size(0) && sums.size(1) == 4 && sums.size(2) == 3 &&
                        sums.scalar_type() == ScalarType::Long && sums.is_contiguous(),
                    "spectral_kernels::sketch: expected sums of shape (R, 4, 3), int64 and contiguous");
    STD_TORCH_CHECK(extremes.dim() == 2 && extremes.size(0) == counts.size(0) && extremes.size(1) == 2 &&
                        extremes.scalar_type() == ScalarType::Double && extremes.is_contiguous(),
                    "spectral_kernels::sketch: expected extremes of shape (R, 2), float64 and contiguous");
  }

  // Adds the partial sketch `times` times to a row, and empties it.
  void take(int64_t row, PartialSketch& part, int64_t times = 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    int64_t* counts = counts_ + row * columns;
    for (int i = 0; i < columns; ++i) counts[i] += times * part.counts[i];
    for (int i = 0; i < 4; ++i) {
      int64_t* limb = sums_ + (row * 4 + i) * 3;  // 32 bits each, the first with the sign
      Fixed carry = part.sums.of[i] * times;
      for (int j = 2; j > 0; --j) {
        carry += limb[j];
        limb[j] = int64_t(carry & 0xffffffff);
        carry >>= 32;
      }
      limb[0] += int64_t(carry);
    }
    double* extremes = extremes_ + 2 * row;
    extremes[0] = std::min(extremes[0], part.smallest);
    extremes[1] = std::max(extremes[1], part.largest);
    std::fill(part.counts.begin(), part.counts.end(), 0);
    part.sums = Sums();
    part.smallest = std::numeric_limits<double>::infinity(), part.largest = -part.smallest;
  }

 private:
  std::mutex mutex_;
  int64_t *counts_, *sums_;
  double* extremes_;
};

// A tensor (G, ..., m) by group and position, for any strides.
struct Positions {
  std::vector<int64_t> sizes, strides;  // of the axes in front of m, the groups' first
  int64_t core = 0;                     // stride of the last axis

  Positions() = default;
  Positions(const Tensor& t, bool has_core) {
    const auto n = t.sizes(), s = t.strides();
    const size_t dims = size_t(t.dim()) - has_core;
    sizes.assign(n.begin(), n.begin() + dims), strides.assign(s.begin(), s.begin() + dims);
    core = has_core ? s[dims] : 0;
  }
  int64_t groups() const { return sizes[0]; }
  int64_t per_group() const {
    int64_t count = 1;
    for (size_t d = 1; d < sizes.size(); ++d) count *= sizes[d];
    return count;
  }
  int64_t offset(int64_t group, int64_t position) const {
    return group * strides[0] + BatchLayout{sizes.data() + 1, strides.data() + 1, int(sizes.size()) - 1, 0, 0}.offset(position);
  }
};

// Calls visit(partial, group, begin, end) on blocks of the positions of every group; every thread has a partial sketch of its own, which goes
// into the state where the group changes.  make_visitor() makes what a thread needs besides; its flush(partial) is called before that.
template <class MakeVisitor>
void sketch_blocks(SketchState& state, const int64_t* rows, int64_t groups, int64_t positions, int64_t block, int64_t times, MakeVisitor&& make_visitor) {
  const int64_t blocks = (positions + block - 1) / block;
  for_each_chunk(groups * blocks, [&] {
    return [&, visit = make_visitor(), part = PartialSketch()](int64_t first, int64_t last) mutable {
      for (int64_t unit = first; unit < last; ++unit) {
        const int64_t group = unit / blocks, begin = unit % blocks * block;
        visit(part, group, begin, std::min(begin + block, positions));
        if (unit + 1 == last || (unit + 1) / blocks != group) {
          visit.flush(part);
          state.take(rows[group], part, times);
        }
      }
    };
  });
}

inline void check_rows(const Tensor& rows, const Tensor& counts, int64_t groups) {
  STD_TORCH_CHECK(rows.dim() == 1 && rows.size(0) == groups && rows.scalar_type() == ScalarType::Long && rows.is_contiguous(),
                  "spectral_kernels::sketch: expected rows of shape (", groups, "), int64 and contiguous");
  const auto* row = static_cast<const int64_t*>(rows.const_data_ptr());
  for (int64_t g = 0; g < groups; ++g)
    STD_TORCH_CHECK(row[g] >= 0 && row[g] < counts.size(0), "spectral_kernels::sketch: row ", row[g], " is outside the state's ", counts.size(0));
}

// `valid` and `suspect`: booleans of given sizes, or nothing.
struct Flags {
  const bool* data = nullptr;
  Positions layout;

  Flags(const std::optional<Tensor>& t, const Positions& like, int64_t m, const char* name) {
    if (!t) return;
    layout = Positions(*t, m >= 0);
    STD_TORCH_CHECK(t->scalar_type() == ScalarType::Bool && layout.sizes == like.sizes && (m < 0 || t->size(t->dim() - 1) == m),
                    "spectral_kernels::sketch: expected ", name, " boolean and of the values' shape");
    data = static_cast<const bool*>(t->const_data_ptr());
  }
};

}  // namespace sk
