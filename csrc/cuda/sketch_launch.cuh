// Grids of the sketch kernels.
#pragma once
#include <algorithm>

#include "sketch.cuh"

namespace sk {

// Blocks that run at once, two on a multiprocessor, and the length of the pieces that they take: four each, if they are long enough to pay for
// the emptying of a histogram.
struct SketchGrid {
  int blocks;
  int64_t chunk;

  cudaError_t choose(int64_t groups, int64_t length, int64_t least) {
    int device = 0, processors = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    const int64_t resident = 2 * int64_t(processors), pieces = std::max<int64_t>(1, 4 * resident / groups);
    chunk = std::max(least, (length + pieces - 1) / pieces);
    blocks = int(std::min(resident, groups * ((length + chunk - 1) / chunk)));
    return error;
  }
};

inline cudaError_t normalise_sums(const DeviceSketch& state, int64_t rows, cudaStream_t stream) {
  SK_LAUNCH(normalise_sums_kernel, unsigned(std::min<int64_t>((4 * rows + 255) / 256, 1024)), 256, 0, stream, state.sums, 4 * rows);
  return cudaGetLastError();
}

template <bool Complex, bool Log, class T>
cudaError_t launch_sketch(SketchInput<T> in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream) {
  if (in.groups == 0 || in.positions == 0 || in.m == 0) return cudaSuccess;
  SketchGrid grid;
  const cudaError_t error = grid.choose(in.groups, in.positions * in.m, 4096);
  if (error != cudaSuccess) return error;
  in.chunk = grid.chunk;
  SK_LAUNCH((sketch_kernel<Complex, Log, T>), grid.blocks, sketch_threads, BlockSketch::shared_bytes, stream, in, tables, state);
  const cudaError_t launched = cudaGetLastError();
  return launched == cudaSuccess ? normalise_sums(state, in.state_rows, stream) : launched;
}

template <class T>
cudaError_t launch_zero_order_hold(HoldInput<T> in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream) {
  const int64_t each = in.channels * in.n;
  if (in.groups == 0 || in.positions == 0 || each == 0 || in.repeat <= 0) return cudaSuccess;
  SketchGrid grid;
  const cudaError_t error = grid.choose(in.groups, in.positions, std::max<int64_t>(1, 4096 / each));
  if (error != cudaSuccess) return error;
  in.chunk = grid.chunk;
  SK_LAUNCH(sketch_zero_order_hold_kernel<T>, grid.blocks, sketch_threads, BlockSketch::shared_bytes, stream, in, tables, state);
  const cudaError_t launched = cudaGetLastError();
  return launched == cudaSuccess ? normalise_sums(state, in.state_rows, stream) : launched;
}

}  // namespace sk
