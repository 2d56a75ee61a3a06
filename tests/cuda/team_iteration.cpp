// The Francis iteration alone, on Hessenberg matrices that the screen for NaN has not seen, called by tests/test_cuda_team.py.
#include "cuda/team_francis.cuh"

using namespace sk;

template <class Team>
__global__ void iterate(const double* hessenberg, int32_t* info, int batch, int n) {
  SK_DYNAMIC_SHARED(unsigned char, shared);
  const Team team(shared);
  double* slot = reinterpret_cast<double*>(shared + Team::shared_bytes) + team.index() * n * n;
  const int teams = Team::teams_per_block(), mine = int(blockIdx.x) * teams + team.index();
  for (int e = team.rank(); e < n * n; e += team.size()) slot[e] = hessenberg[(mine < batch ? mine : batch - 1) * n * n + e];
  team.sync();
  const int failed = francis<false>(team, Tile<double>{slot, n, n}, Tile<double>{nullptr, n, n}, static_cast<Reflector3<double>*>(nullptr));
  if (mine < batch && team.rank() == 0) info[mine] = failed;
}

extern "C" void francis_info(const double* hessenberg, int32_t* info, int64_t batch, int64_t n, int64_t team) {
  const int shared_bytes = BlockTeam::shared_bytes + 4 * int(n * n * sizeof(double));
  if (team == 8)
    SK_LAUNCH(iterate<WarpTeam<8>>, (batch + 3) / 4, 32, shared_bytes, nullptr, hessenberg, info, int(batch), int(n));
  else
    SK_LAUNCH(iterate<BlockTeam>, batch, 32, shared_bytes, nullptr, hessenberg, info, int(batch), int(n));
}
