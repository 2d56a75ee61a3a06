// Where the matrices of a kernel come from.  A source is a template parameter of the kernels, so that what forms a matrix is fused
// into its load.
//
//   Source::real, Source::entry          T, and T or Complex<T>
//   Source::independent_entries          any thread may write any entry: load() neither synchronises nor reads the target
//   load(matrix, n, target, team)        the threads of `team` write all n x n entries target(i, j) of one matrix.  The caller
//                                        synchronises the team afterwards.
//
// A team has rank(), size(), sync() and the collectives of team.cuh; a thread alone is a ThreadTeam.
#pragma once
#include "../core/complex.h"
#include "simt.h"

namespace sk {

// One thread: every collective is the identity.
struct ThreadTeam {
  __device__ int rank() const { return 0; }
  __device__ int size() const { return 1; }
  __device__ void sync() const {}
  template <class T>
  __device__ T sum(T x) const {
    return x;
  }
  template <class T>
  __device__ T max(T x) const {
    return x;
  }
  __device__ bool any(bool p) const { return p; }
  template <class T>
  __device__ T broadcast(T x, int) const {
    return x;
  }
};

// A few threads side by side that write entries or components independently of each other.
struct ThreadGroup {
  int rank_, size_;
  __device__ int rank() const { return rank_; }
  __device__ int size() const { return size_; }
};

// The offset, in elements, of item `index` of an operand with any batch strides; axes that lie as one in memory are merged.
struct BatchStrides {
  static constexpr int max_dims = 8;
  int dims;
  int64_t sizes[max_dims], strides[max_dims];  // the first axis first

  // No array is indexed by a variable: that would put it into local memory.
  __device__ int64_t offset(int64_t index) const {
    int64_t at = 0;
#pragma unroll
    for (int d = max_dims - 1; d > 0; --d) {
      if (d >= dims) continue;
      at += index % sizes[d] * strides[d];
      index /= sizes[d];
    }
    return dims > 0 ? at + index * strides[0] : 0;
  }
};

// Two reals that are loaded and stored as one.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T re, im;
};

template <class E>
struct Memory {  // how an entry stands in memory
  using type = E;
};
template <class T>
struct Memory<Complex<T>> {
  using type = Pair<T>;
};

// A tensor (..., n, n) in any strides.
template <class E>
struct StridedSource {
  using entry = E;
  using real = lane_of<E>;
  static constexpr bool independent_entries = true;
  const typename Memory<E>::type* data;
  BatchStrides batch;
  int64_t row, col;  // strides, in elements

  template <class Target, class Team>
  __device__ void load(int64_t matrix, int n, Target target, const Team& team) const {
    const auto* at = data + batch.offset(matrix);
    const bool by_rows = col <= row;  // neighbouring threads read along the smaller stride
    for (int e = team.rank(); e < n * n; e += team.size()) {
      const int outer = e / n, inner = e - outer * n, i = by_rows ? outer : inner, j = by_rows ? inner : outer;
      const auto x = at[i * row + j * col];
      if constexpr (sizeof(E) == 2 * sizeof(real))
        target(i, j) = {x.re, x.im};
      else
        target(i, j) = x;
    }
  }
};

}  // namespace sk
