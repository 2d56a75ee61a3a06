// From a size to a kernel of the symmetric solver, and its grid.
#pragma once
#include <type_traits>
#include <utility>

#include "eigh.h"
#include "launch.h"
#include "team_eigh.cuh"
#include "thread_eigh.cuh"

namespace sk {

template <class E, class Team, bool Vectors>
cudaError_t eigh_on_teams(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, const EighTuning& tuning, cudaStream_t stream) {
  auto* kernel = eigh_team_kernel<E, Team, Vectors>;
  EighTuning with_team = tuning;
  with_team.shared_bytes += Team::shared_bytes;
  Device device;
  int blocks = 0;
  cudaError_t error = device.query();
  if (error == cudaSuccess) error = persistent_grid(kernel, with_team, batch, device, blocks);
  if (error != cudaSuccess) return error;
  SK_LAUNCH(kernel, blocks, tuning.threads, with_team.shared_bytes, stream, source, batch, n, out);
  return cudaGetLastError();
}

template <class E, int N, bool Vectors>
cudaError_t eigh_in_registers(const TriangleSource<E>& source, int64_t batch, const SymmetricOutputs<E>& out, const EighTuning& tuning, cudaStream_t stream) {
  auto* kernel = eigh_thread_kernel<E, N, Vectors>;
  Device device;
  int blocks = 0;
  cudaError_t error = device.query();
  if (error == cudaSuccess) error = persistent_grid(kernel, tuning, batch, device, blocks);
  if (error != cudaSuccess) return error;
  SK_LAUNCH(kernel, blocks, tuning.threads, tuning.shared_bytes, stream, source, batch, out);
  return cudaGetLastError();
}

// The kernel in registers of size n, n = 1 ... the limit of the table.
template <class E, bool Vectors, int... Less>
cudaError_t eigh_of_size(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, const EighTuning& tuning, cudaStream_t stream,
                         std::integer_sequence<int, Less...>) {
  cudaError_t error = cudaErrorInvalidValue;
  (void)((n == Less + 1 && (error = eigh_in_registers<E, Less + 1, Vectors>(source, batch, out, tuning, stream), true)) || ...);
  return error;
}

template <class E, bool Vectors>
cudaError_t launch_eigh(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, cudaStream_t stream) {
  constexpr EighLimits limits = eigh_limits(sizeof(E));
  if (batch == 0 || n == 0) return cudaSuccess;
  if (n > limits.block) return cudaErrorInvalidValue;
  const EighTuning tuning = eigh_tuning(n, sizeof(E), Vectors);
  if (tuning.team == 1) return eigh_of_size<E, Vectors>(source, batch, n, out, tuning, stream, std::make_integer_sequence<int, limits.thread>());
  switch (tuning.team) {
    case 4: return eigh_on_teams<E, WarpTeam<4>, Vectors>(source, batch, n, out, tuning, stream);
    case 8: return eigh_on_teams<E, WarpTeam<8>, Vectors>(source, batch, n, out, tuning, stream);
    case 16: return eigh_on_teams<E, WarpTeam<16>, Vectors>(source, batch, n, out, tuning, stream);
    default: return eigh_on_teams<E, BlockTeam, Vectors>(source, batch, n, out, tuning, stream);
  }
}

template <class E>
cudaError_t eigh_of_triangle(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, cudaStream_t stream) {
  return out.vectors ? launch_eigh<E, true>(source, batch, n, out, stream) : launch_eigh<E, false>(source, batch, n, out, stream);
}

}  // namespace sk
