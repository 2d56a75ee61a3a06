// The working set of one lane group: matrices interleaved lane by lane, rows of an odd leading dimension (an even one
// aliases in a set-associative cache at 4 KiB), and vectors of length n.
#pragma once
#include "reflector.h"

namespace sk {

template <class L>
struct Tile {
  L* a;  // [n][ld] entries, each one lane value
  int n;
  int ld;
  SK_HD L& operator()(int i, int j) const { return a[i * ld + j]; }
  SK_HD L* row(int i) const { return a + i * ld; }
};

SK_HD constexpr int leading_dimension(int n) { return n | 1; }

// Storage of one group, carved by the driver: `lanes_needed` lane values in all.
template <class L>
struct Workspace {
  Tile<L> h;       // A, then Hessenberg, then T of the Schur form
  Tile<L> zt;      // Z transposed: zt(c, r) = Z(r, c).  Null without eigenvectors
  L* wr;           // [n] real parts
  L* wi;           // [n] imaginary parts
  L* scale;        // [n] balancing factors
  L* x;            // [6n] scratch: reflectors, eigenvector pairs and their back-transforms
  Reflector3<L>* chain;  // [n] the same storage: the reflectors of a sweep
  uint16_t* perm;   // [width][n] row r of the balanced matrix is row perm[r] of A
  bool permuted;   // some matrix of the group was permuted

  static constexpr long lanes_needed(int n, bool vectors) {
    return long(n) * leading_dimension(n) * (vectors ? 2 : 1) + 9L * n;
  }
  Workspace() = default;
  SK_HD Workspace(L* storage, uint16_t* perm_storage, int n, bool vectors) : perm(perm_storage), permuted(false) {
    int ld = leading_dimension(n);
    h = {storage, n, ld};
    storage += long(n) * ld;
    zt = {vectors ? storage : nullptr, n, ld};
    if (vectors) storage += long(n) * ld;
    wr = storage;
    wi = wr + n;
    scale = wi + n;
    x = scale + n;
    chain = reinterpret_cast<Reflector3<L>*>(x);
  }
};

}  // namespace sk
