// Sources that form a matrix from its factors where the solver holds it: no matrix is ever written to global memory.
#pragma once
#include <type_traits>

#include "../core/householder.h"
#include "../core/jacobian.h"
#include "../core/low_rank.h"
#include "source.cuh"

namespace sk {

// All n x n entries, each by one thread, neighbouring threads along a row.
template <class Target, class Team, class Entry>
__device__ __forceinline__ void fill_entries(int n, Target target, const Team& team, Entry&& entry) {
  for (int e = team.rank(); e < n * n; e += team.size()) {
    const int i = e / n, j = e - i * n;
    target(i, j) = entry(i, j);
  }
}

// Jacobians of gated recurrent cells: RNN and GRU have one part of the state, LSTM two (core/jacobian.h).  Matrices of size parts * n.
template <class T>
struct JacobianSource {
  using entry = T;
  using real = T;
  static constexpr bool independent_entries = true;
  const T *weight, *coefficient, *diagonal;  // (gates, n, n), (batch, parts, gates, n), (batch, parts, parts, n), contiguous
  int gates, parts, n;

  template <class Target, class Team>
  __device__ void load(int64_t matrix, int size, Target target, const Team& team) const {
    const T *c = coefficient + matrix * (parts * gates * n), *d = diagonal + matrix * (parts * parts * n);
    fill_entries(size, target, team, [&](int i, int j) { return jacobian_entry(weight, c, d, gates, parts, n, i, j); });
  }
};

// The m x m core of a product of Householder reflectors (core/householder.h), of vectors of length n.
template <class T>
struct HouseholderSource {
  using entry = T;
  using real = T;
  static constexpr bool independent_entries = false;
  const T *beta, *k;  // (m) and (m, n), contiguous, at each position's offset
  BatchStrides beta_at, k_at;
  int64_t n;

  // A thread keeps its columns of the row that it works on in registers: all columns where it is alone, else one, for teams have as
  // many threads as their largest matrix has columns.
  template <class Target, class Team>
  __device__ void load(int64_t matrix, int m, Target h, const Team& team) const {
    constexpr int columns = std::is_same_v<Team, ThreadTeam> ? 8 : 1;
    const T *b = beta + beta_at.offset(matrix), *vectors = k + k_at.offset(matrix);
    fill_entries(m, h, team, [&](int i, int j) { return dot(vectors + i * n, vectors + j * n, n); });
    team.sync();
    for (int i = 0; i < m; ++i) {
      T x[columns];
#pragma unroll
      for (int q = 0; q < columns; ++q) {
        const int c = team.rank() + q * team.size();
        if (c < m) x[q] = forward_substitution(b[i], h(i, c), i, [&](int j) { return h(i, j); }, [&](int j) { return h(j, c); });
      }
      team.sync();
#pragma unroll
      for (int q = 0; q < columns; ++q) {
        const int c = team.rank() + q * team.size();
        if (c < m) h(i, c) = x[q];
      }
    }
    team.sync();
    fill_entries(m, h, team, [&](int i, int c) { return i == c ? T(1) - h(i, c) : -h(i, c); });
  }
};

// Diag(d) + sum_r b_r c_r^T, of rank R: entries of d, b and c are E.
template <class E>
struct LowRankSource {
  using entry = E;
  using real = lane_of<E>;
  static constexpr bool independent_entries = true;
  const typename Memory<E>::type *d, *b, *c;  // (n), (R, n), (R, n), contiguous, at each position's offset
  BatchStrides d_at, b_at, c_at;
  int rank;

  template <class Target, class Team>
  __device__ void load(int64_t matrix, int n, Target target, const Team& team) const {
    const E* diagonal = reinterpret_cast<const E*>(d + d_at.offset(matrix));
    const E* left = reinterpret_cast<const E*>(b + b_at.offset(matrix));
    const E* right = reinterpret_cast<const E*>(c + c_at.offset(matrix));
    fill_entries(n, target, team, [&](int i, int j) { return low_rank_entry(diagonal, left, right, rank, n, i, j); });
  }
};

}  // namespace sk
