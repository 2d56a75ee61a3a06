// From a size to a kernel of the symmetric solver, and its grid.
#pragma once
#include <algorithm>
#include <type_traits>
#include <utility>

#include "eigh.h"
#include "team_eigh.cuh"
#include "thread_eigh.cuh"

namespace sk {

// Blocks for `units` of work: as many as run at a time, or fewer.  Their loops go over the rest.
template <class Kernel>
cudaError_t launch_persistent(Kernel* kernel, int threads, long shared_bytes, int64_t units, int& blocks) {
  int device = 0, processors = 0, resident = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess && shared_bytes > 48 * 1024) error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  if (error == cudaSuccess) error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, threads, size_t(shared_bytes));
  blocks = int(std::min<int64_t>(units, int64_t(processors) * std::max(resident, 1)));
  return error;
}

template <class E, class Team, bool Vectors>
cudaError_t eigh_on_teams(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, const EighTuning& tuning, cudaStream_t stream) {
  auto* kernel = eigh_team_kernel<E, Team, Vectors>;
  const int matrices = std::max(1, tuning.threads / tuning.team);
  const long shared = tuning.shared_bytes + Team::shared_bytes;
  int blocks = 0;
  const cudaError_t error = launch_persistent(kernel, tuning.threads, shared, (batch + matrices - 1) / matrices, blocks);
  if (error != cudaSuccess) return error;
  SK_LAUNCH(kernel, blocks, tuning.threads, shared, stream, source, batch, n, out);
  return cudaGetLastError();
}

template <class E, int N, bool Vectors>
cudaError_t eigh_in_registers(const TriangleSource<E>& source, int64_t batch, const SymmetricOutputs<E>& out, const EighTuning& tuning, cudaStream_t stream) {
  auto* kernel = eigh_thread_kernel<E, N, Vectors>;
  int blocks = 0;
  const cudaError_t error = launch_persistent(kernel, tuning.threads, tuning.shared_bytes, (batch + tuning.threads - 1) / tuning.threads, blocks);
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
