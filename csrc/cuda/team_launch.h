// From a tuning for teams to the kernel that it names.  A kernel per size of team and per place of the matrices: few, since they take a
// while to compile.
#pragma once
#include "launch.h"
#include "team_eig.cuh"

namespace sk {

// `allocate(bytes)` gives workspace on the device; it is called at most once.
template <class Team, Placement P, class Source, class Sink, class Allocate>
cudaError_t launch_team_kernel(int64_t batch, int n, bool balanced, const Tuning& t, const Device& device, const Source& source, const Sink& sink, cudaStream_t stream,
                               Allocate&& allocate) {
  using T = typename Source::real;
  const auto kernel = team_eig<Team, P, Source, Sink>;
  int blocks;
  const cudaError_t error = persistent_grid(kernel, t, batch, device, blocks);
  if (error != cudaSuccess) return error;
  T* workspace = t.workspace_bytes ? static_cast<T*>(allocate(t.workspace_bytes * blocks)) : nullptr;
  SK_LAUNCH(kernel, blocks, t.threads, t.shared_bytes, stream, source, sink, batch, n, balanced, workspace);
  return cudaGetLastError();
}

template <class Source, class Sink, class Allocate>
cudaError_t launch_team_eig(int64_t batch, int n, bool balanced, const Tuning& t, const Device& device, const Source& source, const Sink& sink, cudaStream_t stream,
                            Allocate&& allocate) {
  constexpr int components = components_v<typename Source::entry>, real_bytes = int(sizeof(typename Source::real));
  constexpr TeamSizes sizes = team_sizes(components, real_bytes, Sink::vectors);
  auto launch = [&](auto kernel) { return kernel(batch, n, balanced, t, device, source, sink, stream, allocate); };
  if (t.mapping == Mapping::team)
    return t.team == sizes.small ? launch(launch_team_kernel<WarpTeam<sizes.small>, Placement::shared, Source, Sink, Allocate&>)
                                 : launch(launch_team_kernel<WarpTeam<sizes.large>, Placement::shared, Source, Sink, Allocate&>);
  if constexpr (components * real_bytes == 16)  // the others fit
    if (t.placement == Placement::global) return launch(launch_team_kernel<BlockTeam, Placement::global, Source, Sink, Allocate&>);
  if (t.placement == Placement::global) return cudaErrorInvalidConfiguration;  // a GPU with less shared memory than sm_80: no such kernel
  return launch(launch_team_kernel<BlockTeam, Sink::vectors ? Placement::z_global : Placement::shared, Source, Sink, Allocate&>);
}

}  // namespace sk
