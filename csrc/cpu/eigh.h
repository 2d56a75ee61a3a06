// Batched eigh of symmetric and Hermitian matrices: groups of W matrices over the threads.  Included by eigh.cpp only.
#pragma once
#include <limits>
#include <utility>

#include "../core/eigh.h"
#include "lane_simd.h"
#include "pack.h"
#include "scratch.h"

namespace sk {

// Contiguous outputs; vectors are column-major, as LAPACK and torch have them: entry (i, j) of matrix b at
// ((b * n + j) * n + i).  Complex numbers as pairs of reals.
template <class T>
struct EighOutputs {
  T *values, *vectors;
  int32_t* info;
};

// Loads the lower triangle of symmetric or Hermitian matrices, from their upper one where `upper` is set.  The other
// triangle and the imaginary parts of the diagonal are not read.
template <class E>
void pack_triangle(const real_t<lane_of<E>>* a, const BatchLayout& layout, int64_t first, int count, bool upper, Tile<E> h) {
  using T = real_t<lane_of<E>>;
  constexpr int W = width_v<lane_of<E>>, parts = components_v<E>;
  const T* source[W];
  for (int w = 0; w < W; ++w) source[w] = a + parts * layout.offset(first + (w < count ? w : count - 1));
  int64_t down = parts * layout.row, right = parts * layout.col;
  if (upper) std::swap(down, right);
  const T sign = upper ? T(-1) : T(1);
  for (int i = 0; i < h.n; ++i) {
    T* row = reinterpret_cast<T*>(h.row(i));
    for (int w = 0; w < W; ++w) {
      const T* s = source[w] + i * down;
      for (int j = 0; j <= i; ++j) {
        row[j * parts * W + w] = s[j * right];
        if constexpr (parts == 2) row[(j * parts + 1) * W + w] = j < i ? sign * s[j * right + 1] : T(0);
      }
    }
  }
}

// Writes row c of zt as eigenvector vector_rank[c] of each matrix.
template <class E>
void write_vectors(const SymmetricWorkspace<E>& ws, lane_of<E> info, int64_t first, int count, real_t<lane_of<E>>* out) {
  using L = lane_of<E>;
  using T = real_t<L>;
  constexpr int W = width_v<L>, parts = components_v<E>;
  const int n = ws.a.n;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (int c = 0; c < n; ++c) {
    const T* row = reinterpret_cast<const T*>(ws.zt.row(c));
    for (int w = 0; w < count; ++w) {
      T* dst = out + ((first + w) * n + int64_t(lane_get(ws.vector_rank[c], w))) * n * parts;
      const bool failed = lane_get(info, w) > 0;
      for (int i = 0; i < n * parts; ++i) dst[i] = failed ? nan : row[i * W + w] + T(0);  // no -0: idle rotations may lose its sign
    }
  }
}

// Solves ranges of matrices in groups of W, in one workspace.
template <bool Vectors, class E>
class EighSolver {
  using L = lane_of<E>;
  using T = real_t<L>;
  static constexpr int W = width_v<L>;

 public:
  explicit EighSolver(int n)
      : scratch_(size_t(SymmetricWorkspace<E>::lanes_needed(n, Vectors)) * sizeof(L)), ws_(reinterpret_cast<L*>(scratch_.get()), n, Vectors) {}

  void solve(const T* a, const BatchLayout& layout, int64_t begin, int64_t end, bool upper, const EighOutputs<T>& out) {
    const int n = ws_.a.n;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    for (int64_t first = begin; first < end; first += W) {
      const int count = int(end - first < W ? end - first : W);
      pack_triangle(a, layout, first, count, upper, ws_.a);
      const L info = eigh<Vectors>(ws_);
      for (int w = 0; w < count; ++w) out.info[first + w] = int32_t(lane_get(info, w));
      for (int i = 0; i < n; ++i)
        for (int w = 0; w < count; ++w)
          out.values[(first + w) * n + int64_t(lane_get(ws_.value_rank[i], w))] = lane_get(info, w) > 0 ? nan : lane_get(ws_.values[i], w) + T(0);
      if (Vectors) write_vectors(ws_, info, first, count, out.vectors);
    }
  }

 private:
  Scratch scratch_;
  SymmetricWorkspace<E> ws_;
};

}  // namespace sk
