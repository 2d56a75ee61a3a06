// Eigenvalues and eigenvectors by teams of threads, called by tests/test_cuda_team.py: one library per matrix entry SK_ENTRY.
#include <vector>

#include "cuda/team_eig.cuh"

using namespace sk;
using E = SK_ENTRY;
using T = lane_of<E>;

struct Arguments {
  StridedSource<E> source;
  T *w, *right, *left;
  int32_t* info;
  int64_t batch;
  int n, threads, blocks;
  bool balanced;
};

template <class Team, Placement P, bool Vectors>
void launch(const Arguments& a, int team) {
  const int teams = a.threads / team;
  const TeamLayout layout{a.n, components_v<E>, int(sizeof(T)), Vectors, team, P};
  const int shared_bytes = Team::shared_bytes + teams * layout.slot_bytes();
  std::vector<T> workspace(size_t(layout.workspace_reals()) * teams * a.blocks);
  auto pairs = [](T* x) { return reinterpret_cast<Pair<T>*>(x); };
  const TensorSink<T, Vectors> sink{pairs(a.w), pairs(a.right), pairs(a.left), a.info};
  auto* kernel = team_eig<Team, P, StridedSource<E>, TensorSink<T, Vectors>>;
  if (shared_bytes > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  SK_LAUNCH(kernel, a.blocks, a.threads, shared_bytes, nullptr, a.source, sink, a.batch, a.n, a.balanced, workspace.data());
}

template <class Team>
void launch_warp(const Arguments& a, int team) {
  a.right || a.left ? launch<Team, Placement::shared, true>(a, team) : launch<Team, Placement::shared, false>(a, team);
}

// team: a number of lanes, or 0 for the whole block.  placement: of a block, a number of Placement.
extern "C" int team_eig_batch(const T* A, T* w, T* right, T* left, int32_t* info, int64_t batch, int64_t n, int64_t team, int64_t threads, int64_t blocks, int64_t balanced,
                              int64_t placement) {
  const int64_t row = n, column = 1;
  const Arguments a{{reinterpret_cast<const typename Memory<E>::type*>(A), {1, {batch}, {n * n}}, row, column}, w, right, left, info, batch, int(n), int(threads), int(blocks), balanced != 0};
  switch (team) {
#if defined(SK_WARPS_OF_8)
    case 8: launch_warp<WarpTeam<8>>(a, 8); return 0;
#elif defined(SK_OTHER_WARPS)
    case 4: launch_warp<WarpTeam<4>>(a, 4); return 0;
    case 16: launch_warp<WarpTeam<16>>(a, 16); return 0;
    case 32: launch_warp<WarpTeam<32>>(a, 32); return 0;
#else
    case 0: {
      const bool vectors = right || left;
      if (placement == int(Placement::shared)) vectors ? launch<BlockTeam, Placement::shared, true>(a, a.threads) : launch<BlockTeam, Placement::shared, false>(a, a.threads);
      if (placement == int(Placement::z_global) && vectors) launch<BlockTeam, Placement::z_global, true>(a, a.threads);
      if (placement == int(Placement::global)) vectors ? launch<BlockTeam, Placement::global, true>(a, a.threads) : launch<BlockTeam, Placement::global, false>(a, a.threads);
      return 0;
    }
#endif
  }
  return 1;
}
