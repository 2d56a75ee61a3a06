// The working set of one team, carved from its slot in shared memory and its part of the workspace.
#pragma once
#include "../core/complex_workspace.h"
#include "../core/entry.h"
#include "team.cuh"
#include "team_layout.h"

namespace sk {

template <class E>
struct MatrixOf {
  using type = Tile<E>;
};
template <class T>
struct MatrixOf<Complex<T>> {
  using type = ColumnTile<Complex<T>>;
};

// E: the matrix entry, a real or a Complex of one.
template <class E>
struct TeamWorkspace {
  using T = lane_of<E>;

  Workspace<E> core;   // H, Z, vectors of length n; without `x`, `chain` for real and `w`, `x` for complex matrices
  E *tau, *v;          // [n] of the Householder reduction
  Reflector3<T>* chain;  // [n] of a double-shift sweep
  T *cs, *sn;          // [n] of the rotations that standardise 2x2 blocks
  uint16_t* inverse;   // [n] row i of A is row inverse[i] of the balanced matrix
  E* scratch;          // eigenvectors in progress, in global memory

  // Q, then Z: column j stands at z() + j ld.
  __device__ __forceinline__ E* z() const {
    if constexpr (is_complex_v<E>)
      return core.z.a;
    else
      return core.zt.a;
  }

  // `slot`, `part`: this team's slot in shared memory and part of the workspace
  template <Placement P, bool Vectors>
  __device__ __forceinline__ static TeamWorkspace carve(const TeamLayout& layout, T* slot, T* part) {
    TeamWorkspace ws;
    const int n = layout.n, ld = layout.leading_dimension();
    const int64_t matrix = layout.matrix_reals();
    ws.scratch = reinterpret_cast<E*>(part);
    part += layout.scratch_reals();
    T* h = P == Placement::global ? part : slot;
    (P == Placement::global ? part : slot) += matrix;
    T* z = P == Placement::shared ? slot : part;
    if (Vectors && P == Placement::shared) slot += matrix;
    ws.core.h = {reinterpret_cast<E*>(h), n, ld};
    ws.set_z({reinterpret_cast<E*>(z), n, ld});
    ws.core.scale = slot;
    if (Vectors) slot += n;
    ws.tau = reinterpret_cast<E*>(slot) + n;
    ws.v = reinterpret_cast<E*>(slot);
    ws.set_vectors(slot);
    ws.inverse = reinterpret_cast<uint16_t*>(slot + layout.vector_reals() - (Vectors ? n : 0));
    return ws;
  }

 private:
  __device__ __forceinline__ void set_z(typename MatrixOf<E>::type z) {
    if constexpr (is_complex_v<E>)
      core.z = z;
    else
      core.zt = z;
  }
  __device__ __forceinline__ void set_vectors(T* at) {
    const int n = core.h.n;
    if constexpr (is_complex_v<E>) {
      core.sub = {at, reinterpret_cast<E*>(at + n)};
      core.rotations = reinterpret_cast<Rotation<T>*>(at + 3 * n);
    } else {
      chain = reinterpret_cast<Reflector3<T>*>(at);
      core.wr = at;
      core.wi = at + n;
      cs = at + 2 * n;
      sn = at + 3 * n;
    }
  }
};

}  // namespace sk
