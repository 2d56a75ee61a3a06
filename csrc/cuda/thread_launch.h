// From a source and a sink to the thread kernel of a size.  Nothing here waits for the device.
#pragma once
#include "eig.h"
#include "launch.h"
#include "thread_eig.cuh"

namespace sk {

// One size of the thread kernel serves real matrices of n = 1 and 2.
constexpr int smallest_thread_kernel(int components) { return components == 1 ? 2 : 1; }

// The thread kernel of size n, among N and those after it.
template <int N, int Last, class Source, class Sink>
cudaError_t launch_thread_eig(const EigProblem& p, const Tuning& t, const Device& device, const Source& source, const Sink& sink, cudaStream_t stream) {
  if constexpr (N < Last)
    if (p.n > N) return launch_thread_eig<N + 1, Last>(p, t, device, source, sink, stream);
  const auto kernel = thread_eig_kernel<N, Source, Sink>;
  int blocks;
  const cudaError_t error = persistent_grid(kernel, t, p.batch, device, blocks);
  if (error != cudaSuccess) return error;
  SK_LAUNCH(kernel, blocks, t.threads, t.shared_bytes, stream, p.batch, p.n, p.balance, source, sink);
  return cudaGetLastError();
}

}  // namespace sk
