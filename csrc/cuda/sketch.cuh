// The sketch of eigenvalues on a GPU: a block has the counts of one group in shared memory, its threads their sums in registers; integers and
// extremes go to the state by atomics, in any order with the same result.
#pragma once
#include "sketch.h"

namespace sk {

__device__ __forceinline__ void atomic_add(int64_t* target, int64_t x) { atomicAdd(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(x)); }

// Moduli are not negative, so that doubles compare as their bits do, and -inf is below all.
__device__ __forceinline__ void atomic_least(double* target, double x) { atomicMin(reinterpret_cast<long long*>(target), __double_as_longlong(x)); }
__device__ __forceinline__ void atomic_most(double* target, double x) { atomicMax(reinterpret_cast<long long*>(target), __double_as_longlong(x)); }

// What add_value counts in: one thread's share of the sketch of a block.  Histograms hold 32 bits; what goes beyond is carried to the state.
// Phases and tallies, where all threads would meet, are counted by each thread for itself.
struct BlockSketch {
  unsigned* histogram;  // of the block: axis_bins, rings * sectors
  int64_t* row;         // of the state's counts
  int64_t phases[phase_bins] = {}, tally[tallies] = {};
  Sums sums;
  double smallest = __builtin_inf(), largest = -__builtin_inf();

  static constexpr int cells = axis_bins + rings * sectors;
  static constexpr int shared_bytes = cells * int(sizeof(unsigned));

  __device__ BlockSketch(unsigned* histogram, int64_t* row) : histogram(histogram), row(row) {}
  __device__ static int column(int cell) { return cell < axis_bins ? cell : cell - axis_bins + plane_at; }

  __device__ __forceinline__ void count_cell(int cell, int64_t times) const {
    const unsigned low = unsigned(times);
    int64_t carry = times - int64_t(low);
    const unsigned before = atomicAdd(histogram + cell, low);
    if (before + low < before) carry += int64_t(1) << 32;
    if (carry != 0) atomic_add(row + column(cell), carry);
  }
  __device__ __forceinline__ void count_bin(int bin, int64_t cell, int64_t times) const {
    count_cell(bin, times);
    count_cell(axis_bins + int(cell), times);
  }
  __device__ __forceinline__ void count_phase(int phase, int64_t times) {
#pragma unroll
    for (int q = 0; q < phase_bins; ++q) phases[q] += q == phase ? times : 0;
  }
  __device__ __forceinline__ void count_tally(Tally which, int64_t times) {
#pragma unroll
    for (int q = 0; q < tallies; ++q) tally[q] += q == which ? times : 0;
  }
  __device__ __forceinline__ void add(const Sums& terms, double modulus, int64_t times) {
    sums.add(terms, times);
    smallest = modulus < smallest ? modulus : smallest;
    largest = modulus > largest ? modulus : largest;
  }
};

// Sums over a warp; the limbs of 32 numbers stay far below 64 bits.
__device__ __forceinline__ int64_t warp_sum(int64_t x) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(0xffffffffu, static_cast<long long>(x), d);
  return x;
}

// Adds the block's share to row `row` of the state.  All threads of the block call it.
__device__ inline void flush(const BlockSketch& part, const DeviceSketch& state, int64_t row) {
  const int lane = int(threadIdx.x) % 32;
  const bool first = lane == 0;
#pragma unroll
  for (int q = 0; q < phase_bins + tallies; ++q) {
    const int64_t total = warp_sum(q < phase_bins ? part.phases[q < phase_bins ? q : 0] : part.tally[q < phase_bins ? 0 : q - phase_bins]);
    if (first && total) atomic_add(state.counts + row * columns + (q < phase_bins ? phase_at + q : tally_at + q - phase_bins), total);
  }
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    const Fixed x = part.sums.of[s];
    const int64_t low = warp_sum(int64_t(x & 0xffffffff)), middle = warp_sum(int64_t(x >> 32 & 0xffffffff)), high = warp_sum(int64_t(x >> 64));
    int64_t* limb = state.sums + (row * 4 + s) * 3;
    if (first && (low | middle | high)) {  // carried, so that the state's limbs have room for 2^31 of them
      const int64_t carried = middle + (low >> 32);
      atomic_add(limb + 2, low & 0xffffffff);
      atomic_add(limb + 1, carried & 0xffffffff);
      atomic_add(limb, high + (carried >> 32));
    }
  }
  double least = part.smallest, most = part.largest;
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    const double a = __shfl_xor_sync(0xffffffffu, least, d), b = __shfl_xor_sync(0xffffffffu, most, d);
    least = a < least ? a : least, most = b > most ? b : most;
  }
  if (first && least <= most) atomic_least(state.extremes + 2 * row, least), atomic_most(state.extremes + 2 * row + 1, most);
  __syncthreads();
  for (int cell = int(threadIdx.x); cell < BlockSketch::cells; cell += int(blockDim.x))
    if (const unsigned count = part.histogram[cell]) atomic_add(state.counts + row * columns + BlockSketch::column(cell), count);
  __syncthreads();
}

constexpr int sketch_threads = 256;

// Unit u of work: chunk u % chunks of group u / chunks.
template <bool Complex, bool Log, class T>
__global__ void __launch_bounds__(sketch_threads, 2) sketch_kernel(SketchInput<T> in, SketchTables tables, DeviceSketch state) {
  SK_DYNAMIC_SHARED(unsigned, histogram);
  constexpr int parts = Complex ? 2 : 1;
  const int64_t length = in.positions * in.m, chunks = (length + in.chunk - 1) / in.chunk;
  for (int64_t unit = blockIdx.x; unit < in.groups * chunks; unit += gridDim.x) {
    const int64_t group = unit / chunks, begin = unit % chunks * in.chunk, end = begin + in.chunk < length ? begin + in.chunk : length;
    const int64_t row = in.rows[group];
    if (row < 0 || row >= in.state_rows) continue;  // the same for all of the block: nowhere to count
    for (int cell = int(threadIdx.x); cell < BlockSketch::cells; cell += int(blockDim.x)) histogram[cell] = 0;
    __syncthreads();
    BlockSketch part(histogram, state.counts + row * columns);
    for (int64_t e = begin + threadIdx.x; e < end; e += blockDim.x) {
      const int64_t position = e / in.m, j = e - position * in.m, index = group * in.positions + position;
      if (in.repeats[j] <= 0 || (in.valid.data && !in.valid.data[in.valid.at.offset(index)])) continue;
      const bool marked = in.suspect.data && in.suspect.data[in.suspect.at.offset(index) + j * in.suspect.core];
      const T* p = in.values + parts * (in.at.offset(index) + j * in.core);
      const T value[2] = {p[0], Complex ? p[parts - 1] : T(0)};
      add_value<Complex, Log>(part, value, in.repeats[j], marked, tables);
    }
    flush(part, state, row);
  }
}

// Whether all factors of a position are finite, by one block.
template <class T>
__device__ bool all_finite(const HoldInput<T>& in, const T* delta, bool rates) {
  bool bad = !rates;
  for (int64_t d = threadIdx.x; d < (in.step == 0 ? 1 : in.channels); d += blockDim.x) bad |= !(fabs(double(delta[d * in.step])) < __builtin_inf());
  return __syncthreads_or(bad) == 0;
}

// Unit u of work: chunk u % chunks, of `chunk` positions, of group u / chunks.
template <class T>
__global__ void __launch_bounds__(sketch_threads, 2) sketch_zero_order_hold_kernel(HoldInput<T> in, SketchTables tables, DeviceSketch state) {
  SK_DYNAMIC_SHARED(unsigned, histogram);
  bool bad = false;
  for (int64_t e = threadIdx.x; e < in.channels * in.n; e += blockDim.x)
    bad |= !(fabs(double(in.rate[e / in.n * in.rate_channel + e % in.n * in.rate_entry])) < __builtin_inf());
  const bool rates = __syncthreads_or(bad) == 0;
  const int64_t chunks = (in.positions + in.chunk - 1) / in.chunk;
  for (int64_t unit = blockIdx.x; unit < in.groups * chunks; unit += gridDim.x) {
    const int64_t group = unit / chunks, begin = unit % chunks * in.chunk, end = begin + in.chunk < in.positions ? begin + in.chunk : in.positions;
    const int64_t row = in.rows[group];
    if (row < 0 || row >= in.state_rows) continue;
    for (int cell = int(threadIdx.x); cell < BlockSketch::cells; cell += int(blockDim.x)) histogram[cell] = 0;
    __syncthreads();
    BlockSketch part(histogram, state.counts + row * columns);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t index = group * in.positions + i;
      if (in.valid.data && !in.valid.data[in.valid.at.offset(index)]) continue;
      const T* delta = in.delta + in.at.offset(index);
      if (!all_finite(in, delta, rates)) {
        if (threadIdx.x == 0) part.count_tally(nonfinite_tally, in.channels * in.n * in.repeat);
        continue;
      }
      for (int64_t e = threadIdx.x; e < in.channels * in.n; e += blockDim.x) {
        const int64_t d = e / in.n, j = e - d * in.n;
        const T log = delta[d * in.step] * in.rate[d * in.rate_channel + j * in.rate_entry];
        add_value<false, true>(part, &log, in.repeat, false, tables);
      }
    }
    flush(part, state, row);
  }
}

// Carries the limbs of the sums: the two lower ones come to [0, 2^32).
__global__ inline void normalise_sums_kernel(int64_t* sums, int64_t count) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
    int64_t* limb = sums + 3 * i;
    for (int j = 2; j > 0; --j) {
      limb[j - 1] += limb[j] >> 32;
      limb[j] &= 0xffffffff;
    }
  }
}

}  // namespace sk
