// Sketches on the device: what the ops call, without the kernels (sketch_kernels.cu).
#pragma once
#include "../core/sketch_value.h"
#include "source.cuh"

namespace sk {

// The state.
struct DeviceSketch {
  int64_t* counts;   // (rows, columns)
  int64_t* sums;     // (rows, 4, 3): limbs of 32 bits, the first with the sign
  double* extremes;  // (rows, 2)
};

// Flags by position, or by eigenvalue; null: none given.
struct FlagsAt {
  const bool* data;
  BatchStrides at;  // of the positions of all groups
  int64_t core;     // stride of the last axis
};

// Eigenvalues (groups, positions, m), or their logarithms, in any strides.
template <class T>
struct SketchInput {
  const T* values;
  BatchStrides at;
  int64_t core, groups, positions, m;
  const int64_t *rows, *repeats;
  FlagsAt valid, suspect;
  int64_t state_rows, chunk;  // eigenvalues of a group that a block takes at a time
};

// The factors' own sketch: exp(delta_d rate_dn), delta (groups, positions, channels or 1), rate (channels, n).
template <class T>
struct HoldInput {
  const T* delta;
  BatchStrides at;
  int64_t step;  // from one channel's delta to the next one's; 0 where they share it
  const T* rate;
  int64_t rate_channel, rate_entry;  // strides
  int64_t groups, positions, channels, n, repeat;
  const int64_t* rows;
  FlagsAt valid;
  int64_t state_rows, chunk;
};

template <bool Complex, bool Log, class T>
cudaError_t sketch_values(const SketchInput<T>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream);
template <class T>
cudaError_t sketch_zero_order_hold(const HoldInput<T>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream);

}  // namespace sk
