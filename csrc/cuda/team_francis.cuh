// Francis' double-shift QR iteration of one real matrix by a team (core/francis.h has the algorithm and its sources).
//
// A sweep is a chain of reflectors; each waits for the one before through nine entries around the bulge.  Every thread keeps these in
// registers and computes every reflector, so that nothing is passed on.  Reflector k then acts on columns beyond the bulge and on rows
// above it: these are disjoint index ranges, so one loop serves both, an index per thread, with one meeting of the team per step.
// Rows above the window, columns right of it and Z, which only the Schur form needs, take the whole chain after the sweep.
#pragma once
#include "../core/francis.h"
#include "../core/standardize.h"
#include "team_search.cuh"
#include "team_workspace.cuh"

namespace sk {

// Where the iteration of one matrix stands (core/francis_start.h has it for a lane).
struct IterationState {
  int hi, lo;   // the window; hi < 0: finished
  int stalled;  // iterations since the last deflation
  int failed;   // 1 + hi of a matrix that ran out of iterations, else 0
};

// Counts an iteration, ends the matrix that has had too many; whether a sweep is to be made.
__device__ __forceinline__ bool count_iteration(IterationState& st, int n) {
  if (st.hi < 0) return false;
  if (++st.stalled <= 30 * (n > 10 ? n : 10)) return true;
  st.failed = st.hi + 1;
  st.hi = -1;
  return false;
}

// The window that deflation leaves, from the bottom up, as blocks of up to `block` rows split off.
template <class Team, class Test, class Clear>
__device__ __forceinline__ void deflate_and_find_window(const Team& team, IterationState& st, int block, Test&& negligible, Clear&& clear) {
  bool searching = st.hi >= 0;
  st.lo = 0;
  while (team.together(searching)) {
    const int cut = first_where(team, searching, st.hi, -1, 0, negligible);
    team.sync();
    if (searching) {
      if (cut > 0 && team.rank() == 0) clear(cut);
      if (cut == 0) {
        searching = false;
        if (st.hi < block) st.hi = -1;
      } else if (cut > st.hi - block) {
        st.hi = cut - 1;
        st.stalled = 0;
      } else {
        searching = false;
        st.lo = cut;
      }
    }
    team.sync();
  }
}


// Indices x of the window that a thread has, lo + rank, lo + rank + size, ..; whose row k is turns with k.
template <class Team>
struct WindowShare {
  int rank, size, lo, hi, owner;
  __device__ __forceinline__ WindowShare(const Team& team, int lo, int hi, int first)
      : rank(team.rank()), size(team.size()), lo(lo), hi(hi), owner((first - lo) % team.size()) {}
  __device__ __forceinline__ bool mine() const { return owner == rank; }
  __device__ __forceinline__ bool was_mine() const { return (owner == 0 ? size : owner) - 1 == rank; }  // row k - 1
  __device__ __forceinline__ void advance() { owner = owner + 1 == size ? 0 : owner + 1; }
};

// One sweep over the window [lo, hi] of an active team.  Leaves the reflectors in chain[0 .. hi - first) where Schur is set.
//
// Step k writes row k, of which entry (k, k+2) is read by every thread in this step: it is stored in the next one, by the thread that
// has row k, before that thread reads it.
template <bool Schur, class Team, class T>
__device__ __forceinline__ void francis_sweep(const Team& team, Tile<T> h, bool active, int lo, int hi, int first, const Bulge<T>& bulge, Reflector3<T>* chain) {
  const int ld = h.ld;
  WindowShare<Team> share(team, lo, hi, first);
  T beta, pending(0), w[3][2] = {};
  if (active) {
#pragma unroll
    for (int i = 0; i < 3; ++i) w[i][0] = h(first + i, first), w[i][1] = h(first + i, first + 1);
  }
  Reflector3<T> q = reflector3(bulge.v1, bulge.v2, bulge.v3, active, beta);
  team.sync();  // the search for the first row has read what is written now
  if (active && first > lo && share.mine()) h(first, first - 1) = h(first, first - 1) * (T(1) + q.minus_t1);
  int k = first;
  while (team.together(active && k + 2 <= hi)) {
    team.sync();
    if (!active || k + 2 > hi) continue;
    const bool more = k + 3 <= hi;
    T c0 = h(k, k + 2), c1 = h(k + 1, k + 2), c2 = h(k + 2, k + 2), d0(0), d1(0), d2 = more ? h(k + 3, k + 2) : T(0);
    if (k > first && share.was_mine()) h(k - 1, k + 1) = pending;
    for (int x = lo + share.rank; x <= hi; x += share.size) {
      if (x >= k && x <= k + 2) continue;
      T* p = x < k ? h.row(x) + k : h.row(k) + x;
      const int step = x < k ? 1 : ld;
      apply3(q, p[0], p[step], p[2 * step]);
    }
    apply3(q, w[0][0], w[1][0], w[2][0]);
    apply3(q, w[0][1], w[1][1], w[2][1]);
    apply3(q, c0, c1, c2);
    apply3(q, w[1][0], w[1][1], c1);
    apply3(q, w[2][0], w[2][1], c2);
    apply3(q, d0, d1, d2);
    const Reflector3<T> next = reflector3(w[1][0], w[2][0], d0, true, beta);
    apply3(q, w[0][0], w[0][1], c0);
    if (share.mine()) {
      h(k, k) = w[0][0], h(k, k + 1) = w[0][1];
      h(k + 1, k) = beta, h(k + 2, k) = T(0);
      if (more) h(k + 3, k) = T(0);
      if (Schur) chain[k - first] = q;
    }
    pending = c0;
    w[0][0] = w[1][1], w[0][1] = c1, w[1][0] = w[2][1], w[1][1] = c2, w[2][0] = d1, w[2][1] = d2;
    q = next;
    share.advance();
    ++k;
  }
  team.sync();
  if (active) {  // the last step, of two rows and columns
    if (share.was_mine()) h(k - 1, k + 1) = pending;
    for (int x = lo + share.rank; x < k; x += share.size) apply2(q, h(x, k), h(x, k + 1));
    apply2(q, w[0][0], w[1][0]);
    apply2(q, w[0][1], w[1][1]);
    apply2(q, w[0][0], w[0][1]);
    apply2(q, w[1][0], w[1][1]);
    if (share.mine()) {
      h(k, k) = w[0][0], h(k, k + 1) = w[0][1], h(k + 1, k) = w[1][0], h(k + 1, k + 1) = w[1][1];
      if (Schur) chain[k - first] = q;
    }
  }
  team.sync();
}

// The chain of one sweep, from the right on rows above the window and on Z, from the left on columns right of it.
template <class Team, class T>
__device__ __forceinline__ void apply_sweep(const Team& team, Tile<T> h, Tile<T> zt, bool active, int lo, int hi, int first, const Reflector3<T>* chain) {
  if (active) {
    const int n = h.n, outside = lo + n - 1 - hi;
    for (int e = team.rank(); e < outside; e += team.size()) {
      const int column = hi + 1 + e - lo;
      apply_chain<1>(chain, hi - first, true, e < lo ? h.row(e) + first : h.row(first) + column, e < lo ? 1 : h.ld, 0);
    }
    for (int r = team.rank(); r < n; r += team.size()) apply_chain<1>(chain, hi - first, true, zt.row(first) + r, zt.ld, 0);
  }
  team.sync();
}

// Iterates until the matrix is quasi-triangular or out of iterations.  Returns 0, or 1 + the index of the last eigenvalue that was not
// found.
template <bool Schur, class Team, class T>
__device__ __forceinline__ int francis(const Team& team, Tile<T> h, Tile<T> zt, Reflector3<T>* chain) {
  const int n = h.n;
  const T smlnum = Machine<T>::safmin * (T(n) / Machine<T>::ulp);
  IterationState st{n - 1, 0, 0, 0};
  for (;;) {
    deflate_and_find_window(team, st, 2, [&](int k) { return negligible_subdiagonal<0>(h, k, true, smlnum); }, [&](int k) { h(k, k - 1) = T(0); });
    if (!team.together(st.hi >= 0)) return st.failed;
    const bool active = count_iteration(st, n);
    const int lo = st.lo, hi = st.hi;
    Bulge<T> bulge{};
    Shifts<T> shifts{};
    if (active) {
      FrancisState<T> block{};
      block.hi = T(hi), block.lo = T(lo), block.stalled = T(st.stalled), block.last = hi;
      capture_trailing_block<0>(h, block, true);
      exceptional_shifts(h, block);
      shifts = double_shift(block);
    }
    const int first = first_where(team, active, hi - 2, -1, lo, [&](int m) { return may_start_at(h, m, starting_row(h, m), lane_abs(h(m, m - 1)), shifts); });
    if (active) first_column(starting_row(h, first), shifts, bulge);
    francis_sweep<Schur>(team, h, active, lo, hi, first, bulge, chain);
    if (Schur) apply_sweep(team, h, zt, active, lo, hi, first, chain);
  }
}

// Eigenvalues of the diagonal blocks into wr, wi, an index per thread.
template <class Team, class T>
__device__ __forceinline__ void block_eigenvalues(const Team& team, Tile<T> h, T* wr, T* wi) {
  const int n = h.n;
  for (int i = team.rank(); i < n; i += team.size()) {
    const bool upper = i + 1 < n && h(i + 1, i) != T(0), lower = i > 0 && h(i, i - 1) != T(0);
    T re = h(i, i), im(0);
    if (upper || lower) {
      const int at = lower ? i - 1 : i;
      const BlockEigenvalues<T> e = block_eigenvalues(h(at, at), h(at, at + 1), h(at + 1, at), h(at + 1, at + 1));
      re = lower ? e.second : e.first;
      im = lower ? T(0) - e.im : e.im;
    }
    wr[i] = re;
    wi[i] = im;
  }
  team.sync();
}

// Brings all 2x2 blocks to standard form, with the eigenvalues wr; rotation i, of rows and columns i-1 and i, goes to cs[i] and sn[i].
template <class Team, class T>
__device__ __forceinline__ void standardize_blocks(const Team& team, Tile<T> h, Tile<T> zt, const T* wr, T* cs, T* sn) {
  const int n = h.n;
  for (int i = team.rank(); i < n; i += team.size()) {
    StandardBlock<T> s{T(0), T(0), T(1), T(0)};
    if (i > 0 && h(i, i - 1) != T(0)) {
      const T a = h(i - 1, i - 1), b = h(i - 1, i), c = h(i, i - 1), d = h(i, i);
      s = standardize_block(a, b, c, d, block_eigenvalues(a, b, c, d));
    }
    cs[i] = s.cs;
    sn[i] = s.sn;
  }
  team.sync();
  auto rotate = [&](int i, T& x, T& y) {  // xROT
    const T c = cs[i], s = sn[i], t = lane_fma(c, x, s * y);
    y = lane_fma(c, y, -(s * x));
    x = t;
  };
  // From the left, a column per thread; its own block, both sides at once.
  for (int j = team.rank(); j < n; j += team.size()) {
    for (int i = 1; i < j; ++i)
      if (h(i, i - 1) != T(0)) rotate(i, h(i - 1, j), h(i, j));
    for (int i = 1; i < n; ++i)
      if (h(i, i - 1) != T(0)) rotate(i, zt(i - 1, j), zt(i, j));
  }
  team.sync();
  // From the right, a row per thread.
  for (int j = team.rank(); j < n; j += team.size())
    for (int i = j + 2; i < n; ++i)
      if (h(i, i - 1) != T(0)) rotate(i, h(j, i - 1), h(j, i));
  team.sync();
  for (int i = team.rank(); i < n; i += team.size()) {
    if (i == 0 || h(i, i - 1) == T(0)) continue;
    const T a = h(i - 1, i - 1), b = h(i - 1, i), c = h(i, i - 1), d = h(i, i);
    const StandardBlock<T> s = standardize_block(a, b, c, d, block_eigenvalues(a, b, c, d));
    h(i - 1, i - 1) = wr[i - 1];
    h(i - 1, i) = s.b;
    h(i, i - 1) = s.c;
    h(i, i) = wr[i];
  }
  team.sync();
}

}  // namespace sk
