// Eigenvectors from the Schur form by a team: every thread has an eigenvector of its own (of a real matrix two, or a complex pair), which
// the formulas of core/eigenvectors.h and core/complex_eigenvectors.h solve for, transform back and normalise.  Threads walk through T
// and Z in step, so that one read serves all of them; their vectors lie side by side in the workspace.
#pragma once
#include "../core/complex_eigenvectors.h"
#include "../core/eigenvectors.h"
#include "sink.cuh"
#include "team_workspace.cuh"

namespace sk {

// A vector whose components stand `step` apart.
template <class E>
struct StridedVector {
  E* at;
  int step;
  __device__ __forceinline__ E& operator[](int i) const { return at[i * step]; }
};

// What the vectors of one matrix are stored with.
struct VectorTarget {
  Side side;
  int64_t matrix;
  bool stored, failed;  // not stored: a team without a matrix.  failed: NaN
};

template <class T>
__device__ __forceinline__ Complex<T> component(const VectorTarget& target, T re, T im) {
  return {target.failed ? Machine<T>::nan : re, target.failed ? Machine<T>::nan : im};
}

template <class T>
__device__ __forceinline__ int columns_taken(const ColumnPair<T>& c) {
  return c.has_first ? 2 : 1;
}

// The columns of `c`: a pair's vector yr +- i yi, that of the eigenvalue with positive imaginary part first; otherwise yi is a real
// vector, and yr another.  Left vectors are conjugated and come in reverse order.
template <class Team, class T, class Y, class Sink>
__device__ __forceinline__ void store_columns(const Team& team, const VectorTarget& target, const Sink& sink, const ColumnPair<T>& c, const uint16_t* inverse, int n, Y yr, Y yi) {
  const bool left = target.side == Side::left;
#pragma unroll 1
  for (int second = c.has_first ? 0 : 1; second < 2; ++second) {
    const int j = int(c.bottom) - 1 + second, column = left ? n - 1 - j : j;
    const T sign = second ? T(-1) : T(1);  // left: the conjugate of the other one of a pair
    sink.vector(target.side, target.matrix, n, column, [&](int row) {
      const int i = inverse[row];
      const T re = yr[i], im = yi[i];
      return component(target, c.pair || !second ? re : im, c.pair ? sign * im : T(0));
    }, team);
  }
}

// All vectors of one side of a real matrix.
template <class Team, class T, class Sink>
__device__ __forceinline__ void eigenvectors(const Team& team, const TeamWorkspace<T>& ws, const VectorTarget& target, const Sink& sink) {
  const int n = ws.core.h.n, size = team.size(), rank = team.rank();
  const T *wr = ws.core.wr, *wi = ws.core.wi;
  const bool left = target.side == Side::left;
  auto vectors = [&](int which, int of) { return StridedVector<T>{ws.scratch + which * n * size + of, size}; };
  int bottom = n - 1;
  while (team.together(bottom >= 0)) {
    const int top = bottom;
    ColumnPair<T> mine = next_columns(wr, wi, n, T(-1));
    for (int r = 0; r < size && bottom >= 0; ++r) {
      const ColumnPair<T> c = next_columns(wr, wi, n, T(bottom));
      if (r == rank) mine = c;
      bottom -= columns_taken(c);
    }
    if (mine.live) {
      back_substitute(ws.core.h, mine, top, vectors(0, rank), vectors(1, rank));
      back_transform(ws.core.zt, int(mine.bottom), vectors(0, rank), vectors(1, rank), vectors(2, rank), vectors(3, rank));
      normalize(mine, ws.core.scale, left, n, vectors(2, rank), vectors(3, rank));
    }
    team.sync();
    for (int r = 0, at = top; r < size && at >= 0; ++r) {
      const ColumnPair<T> c = next_columns(wr, wi, n, T(at));
      if (target.stored) store_columns(team, target, sink, c, ws.inverse, n, vectors(2, r), vectors(3, r));
      at -= columns_taken(c);
    }
    team.sync();
  }
}

// All vectors of one side of a complex matrix.
template <class Team, class T, class Sink>
__device__ __forceinline__ void eigenvectors(const Team& team, const TeamWorkspace<Complex<T>>& ws, const VectorTarget& target, const Sink& sink) {
  using C = Complex<T>;
  const int n = ws.core.h.n, size = team.size(), rank = team.rank();
  const bool left = target.side == Side::left;
  auto vectors = [&](int which, int of) { return StridedVector<C>{ws.scratch + which * n * size + of, size}; };
  for (int bottom = n - 1; bottom >= 0; bottom -= size) {
    const int j = bottom - rank;
    if (j >= 0) {
      back_substitute<1>(ws.core.h, j, 1, vectors(0, rank));
      int i = 0;
      for (; i + 2 <= n; i += 2) back_transform_rows<2, 1>(ws.core.z, i, j, vectors(0, rank), vectors(1, rank));
      for (; i < n; ++i) back_transform_rows<1, 1>(ws.core.z, i, j, vectors(0, rank), vectors(1, rank));
      normalize<1>(ws.core.scale, left, n, 0, vectors(1, rank));
    }
    team.sync();
    for (int r = 0; target.stored && r < size && r <= bottom; ++r) {
      const StridedVector<C> y = vectors(1, r);
      sink.vector(target.side, target.matrix, n, left ? n - 1 - (bottom - r) : bottom - r, [&](int row) {
        const C a = y[ws.inverse[row]];
        return component(target, a.re, a.im);
      }, team);
    }
    team.sync();
  }
}

template <class T>
__device__ __forceinline__ void exchange_conjugates(T& a, T& b) {
  const T t = conj(a);
  a = conj(b);
  b = t;
}

// Left eigenvectors are right eigenvectors of A^H = Z T^H Z^H.  Reversing rows and columns makes T^H upper (quasi-)triangular again, in
// place: t(i, j) <-> conj t(n-1-j, n-1-i), and Z's columns stand in reverse order.
template <class Team, class M, class E>
__device__ __forceinline__ void reflect_for_left(const Team& team, M t, E* z) {
  const int n = t.n;
  for (int i = team.rank(); i < n; i += team.size()) {
    for (int j = i > 0 ? i - 1 : 0; i + j < n; ++j) {
      if (i + j == n - 1)
        t(i, j) = conj(t(i, j));
      else
        exchange_conjugates(t(i, j), t(n - 1 - j, n - 1 - i));
    }
    for (int c = 0; c < n / 2; ++c) {
      E &a = z[c * t.ld + i], &b = z[(n - 1 - c) * t.ld + i];
      const E s = a;
      a = b;
      b = s;
    }
  }
  team.sync();
}
template <class Team, class T>
__device__ __forceinline__ void reverse(const Team& team, T* x, int n) {
  for (int i = team.rank(); i < n / 2; i += team.size()) {
    const T t = x[i];
    x[i] = x[n - 1 - i];
    x[n - 1 - i] = t;
  }
}

}  // namespace sk
