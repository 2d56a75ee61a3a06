// What the kernels of symmetric and Hermitian matrices share: one triangle comes in, ascending eigenvalues and eigenvectors go out.
#pragma once
#include "../core/eigh.h"
#include "../core/jacobi.h"
#include "source.cuh"

namespace sk {

constexpr int jacobi_sweeps = 30;  // random matrices take 3 to 9, graded ones of the LAPACK types up to 17

// One triangle of the matrices of a StridedSource, as the lower triangle: the other one and the imaginary parts of the diagonal do not count.
template <class E>
struct TriangleSource {
  StridedSource<E> matrices;
  bool upper;

  // Entries in the order of memory, as well as two strides say it.
  __device__ __forceinline__ bool by_rows() const { return matrices.col <= matrices.row; }
  // Entry e of this order: whether it belongs to the triangle, and where it stands in the lower one.
  struct Place {
    int row, column;
    bool inside;
  };
  __device__ __forceinline__ Place place(int outer, int inner) const {
    const bool as_it_is = by_rows() != upper;
    const int i = as_it_is ? outer : inner, j = as_it_is ? inner : outer;
    return {i, j, j <= i};
  }
  __device__ __forceinline__ E load(int64_t offset, Place p) const {
    const int64_t down = upper ? matrices.col : matrices.row, right = upper ? matrices.row : matrices.col;
    const auto x = matrices.data[offset + p.row * down + p.column * right];
    if constexpr (is_complex_v<E>)
      return {x.re, p.row == p.column ? 0 : upper ? -x.im : x.im};
    else
      return x;
  }
};

// Contiguous outputs; eigenvector c is column c, component r at (b n + c) n + r.
template <class E>
struct SymmetricOutputs {
  lane_of<E>* values;
  typename Memory<E>::type* vectors;  // null when not wanted
  int32_t* info;
};

template <class E>
__device__ __forceinline__ void store_entry(typename Memory<E>::type* target, E x, bool failed) {
  using T = lane_of<E>;
  const T nan = Machine<T>::nan;
  if constexpr (is_complex_v<E>)
    *target = failed ? typename Memory<E>::type{nan, nan} : typename Memory<E>::type{x.re, x.im};
  else
    *target = failed ? nan : x;
}

}  // namespace sk
