// How a kernel is run from a test: row sums, a warp per row.
#include "cuda/simt.h"

__global__ void row_sum(const double* x, double* y, int rows, int columns) {
  SK_DYNAMIC_SHARED(double, partial);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double sum = 0;
  const int row = blockIdx.x * (blockDim.x / 32) + warp;
  if (row < rows)
    for (int j = lane; j < columns; j += 32) sum += x[row * columns + j];
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int w = 0; w < int(blockDim.x) / 32; ++w)
      if (int(blockIdx.x * (blockDim.x / 32)) + w < rows) y[blockIdx.x * (blockDim.x / 32) + w] = partial[w];
}

extern "C" void row_sum_f64(const double* x, double* y, int rows, int columns) { SK_LAUNCH(row_sum, (rows + 3) / 4, 128, 4 * sizeof(double), nullptr, x, y, rows, columns); }
