// What kernels need of the compiler.  nvcc compiles them for a GPU; g++ -DSK_SIMT_EMULATION compiles the same source for
// tests/cuda/simt, which runs every CUDA thread on the CPU.
//
//   SK_DYNAMIC_SHARED(T, name)                                   T* name: the block's dynamic shared memory, 16-byte aligned; kernels use no other
//   SK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)    a template with commas in its arguments goes in parentheses
#pragma once

#if defined(SK_SIMT_EMULATION)
#include "simt_emulation.h"
#else
#include <cuda_runtime.h>

#define SK_DYNAMIC_SHARED(T, name)                              \
  extern __shared__ __align__(16) unsigned char sk_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(sk_dynamic_shared)
#define SK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) (kernel)<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#endif
