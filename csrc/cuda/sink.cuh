// Where results go.  A sink is a template parameter of the kernels, so that what becomes of the eigenvalues is fused into the store.
//
//   Sink::vectors                                    eigenvectors are wanted: the kernels compute the Schur form
//   wants(side)                                      the right, the left ones
//   values(matrix, n, at, team)                      eigenvalue i is at(i), a Complex<T>
//   vector(side, matrix, n, column, at, team)        component i of the eigenvector of eigenvalue `column` is at(i)
//   info(matrix, code, team)
//
// Each is called once per matrix (and side and column) by all threads of `team`; at(i) may be asked for by any of them.  What did not
// converge arrives as NaN.
#pragma once
#include "source.cuh"

namespace sk {

enum class Side { right, left };

// Contiguous tensors.  Eigenvectors are column-major, as LAPACK and torch have them: component i of column j of matrix b at
// (b n + j) n + i.
template <class T, bool Vectors>
struct TensorSink {
  static constexpr bool vectors = Vectors;
  Pair<T>*values_, *right_, *left_;  // right_, left_: null when not wanted
  int32_t* info_;

  __device__ bool wants(Side side) const { return Vectors && (side == Side::right ? right_ : left_) != nullptr; }

  template <class At, class Team>
  __device__ void values(int64_t matrix, int n, At&& at, const Team& team) const {
    store(values_ + matrix * n, n, at, team);
  }
  template <class At, class Team>
  __device__ void vector(Side side, int64_t matrix, int n, int column, At&& at, const Team& team) const {
    store((side == Side::right ? right_ : left_) + (matrix * n + column) * n, n, at, team);
  }
  template <class Team>
  __device__ void info(int64_t matrix, int32_t code, const Team& team) const {
    if (team.rank() == 0) info_[matrix] = code;
  }

 private:
  template <class At, class Team>
  __device__ static void store(Pair<T>* target, int n, At&& at, const Team& team) {
    for (int i = team.rank(); i < n; i += team.size()) {
      const Complex<T> x = at(i);
      target[i] = {x.re, x.im};
    }
  }
};

}  // namespace sk
