// From a source and a sink to the kernel that `tuning.h` chooses.  Nothing here waits for the device.
#pragma once
#include "team_launch.h"
#include "thread_launch.h"

namespace sk {

// Workspace is allocated, at most once, where matrices or vectors of them do not stand in shared memory.
template <class Source, class Sink>
cudaError_t launch_eig(const EigProblem& p, const Source& source, const Sink& sink, cudaStream_t stream, const Allocate& allocate) {
  constexpr int components = components_v<typename Source::entry>, real_bytes = int(sizeof(typename Source::real));
  if (p.batch == 0 || p.n == 0) return cudaSuccess;
  Device device;
  if (const cudaError_t error = device.query(); error != cudaSuccess) return error;
  const Tuning t = tune({p.n, components, real_bytes, Sink::vectors}, device.shared_limit);
  switch (t.mapping) {
    case Mapping::thread: {
      constexpr int first = smallest_thread_kernel(components), last = limits({0, components, real_bytes, Sink::vectors}).thread;
      return launch_thread_eig<first, last>(p, t, device, source, sink, stream);
    }
    case Mapping::team:
    case Mapping::block:
      return launch_team_eig(p.batch, p.n, p.balance, t, device, source, sink, stream, allocate);
    case Mapping::none:
      break;
  }
  return cudaErrorInvalidValue;
}

template <class E, bool Vectors>
cudaError_t eig_of_strided(const EigProblem& p, const StridedSource<E>& source, const TensorSink<lane_of<E>, Vectors>& sink, cudaStream_t stream, const Allocate& allocate) {
  return launch_eig(p, source, sink, stream, allocate);
}

}  // namespace sk
