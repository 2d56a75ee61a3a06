// The working set of one group of complex matrices.  Columns are contiguous: the QR sweep (complex_qr.h) walks down them.
#pragma once
#include "complex.h"
#include "tile.h"

namespace sk {

template <class E>
struct ColumnTile {
  E* a;  // [n][ld] entries, each one lane value
  int n;
  int ld;
  SK_HD E& operator()(int i, int j) const { return a[j * ld + i]; }
  SK_HD E* col(int j) const { return a + j * ld; }
};

template <int N, class E>
SK_HD void copy_tile(ColumnTile<E> from, ColumnTile<E> to) {
  SK_UNROLL
  for (int j = 0; j < N; ++j) {
    SK_UNROLL
    for (int i = 0; i < N; ++i) to(i, j) = from(i, j);
  }
}

// Subdiagonal entry k is h(k+1, k) = size[k] * phase[k], |phase| = 1, and stands here instead of in the tile: the diagonal
// unitary that makes the subdiagonal real in xLAHQR stays implicit.
template <class L>
struct Subdiagonal {
  L* size;
  Complex<L>* phase;
};

template <class L>
struct Workspace<Complex<L>> {
  ColumnTile<Complex<L>> h;   // A, then Hessenberg, then T of the Schur form
  ColumnTile<Complex<L>> z;   // Z.  Null without eigenvectors
  Complex<L>* w;              // [n] eigenvalues
  Complex<L>* x;              // [8n] scratch: reflectors, eigenvectors four at a time and their back-transforms
  Rotation<L>* rotations;     // [n] of one sweep
  Subdiagonal<L> sub;         // [n]
  L* scale;                   // [n] balancing factors
  uint16_t* perm;              // [width][n] row r of the balanced matrix is row perm[r] of A
  bool permuted;              // some matrix of the group was permuted

  static constexpr long lanes_needed(int n, bool vectors) {
    return 2L * n * leading_dimension(n) * (vectors ? 2 : 1) + 25L * n;
  }
  Workspace() = default;
  SK_HD Workspace(L* storage, uint16_t* perm_storage, int n, bool vectors) : perm(perm_storage), permuted(false) {
    const int ld = leading_dimension(n);
    auto take = [&](long complex_values) {
      Complex<L>* p = reinterpret_cast<Complex<L>*>(storage);
      storage += 2 * complex_values;
      return p;
    };
    h = {take(long(n) * ld), n, ld};
    z = {vectors ? take(long(n) * ld) : nullptr, n, ld};
    w = take(n);
    x = take(8L * n);
    sub.phase = take(n);
    rotations = reinterpret_cast<Rotation<L>*>(storage);
    storage += 3L * n;
    sub.size = storage;
    scale = storage + n;
  }
};

}  // namespace sk
