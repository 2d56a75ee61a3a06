// Jacobi's method on a team of threads that share one symmetric or Hermitian matrix, which stands in shared memory.
#pragma once
#include "../core/eigh.h"
#include "../core/jacobi.h"

namespace sk {

constexpr int jacobi_sweeps = 30;  // seldom more than 10 are needed

// What the team holds of one matrix: its lower triangle, its eigenvectors as rows, the rotations of a round.
template <class E>
struct JacobiTile {
  int n;
  Triangle<E> a;
  E* vt;  // [n][n], vt(j, i) = V(i, j); null without eigenvectors
  JacobiRotation<E>* rotations;

  static constexpr SK_HD long entries(int n, bool vectors) { return Triangle<E>::size(n) + (vectors ? long(n) * n : 0) + 2 * (n / 2); }
  SK_HD JacobiTile(E* storage, int n, bool vectors) : n(n), a{storage} {
    storage += Triangle<E>::size(n);
    vt = vectors ? storage : nullptr;
    if (vectors) storage += n * n;
    rotations = reinterpret_cast<JacobiRotation<E>*>(storage);
  }

  // The kept one of (i, j) and (j, i).
  SK_HD int at(int i, int j) const {
    const int below = Triangle<E>::row(i) + j, above = Triangle<E>::row(j) + i;
    return below > above ? below : above;  // row(i) grows by more than 1 with i
  }
  SK_HD E get(int i, int j) const {
    const E x = a.a[at(i, j)];
    if constexpr (is_complex_v<E>)
      return {x.re, i < j ? -x.im : x.im};
    else
      return x;
  }
  SK_HD void set(int i, int j, E x) const {
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
  return team.any(any);
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
  if (!team.any(any)) return;
  team.sync();
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
  for (int sweep = 0; jacobi_unfinished(t, team); ++sweep) {
    if (sweep == jacobi_sweeps) return t.n;
    for (int round = 0; round < Tournament{t.n}.rounds(); ++round) jacobi_round(t, round, team);
  }
  return 0;
}

}  // namespace sk
