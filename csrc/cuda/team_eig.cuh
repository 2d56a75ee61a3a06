// Eigenvalues and eigenvectors of a batch, a team of threads per matrix: the pipeline of core/eig.h and core/complex_eig.h, matrices in
// shared memory.  The grid is persistent: block b takes matrices b T, b T + 1, .. b T + T - 1 for its T teams, then those a grid further.
#pragma once
#include "../core/eig.h"
#include "team_balance.cuh"
#include "team_complex_qr.cuh"
#include "team_eigenvectors.cuh"
#include "team_hessenberg.cuh"

namespace sk {

constexpr int team_block_threads = 128;  // at most

template <bool Schur, class Team, class T>
__device__ __forceinline__ int schur(const Team& team, TeamWorkspace<T>& ws) {
  const Tile<T> h = ws.core.h, zt = ws.core.zt;
  reduce_to_hessenberg<Schur>(team, h, ws.tau, ws.v);
  if (Schur) {
    form_orthogonal_factor(team, h, ws.tau, zt.a);
    team.sync();
    clear_below_subdiagonal(team, h);
    team.sync();
  }
  const int info = francis<Schur>(team, h, zt, ws.chain);
  block_eigenvalues(team, h, ws.core.wr, ws.core.wi);
  if (Schur) standardize_blocks(team, h, zt, ws.core.wr, ws.cs, ws.sn);
  return info;
}
template <class T>
__device__ __forceinline__ Complex<T> eigenvalue(const TeamWorkspace<T>& ws, int i) {
  return {ws.core.wr[i], ws.core.wi[i]};
}

template <bool Schur, class Team, class T>
__device__ __forceinline__ int schur(const Team& team, TeamWorkspace<Complex<T>>& ws) {
  reduce_to_hessenberg<Schur>(team, ws.core.h, ws.tau, ws.v);
  if (Schur) {
    form_orthogonal_factor(team, ws.core.h, ws.tau, ws.core.z.a);
    team.sync();
  }
  extract_subdiagonal(team, ws.core.h, ws.core.sub);
  team.sync();
  return single_shift_qr<Schur>(team, ws.core);
}
template <class T>
__device__ __forceinline__ Complex<T> eigenvalue(const TeamWorkspace<Complex<T>>& ws, int i) {
  const Complex<T> w = ws.core.h(i, i);
  return {w.re + T(0), w.im + T(0)};  // no negative zeros
}

// One matrix.  `stored` is false for a team that has none and repeats the last.
template <class Team, class E, class Sink>
__device__ __forceinline__ void solve(const Team& team, TeamWorkspace<E>& ws, bool balanced, int64_t matrix, bool stored, const Sink& sink) {
  using T = lane_of<E>;
  constexpr bool vectors = Sink::vectors;
  const int n = ws.core.h.n;
  SchurResult<T> result;
  const bool bad = screen_and_scale(team, ws.core.h, result.factors);
  balance(team, ws, balanced, vectors ? reinterpret_cast<uint16_t*>(ws.v) : nullptr);
  int info = schur<vectors>(team, ws);
  if (bad) info = n + 1;
  result.info = T(info);
  if (stored) {
    sink.info(matrix, info, team);
    sink.values(matrix, n, [&](int i) {
      const Complex<T> w = eigenvalue(ws, i);
      return Complex<T>{finished_value(i, w.re, result), finished_value(i, w.im, result)};
    }, team);
  }
  if constexpr (vectors) {
#pragma unroll 1
    for (int s = 0; s < 2; ++s) {
      const Side side = s == 0 ? Side::right : Side::left;
      if (!sink.wants(side)) continue;
      if (side == Side::left) {
        team.sync();
        reflect_for_left(team, ws.core.h, ws.z());
        if constexpr (!is_complex_v<E>) {
          reverse(team, ws.core.wr, n);
          reverse(team, ws.core.wi, n);
        }
        team.sync();
      }
      eigenvectors(team, ws, VectorTarget{side, matrix, stored, info > 0}, sink);
    }
  }
  team.sync();
}

// Dynamic shared memory: Team::shared_bytes, then a slot per team.  `workspace`: the workspace_reals of TeamLayout per team of the grid.
template <class Team, Placement P, class Source, class Sink>
__global__ void __launch_bounds__(team_block_threads, 1)
    team_eig(Source source, Sink sink, int64_t batch, int n, bool balanced, typename Source::real* workspace) {
  using E = typename Source::entry;
  using T = typename Source::real;
  SK_DYNAMIC_SHARED(unsigned char, shared);
  const Team team(shared);
  const TeamLayout layout{n, components_v<E>, int(sizeof(T)), Sink::vectors, team.size(), P};
  const int teams = Team::teams_per_block();
  T* slot = reinterpret_cast<T*>(shared + Team::shared_bytes) + team.index() * layout.slot_reals();
  T* part = workspace + (int64_t(blockIdx.x) * teams + team.index()) * layout.workspace_reals();
  TeamWorkspace<E> ws = TeamWorkspace<E>::template carve<P, Sink::vectors>(layout, slot, part);
  for (int64_t first = int64_t(blockIdx.x) * teams; first < batch; first += int64_t(gridDim.x) * teams) {
    const int64_t mine = first + team.index(), matrix = mine < batch ? mine : batch - 1;
    source.load(matrix, n, ws.core.h, team);
    team.sync();
    solve(team, ws, balanced, matrix, mine < batch, sink);
  }
}

}  // namespace sk
