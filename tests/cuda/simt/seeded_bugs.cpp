// Each kernel has a bug that `bug` switches on; without it, it is right.  The emulation must name the line marked with the kernel's name.
#include "cuda/simt.h"

constexpr unsigned all = 0xffffffffu;

// Races, for TSan.

__global__ void missing_syncwarp(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int lane = threadIdx.x;
  s[lane] = lane;
  if (!bug) __syncwarp();
  out[lane] = s[lane ^ 1];  // missing_syncwarp
}

// Every lane has met every other at the shuffle; memory is not ordered by it.
__global__ void shuffle_as_fence(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int lane = threadIdx.x;
  s[lane] = __shfl_xor_sync(all, double(lane), 1);
  const double top = __shfl_sync(all, s[lane], 31);
  if (!bug) __syncwarp();
  out[lane] = s[31 - lane] + top;  // shuffle_as_fence
}

// The warps of two teams: synchronised within each, not with the other.
__global__ void sync_of_half(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int lane = threadIdx.x;
  s[lane] = lane;
  __syncwarp(bug ? (lane < 16 ? 0xffffu : 0xffff0000u) : all);
  out[lane] = s[31 - lane];  // sync_of_half
}

__global__ void missing_syncthreads(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int i = threadIdx.x;
  s[i] = i;
  __syncwarp();
  if (!bug) __syncthreads();
  out[i] = s[blockDim.x - 1 - i];  // missing_syncthreads
}

// Read after the barrier, written again without one: the second barrier of a loop.
__global__ void missing_second_barrier(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int i = threadIdx.x;
  double sum = 0;
  for (int round = 0; round < 2; ++round) {
    s[i] = i + round;  // missing_second_barrier
    __syncthreads();
    sum += s[(i + 33) % blockDim.x];
    if (!bug) __syncthreads();
  }
  out[i] = sum;
}

__global__ void global_race(double* out, int bug) {
  if (bug)
    out[0] += threadIdx.x;  // global_race
  else
    atomicAdd(out, double(threadIdx.x));
}

__global__ void race_of_blocks(double* out, int bug) {
  if (threadIdx.x == 0) out[bug ? 0 : blockIdx.x] = blockIdx.x;  // race_of_blocks
}

// Memory, for ASan.

__global__ void overrun_of_shared(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  const int i = threadIdx.x;
  s[i] = i;
  __syncthreads();
  out[i] = s[i + (bug ? 1 : 0)];  // overrun_of_shared
}

__global__ void overrun_of_registers(double* out, int bug) {
  double a[4];
  for (int i = 0; i < 4 + bug; ++i) a[i] = i + double(threadIdx.x);  // overrun_of_registers
  __syncwarp();
  out[threadIdx.x] = a[threadIdx.x % 4];
}

__global__ void shift_too_far(double* out, int bug) { out[threadIdx.x] = 1 << (bug ? threadIdx.x + 1 : threadIdx.x / 2); }  // shift_too_far

// Rules of the warp and the block, for the emulation itself.

__global__ void mask_lacks_caller(double* out, int bug) {
  out[threadIdx.x] = __shfl_sync(bug ? 0x7fffffffu : all, double(threadIdx.x), 0);  // mask_lacks_caller
}

__global__ void mask_names_exited(double* out, int bug) {
  if (bug && threadIdx.x == 7) return;
  out[threadIdx.x] = __any_sync(all, threadIdx.x == 3);  // mask_names_exited
}

__global__ void mask_names_nobody(double* out, int bug) {
  out[threadIdx.x] = __ballot_sync(bug ? all : 0xfffffu, 1);  // mask_names_nobody
}

__global__ void divergent_shuffle(double* out, int bug) {
  double x = threadIdx.x;
  if (bug && threadIdx.x < 16)
    x = __shfl_xor_sync(all, x, 1);
  else
    x = __shfl_xor_sync(all, x, 2);  // divergent_shuffle
  out[threadIdx.x] = x;
}

__global__ void inactive_source(double* out, int bug) {
  double x = threadIdx.x;
  if (threadIdx.x < 16) x = __shfl_sync(0xffffu, x, bug ? 16 : 15);  // inactive_source
  out[threadIdx.x] = x;
}

__global__ void crossed_masks(double* out, int bug) {
  const unsigned lane = threadIdx.x;
  if (lane < 16)
    __syncwarp(bug ? 0x1ffffu : 0xffffu);
  else
    __syncwarp(bug ? 0xffff8000u : 0xffff0000u);  // crossed_masks
  out[lane] = lane;
}

__global__ void width_of_three(double* out, int bug) {
  out[threadIdx.x] = __shfl_sync(all, double(threadIdx.x), 0, bug ? 3 : 4);  // width_of_three
}

__global__ void barrier_in_branch(double* out, int bug) {
  if (bug && threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();  // barrier_in_branch
  out[threadIdx.x] = threadIdx.x;
}

__global__ void barrier_after_exit(double* out, int bug) {
  if (bug && threadIdx.x == 5) return;
  __syncthreads();  // barrier_after_exit
  out[threadIdx.x] = threadIdx.x;
}

// The barrier waits for lane 0, which waits for its warp.
__global__ void deadlock(double* out, int bug) {
  if (bug && threadIdx.x % 32 == 0)
    __syncwarp();
  else if (bug)
    __syncthreads();  // deadlock
  out[threadIdx.x] = threadIdx.x;
}

// Shared memory starts as NaN.
__global__ void unset_read(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  if (!bug || threadIdx.x != 9) s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}

// What lane 0 finds depends on who came first.
__global__ void order_of_lanes(double* out, int bug) {
  SK_DYNAMIC_SHARED(double, s);
  s[threadIdx.x] = 1;
  if (!bug) __syncwarp();
  double sum = 0;
  for (int i = 0; i < 32; ++i) sum += s[i] == 1;
  out[threadIdx.x] = sum;
}

#define RUN(kernel, grid, threads) \
  extern "C" void run_##kernel(double* out, int bug) { SK_LAUNCH(kernel, grid, threads, threads * sizeof(double), nullptr, out, bug); }
RUN(missing_syncwarp, 1, 32)
RUN(shuffle_as_fence, 1, 32)
RUN(sync_of_half, 1, 32)
RUN(missing_syncthreads, 1, 64)
RUN(missing_second_barrier, 1, 64)
RUN(global_race, 1, 64)
RUN(race_of_blocks, 3, 32)
RUN(overrun_of_shared, 2, 64)
RUN(overrun_of_registers, 1, 32)
RUN(shift_too_far, 1, 32)
RUN(mask_lacks_caller, 1, 32)
RUN(mask_names_exited, 1, 32)
RUN(mask_names_nobody, 1, 20)
RUN(divergent_shuffle, 1, 32)
RUN(inactive_source, 1, 32)
RUN(crossed_masks, 1, 32)
RUN(width_of_three, 1, 32)
RUN(barrier_in_branch, 1, 64)
RUN(barrier_after_exit, 1, 64)
RUN(deadlock, 1, 64)
RUN(unset_read, 1, 64)
RUN(order_of_lanes, 1, 32)

extern "C" void launch_with(double* out, int grid, int threads, long bytes, long opt_in) {
  cudaFuncSetAttribute(unset_read, cudaFuncAttributeMaxDynamicSharedMemorySize, int(opt_in));
  SK_LAUNCH(unset_read, grid, threads, bytes, nullptr, out, 0);
}
