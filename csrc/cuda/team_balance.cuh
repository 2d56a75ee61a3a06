// Screening, scaling and balancing by a team: the steps of core/balance.h, whose formulas these are.
#pragma once
#include "../core/balance.h"
#include "team_search.cuh"
#include "team_workspace.cuh"

namespace sk {

// A matrix that holds NaN or Inf becomes a zero matrix and is reported; the others are scaled by a power of two into the bounds of
// Machine<T>.  Each thread has its own rows.
template <class Team, class M, class T>
__device__ __forceinline__ bool screen_and_scale(const Team& team, M h, ScaleFactors<T>& factors) {
  bool bad = false;
  T largest = 0;
  for (int i = team.rank(); i < h.n; i += team.size())
    for (int j = 0; j < h.n; ++j) {
      bad = bad || !is_finite(h(i, j));
      largest = lane_max(largest_part(h(i, j)), largest);
    }
  bad = team.any(bad);
  largest = team.max(largest);
  factors = scale_factors(bad ? T(0) : largest);
  if (bad || factors.any)
    for (int i = team.rank(); i < h.n; i += team.size())
      for (int j = 0; j < h.n; ++j) h(i, j) = select_zero(bad, h(i, j)) * factors.first * factors.second;
  team.sync();
  return bad;
}

// Exchanges rows and columns j and m of h, columns down to row `top` only.
template <class Team, class M>
__device__ __forceinline__ void exchange(const Team& team, bool wanted, M h, uint16_t* order, int j, int m, int top) {
  wanted = wanted && j != m;
  if (!team.together(wanted)) return;
  team.sync();
  if (wanted) {
    for (int i = team.rank(); i <= top; i += team.size()) swap_at(h(i, j), h(i, m), 0);
    if (order && team.rank() == 0) {
      const uint16_t p = order[j];
      order[j] = order[m];
      order[m] = p;
    }
  }
  team.sync();
  if (wanted)
    for (int i = team.rank(); i < h.n; i += team.size()) swap_at(h(j, i), h(m, i), 0);
  team.sync();
}

// xGEBAL 'P': rows that isolate an eigenvalue are pushed down, columns left.  Row i of the result is row order[i] (where not null).
template <class Team, class M>
__device__ __forceinline__ void isolate_eigenvalues(const Team& team, M h, uint16_t* order, int& lo, int& hi) {
  lo = 0;
  hi = h.n - 1;
  for (bool seeking = true; team.together(seeking);) {
    const int row = first_where(team, seeking, hi, -1, -1, [&](int i) {
      bool isolated = true;
      for (int j = 0; isolated && j <= hi; ++j) isolated = i == j || is_zero_at(h(i, j), 0);
      return isolated;
    });
    seeking = row >= 0;
    exchange(team, seeking, h, order, row, hi, hi);
    if (seeking && hi == 0) seeking = false;
    else if (seeking) --hi;
  }
  for (bool seeking = hi > 0; team.together(seeking);) {
    const int column = first_where(team, seeking, lo, 1, hi + 1, [&](int j) {
      bool isolated = true;
      for (int i = lo; isolated && i <= hi; ++i) isolated = i == j || is_zero_at(h(i, j), 0);
      return isolated;
    });
    seeking = seeking && column <= hi;
    exchange(team, seeking, h, order, column, lo, hi);
    if (seeking) ++lo;
  }
}

// xGEBAL 'S': sweeps over the window [lo, hi] until nothing changes.  Rows that need no scaling are passed over together.
template <class Team, class M, class T>
__device__ __forceinline__ void equilibrate(const Team& team, M h, int lo, int hi, T* scale) {
  const bool whole = lo == 0 && hi == h.n - 1;
  const T from(lo), to(hi);
  bool sweeping = hi >= lo, changed = false;
  int i = lo;
  while (team.together(sweeping)) {
    i = first_where(team, sweeping, i, 1, hi + 1, [&](int k) {
      T c, r;
      squared_norms(h, k, from, to, whole, c, r);
      return unbalanced(c, r);
    });
    const bool found = sweeping && i <= hi;
    T f(1);
    bool here = false;
    if (found) {
      T c, r;
      squared_norms(h, i, from, to, whole, c, r);
      here = balancing_factor(h, i, from, to, whole, true, c, r, scale[i], f);
    }
    team.sync();
    if (here) {
      const T inverse = lane_pow2_inverse(f);
      if (team.rank() == 0) scale[i] = scale[i] * f;
      for (int k = team.rank(); k < h.n; k += team.size()) {
        h(i, k) = h(i, k) * inverse;
        h(k, i) = h(k, i) * f;
      }
      changed = true;
    }
    team.sync();
    ++i;
    if (found) continue;
    sweeping = sweeping && changed;
    changed = false;
    i = lo;
  }
}

// `order`: scratch for n numbers, null without eigenvectors.
template <class Team, class E>
__device__ __forceinline__ void balance(const Team& team, TeamWorkspace<E>& ws, bool balanced, uint16_t* order) {
  using T = lane_of<E>;
  const int n = ws.core.h.n;
  for (int i = team.rank(); i < n; i += team.size()) {
    ws.core.scale[i] = T(1);
    if (order) order[i] = uint16_t(i);
  }
  team.sync();
  if (balanced) {
    int lo, hi;
    isolate_eigenvalues(team, ws.core.h, order, lo, hi);
    equilibrate(team, ws.core.h, lo, hi, ws.core.scale);
  }
  if (order)
    for (int i = team.rank(); i < n; i += team.size()) ws.inverse[order[i]] = uint16_t(i);
  team.sync();
}

}  // namespace sk
