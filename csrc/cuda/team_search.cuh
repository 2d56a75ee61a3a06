// Searches along the diagonal, an index per thread of a team.
#pragma once
#include "team.cuh"

namespace sk {

// The first of from, from + step, ... before `end` for which test(index) holds, `end` where there is none or the team is not `seeking`.
template <class Team, class Test>
__device__ __forceinline__ int first_where(const Team& team, bool seeking, int from, int step, int end, Test&& test) {
  int found = end;
  for (int left = seeking ? (end - from) * step : 0; team.together(left > 0); left -= team.size()) {
    const int mine = end - (left - team.rank()) * step;
    const int rank = team.first(left > team.rank() && test(mine));
    if (rank == team.size() || left <= 0) continue;
    found = end - (left - rank) * step;
    left = 0;
  }
  return found;
}

}  // namespace sk
