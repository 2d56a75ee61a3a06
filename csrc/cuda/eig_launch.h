// From a source and a sink to the kernel that `tuning.h` chooses.  Nothing here waits for the device.
#pragma once
#include "eig.h"
#include "launch.h"
#include "team_eig.cuh"
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

// Workspace for every matrix that is in flight; null where none is needed.
template <class T>
T* team_workspace(const Tuning& t, int blocks, const Allocate& allocate) {
  return t.workspace_reals ? static_cast<T*>(allocate(t.workspace_reals * t.matrices * blocks * int64_t(sizeof(T)))) : nullptr;
}

template <class Team, Placement P, class Source, class Sink>
cudaError_t launch_team_eig(const EigProblem& p, const Tuning& t, const Device& device, const Source& source, const Sink& sink, cudaStream_t stream, const Allocate& allocate) {
  const auto kernel = team_eig<Team, P, Source, Sink>;
  int blocks;
  const cudaError_t error = persistent_grid(kernel, t, p.batch, device, blocks);
  if (error != cudaSuccess) return error;
  auto* workspace = team_workspace<typename Source::real>(t, blocks, allocate);
  SK_LAUNCH(kernel, blocks, t.threads, t.shared_bytes, stream, source, sink, p.batch, p.n, p.balance, workspace);
  return cudaGetLastError();
}

template <class Source, class Sink>
cudaError_t launch_block_eig(const EigProblem& p, const Tuning& t, const Device& device, const Source& source, const Sink& sink, cudaStream_t stream, const Allocate& allocate) {
  switch (t.placement) {
    case Placement::shared:
      return launch_team_eig<BlockTeam, Placement::shared>(p, t, device, source, sink, stream, allocate);
    case Placement::z_global:
      if constexpr (Sink::vectors) return launch_team_eig<BlockTeam, Placement::z_global>(p, t, device, source, sink, stream, allocate);
      break;
    case Placement::global:  // float32 fits everywhere: 66 KiB at n = 128
      if constexpr (sizeof(typename Source::entry) > sizeof(float)) return launch_team_eig<BlockTeam, Placement::global>(p, t, device, source, sink, stream, allocate);
  }
  return cudaErrorInvalidConfiguration;
}

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
      if (t.team == 8) return launch_team_eig<WarpTeam<8>, Placement::shared>(p, t, device, source, sink, stream, allocate);
      return launch_team_eig<WarpTeam<32>, Placement::shared>(p, t, device, source, sink, stream, allocate);
    case Mapping::block:
      return launch_block_eig(p, t, device, source, sink, stream, allocate);
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
