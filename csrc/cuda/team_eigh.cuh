// Jacobi's method on a team of threads that share one symmetric or Hermitian matrix, which stands in shared memory.
#pragma once
#include <type_traits>

#include "eigh_tuning.h"
#include "symmetric.cuh"
#include "team.cuh"

namespace sk {

// What the team holds of one matrix: its lower triangle, its eigenvectors as rows, the rotations of a round.
template <class E>
struct JacobiTile {
  int n;
  Triangle<E> a;
  E* vt;  // [n][n], vt(j, i) = V(i, j); null without eigenvectors
  JacobiRotation<E>* rotations;  // [(n + 1) / 2]
  int* order;                    // [n] in the same place: the position of each eigenvalue

  __device__ JacobiTile(E* storage, int n, bool vectors) : n(n), a{storage} {  // jacobi_entries(n, vectors)
    storage += Triangle<E>::size(n);
    vt = vectors ? storage : nullptr;
    if (vectors) storage += n * n;
    rotations = reinterpret_cast<JacobiRotation<E>*>(storage);
    order = reinterpret_cast<int*>(storage);
  }

  // The kept one of (i, j) and (j, i).
  __device__ int at(int i, int j) const {
    const int below = Triangle<E>::row(i) + j, above = Triangle<E>::row(j) + i;
    return below > above ? below : above;  // row(i) grows by more than 1 with i
  }
  __device__ E get(int i, int j) const {
    const E x = a.a[at(i, j)];
    if constexpr (is_complex_v<E>)
      return {x.re, i < j ? -x.im : x.im};
    else
      return x;
  }
  __device__ void set(int i, int j, E x) const {
    if constexpr (is_complex_v<E>) x.im = i < j ? -x.im : x.im;
    a.a[at(i, j)] = x;
  }
};

// Indices 0 <= first < count, second = 0, 1, ... of a flat index that goes up by a team's size, without divisions.
struct TwoIndices {
  int count, first, second;
  __device__ TwoIndices(int flat, int count) : count(count), first(flat), second(0) { settle(); }
  __device__ void advance(int by) {
    first += by;
    settle();
  }

 private:
  __device__ void settle() {
    while (first >= count) first -= count, ++second;
  }
};

// Whether an entry is left that is not negligible; the same answer for all of the team.
template <class E, class Team>
__device__ bool jacobi_unfinished(const JacobiTile<E>& t, const Team& team) {
  bool any = false;
  for (int i = 1; i < t.n; ++i) {
    const auto aii = real_part(t.a.lower(i, i));
    for (int j = team.rank(); j < i; j += team.size()) any |= !is_negligible(aii, squared_modulus(t.a.lower(i, j)), real_part(t.a.lower(j, j)));
  }
  any = team.any(any);
  team.sync();  // before the next round writes what others have just read
  return any;
}

// One round: the rotations of n / 2 pairs, which do not meet, from both sides.
template <class E, class Team>
__device__ void jacobi_round(const JacobiTile<E>& t, int round, const Team& team) {
  using L = lane_of<E>;
  const Tournament games{t.n};
  const int pairs = games.pairs();
  bool any = false;
  for (int k = team.rank(); k < pairs; k += team.size()) {
    const auto [p, q] = games.pair(round, k);
    E &pp = t.a.lower(p, p), &qq = t.a.lower(q, q);
    L app = real_part(pp), aqq = real_part(qq);
    const JacobiRotation<E> r = jacobi_rotation(app, t.get(p, q), aqq);
    const bool turns = squared_modulus(r.s) > L(0);
    t.rotations[k] = r;
    if (turns) {
      pp = entry<E>(app, L(0));
      qq = entry<E>(aqq, L(0));
      t.set(p, q, entry<E>(L(0), L(0)));
    }
    any |= turns;
  }
  const bool turned = team.together(team.any(any));
  team.sync();
  if (!turned) return;
  // The blocks in which the rows of one pair meet the columns of another: pairs i and i + d of a circle, each two of them once.
  const int blocks = pairs * (pairs - 1) / 2;
  int b = team.rank();
  for (TwoIndices at(b, pairs); b < blocks; b += team.size(), at.advance(team.size())) {
    const int i = at.first, other = i + at.second + 1, j = other < pairs ? other : other - pairs;
    const int low = i < j ? i : j, high = i < j ? j : i;
    const JacobiRotation<E> left = t.rotations[low], right = t.rotations[high];
    const auto [p, q] = games.pair(round, low);
    const auto [r, s] = games.pair(round, high);
    E pr = t.get(p, r), ps = t.get(p, s), qr = t.get(q, r), qs = t.get(q, s);
    left.rows(pr, qr);
    left.rows(ps, qs);
    right.columns(pr, ps);
    right.columns(qr, qs);
    t.set(p, r, pr), t.set(p, s, ps), t.set(q, r, qr), t.set(q, s, qs);
  }
  if (t.n % 2)  // the row of the one that pauses
    for (int k = team.rank(); k < pairs; k += team.size()) {
      const auto [p, q] = games.pair(round, k);
      E x = t.get(round, p), y = t.get(round, q);
      t.rotations[k].columns(x, y);
      t.set(round, p, x), t.set(round, q, y);
    }
  if (t.vt) {
    int e = team.rank();
    for (TwoIndices at(e, t.n); e < pairs * t.n; e += team.size(), at.advance(team.size())) {
      const auto [p, q] = games.pair(round, at.second);
      t.rotations[at.second].columns(t.vt[p * t.n + at.first], t.vt[q * t.n + at.first]);
    }
  }
  team.sync();
}

// A = V Diag(a_ii) V^H.  Returns 0, or n where 30 sweeps were not enough.
template <class E, class Team>
__device__ int jacobi(const JacobiTile<E>& t, const Team& team) {
  bool unfinished = jacobi_unfinished(t, team);
  for (int sweep = 0; sweep < jacobi_sweeps && team.together(unfinished); ++sweep) {
    for (int round = 0; round < Tournament{t.n}.rounds(); ++round) jacobi_round(t, round, team);
    unfinished = jacobi_unfinished(t, team);
  }
  return unfinished ? t.n : 0;
}

// Loads a matrix, or zero; 0, or n + 1 where it holds NaN or Inf and becomes zero.
template <class E, class Team>
__device__ int load_symmetric(const TriangleSource<E>& source, int64_t matrix, bool there, const JacobiTile<E>& t, const Team& team, PowerOfTwoScale<lane_of<E>>& f) {
  using T = lane_of<E>;
  const E zero = entry<E>(T(0), T(0));
  const int n = t.n, size = Triangle<E>::size(n);
  if (!there)
    for (int e = team.rank(); e < size; e += team.size()) t.a.a[e] = zero;
  const int64_t offset = there ? source.matrices.batch.offset(matrix) : 0;
  T amax = 0;
  bool bad = false;
  int e = team.rank();
  for (TwoIndices at(e, n); there && e < n * n; e += team.size(), at.advance(team.size())) {
    const auto place = source.place(at.second, at.first);
    if (!place.inside) continue;
    const E x = source.load(offset, place);
    t.a.lower(place.row, place.column) = x;
    bad |= !is_finite(x);
    amax = lane_max(largest_part(x), amax);
  }
  bad = team.any(bad);
  amax = team.max(amax);
  f = power_of_two_scale(bad ? T(0) : amax);
  team.sync();
  for (e = team.rank(); e < size; e += team.size()) t.a.a[e] = bad ? zero : f.apply(t.a.a[e]);
  if (t.vt) {
    e = team.rank();
    for (TwoIndices at(e, n); e < n * n; e += team.size(), at.advance(team.size())) t.vt[e] = entry<E>(T(at.first == at.second), T(0));
  }
  team.sync();
  return bad ? n + 1 : 0;
}

// Eigenvalues in ascending order, equal ones as they stand, and their eigenvectors.
template <class E, class Team>
__device__ void store_symmetric(const JacobiTile<E>& t, const Team& team, const PowerOfTwoScale<lane_of<E>>& f, int info, int64_t matrix, bool there, const SymmetricOutputs<E>& out) {
  using T = lane_of<E>;
  const int n = t.n;
  if (there && team.rank() == 0) out.info[matrix] = info;
  for (int i = team.rank(); i < n; i += team.size()) {
    const T value = real_part(t.a.lower(i, i));
    int place = 0;
    for (int j = 0; j < n; ++j) {
      const T other = real_part(t.a.lower(j, j));
      place += other < value || (other == value && j < i);
    }
    t.order[i] = place;
    if (there) store_entry<T>(out.values + matrix * n + place, f.undo(value) + T(0), info > 0);
  }
  team.sync();
  if (t.vt && there) {
    int e = team.rank();
    for (TwoIndices at(e, n); e < n * n; e += team.size(), at.advance(team.size())) {
      store_entry(out.vectors + (matrix * n + t.order[at.second]) * n + at.first, t.vt[e] + entry<E>(T(0), T(0)), info > 0);
    }
  }
  team.sync();
}

template <class Team>
constexpr int eigh_team_block = std::is_same_v<Team, BlockTeam> ? 256 : 64;  // threads, at most

// A team per matrix, as many at a time as the block has teams.
template <class E, class Team, bool Vectors>
__global__ __launch_bounds__(eigh_team_block<Team>, 1) void eigh_team_kernel(TriangleSource<E> source, int64_t batch, int n, SymmetricOutputs<E> out) {
  SK_DYNAMIC_SHARED(char, shared);
  const Team team(shared);
  const JacobiTile<E> tile(reinterpret_cast<E*>(shared + Team::shared_bytes) + team.index() * jacobi_entries(n, Vectors), n, Vectors);
  const int64_t step = int64_t(gridDim.x) * Team::teams_per_block();
  for (int64_t first = int64_t(blockIdx.x) * Team::teams_per_block(); first < batch; first += step) {
    const int64_t matrix = first + team.index();
    const bool there = matrix < batch;
    PowerOfTwoScale<lane_of<E>> f;
    const int bad = load_symmetric(source, matrix, there, tile, team, f);
    const int unfinished = jacobi(tile, team);
    store_symmetric(tile, team, f, bad ? bad : unfinished, matrix, there, out);
  }
}

}  // namespace sk
