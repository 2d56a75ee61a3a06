// Sources that form matrices from factors, for tests/test_cuda_sources.py: the matrices themselves, and their eigenvalues by a thread, lanes and a block.
#include <vector>

#include "cuda/factor_sources.cuh"
#include "cuda/team_eig.cuh"
#include "cuda/thread_eig.cuh"

using namespace sk;

namespace {

template <class Team, class Source>
__global__ void form(Source source, int64_t batch, int n, typename Source::entry* out) {
  using E = typename Source::entry;
  SK_DYNAMIC_SHARED(char, shared);
  const Team team(shared);
  const Tile<E> h{reinterpret_cast<E*>(shared + Team::shared_bytes) + team.index() * n * n, n, n};
  const int64_t step = int64_t(gridDim.x) * Team::teams_per_block();
  for (int64_t first = int64_t(blockIdx.x) * Team::teams_per_block(); first < batch; first += step) {
    const int64_t mine = first + team.index(), matrix = mine < batch ? mine : batch - 1;
    source.load(matrix, n, h, team);
    team.sync();
    if (mine < batch)
      for (int e = team.rank(); e < n * n; e += team.size()) out[matrix * n * n + e] = h.a[e];
    team.sync();
  }
}

template <class Source>
__global__ void form_alone(Source source, int64_t batch, int n, typename Source::entry* out) {
  const int64_t matrix = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (matrix < batch) source.load(matrix, n, Tile<typename Source::entry>{out + matrix * n * n, n, n}, ThreadTeam{});
}

template <class Team, class Source, class Sink>
void solve_on_teams(const Source& source, int64_t batch, int n, const Sink& sink, int threads, int team) {
  const TeamLayout layout{n, 1, 8, Sink::vectors, team, Placement::shared};
  const int teams = threads / team;
  std::vector<double> workspace(size_t(layout.workspace_reals()) * teams * 2);
  auto* kernel = team_eig<Team, Placement::shared, Source, Sink>;
  const int shared_bytes = Team::shared_bytes + teams * layout.slot_bytes();
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  SK_LAUNCH(kernel, 2, threads, shared_bytes, nullptr, source, sink, batch, n, true, workspace.data());
}

// team: 0 forms (threads: of a team; 1 alone), else solves.
template <class Source>
int run(const Source& source, int64_t batch, int n, int team, bool solve, void* out, int32_t* info) {
  using E = typename Source::entry;
  const int bytes = n * n * int(sizeof(E));
  if (!solve) {
    if (team == 1) SK_LAUNCH(form_alone<Source>, unsigned(batch + 31) / 32, 32, 0, nullptr, source, batch, n, static_cast<E*>(out));
    if (team == 8) SK_LAUNCH((form<WarpTeam<8>, Source>), 2, 32, 4 * bytes, nullptr, source, batch, n, static_cast<E*>(out));
    if (team == 64) SK_LAUNCH((form<BlockTeam, Source>), 2, 64, BlockTeam::shared_bytes + bytes, nullptr, source, batch, n, static_cast<E*>(out));
    return int(cudaGetLastError());
  }
  if constexpr (std::is_same_v<E, double>) {
    const TensorSink<double, false> sink{static_cast<Pair<double>*>(out), nullptr, nullptr, info};
    if (team == 1) SK_LAUNCH((thread_eig_kernel<4, Source, TensorSink<double, false>>), 2, 64, 64 * 8 * thread_slot_reals({4, 1, 8, false}), nullptr, batch, n, true, source, sink);
    if (team == 8) solve_on_teams<WarpTeam<8>>(source, batch, n, sink, 32, 8);
    if (team == 64) solve_on_teams<BlockTeam>(source, batch, n, sink, 64, 64);
  }
  return int(cudaGetLastError());
}

BatchStrides one_axis(int64_t batch, int64_t stride) { return {1, {batch}, {stride}}; }

}  // namespace

extern "C" int jacobian(const double* weight, const double* coefficient, const double* diagonal, int64_t gates, int64_t parts, int64_t n, int64_t batch, int64_t team, int64_t solve,
                        void* out, int32_t* info) {
  return run(JacobianSource<double>{weight, coefficient, diagonal, int(gates), int(parts), int(n)}, batch, int(parts * n), int(team), solve != 0, out, info);
}

// k (batch, m, n), beta (m): of all
extern "C" int householder(const double* beta, const double* k, int64_t m, int64_t n, int64_t batch, int64_t team, int64_t solve, void* out, int32_t* info) {
  return run(HouseholderSource<double>{beta, k, one_axis(batch, 0), one_axis(batch, m * n), n}, batch, int(m), int(team), solve != 0, out, info);
}

extern "C" int low_rank(int64_t complex, const void* d, const void* b, const void* c, int64_t rank, int64_t n, int64_t batch, int64_t team, int64_t solve, void* out, int32_t* info) {
  const BatchStrides d_at = one_axis(batch, n), at = one_axis(batch, rank * n);
  if (complex) {
    auto pairs = [](const void* p) { return static_cast<const Pair<double>*>(p); };
    return run(LowRankSource<Complex<double>>{pairs(d), pairs(b), pairs(c), d_at, at, at, int(rank)}, batch, int(n), int(team), false, out, info);
  }
  auto reals = [](const void* p) { return static_cast<const double*>(p); };
  return run(LowRankSource<double>{reals(d), reals(b), reals(c), d_at, at, at, int(rank)}, batch, int(n), int(team), solve != 0, out, info);
}
