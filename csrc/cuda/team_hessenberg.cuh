// Reduction to upper Hessenberg form by a team, of real and of complex matrices (xGEHD2, xORGHR, xUNGHR): the left side of a reflector
// acts on a column per thread, the right side on a row per thread.  Every thread forms the norm of a column by itself, so that no sum
// depends on the number of threads: a matrix has the same eigenvalues, to the bit, whatever team solves it.
#pragma once
#include "../core/complex_hessenberg.h"
#include "team_workspace.cuh"

namespace sk {

// Column k becomes (.., subdiagonal, 0, ..); where Schur is set, v and tau are kept, v below the subdiagonal.
template <bool Schur, class Team, class M, class E>
__device__ __forceinline__ void reduce_to_hessenberg(const Team& team, M h, E* tau, E* v) {
  using T = lane_of<E>;
  const int n = h.n, rank = team.rank(), size = team.size();
  for (int k = 0; k + 2 < n; ++k) {
    const E alpha = h(k + 1, k);
    T ss = 0, peak = 0;
    for (int i = k + 2; i < n; ++i) {
      ss = add_square(h(i, k), ss);
      peak = lane_max(peak, largest_part(h(i, k)));
    }
    const bool reflect = peak > T(0);
    const T lift = column_lift(reflect, lane_max(peak, cabs1(alpha)));
    if (lift != T(1)) {
      const T drop = lane_pow2_inverse(lift);
      ss = 0;
      for (int i = k + 2; i < n; ++i) ss = add_square(h(i, k) * drop, ss);
    }
    const ColumnReflector<E> r = column_reflector(alpha, ss, reflect, lift);
    for (int i = k + 2 + rank; i < n; i += size) v[i] = r.component(h(i, k));
    if (rank == 0) {
      v[k + 1] = entry<E>(T(1), T(0));
      if (Schur) tau[k] = r.tau;
    }
    team.sync();
    if (rank == 0) h(k + 1, k) = r.subdiagonal;
    for (int i = k + 2 + rank; i < n; i += size) h(i, k) = Schur ? v[i] : E{};
    for (int j = k + 1 + rank; j < n; j += size) {
      E s{};
      for (int i = k + 1; i < n; ++i) s = conj_multiply_add(v[i], h(i, j), s);
      s = -(conj(r.tau) * s);
      for (int i = k + 1; i < n; ++i) h(i, j) = multiply_add(v[i], s, h(i, j));
    }
    team.sync();
    for (int i = rank; i < n; i += size) {
      E s{};
      for (int j = k + 1; j < n; ++j) s = multiply_add(v[j], h(i, j), s);
      s = -(r.tau * s);
      for (int j = k + 1; j < n; ++j) h(i, j) = conj_multiply_add(v[j], s, h(i, j));
    }
    team.sync();
  }
}

// Q = H_0 H_1 ..., a column per thread: column j of Q stands at q + j ld.  Reads the reflectors below the subdiagonal of h.
template <class Team, class M, class E>
__device__ __forceinline__ void form_orthogonal_factor(const Team& team, M h, const E* tau, E* q) {
  using T = lane_of<E>;
  const int n = h.n;
  for (int j = team.rank(); j < n; j += team.size()) {
    E* x = q + j * h.ld;
    for (int i = 0; i < n; ++i) x[i] = entry<E>(T(i == j ? 1 : 0), T(0));
    for (int k = (j <= n - 2 ? j : n - 2) - 1; k >= 0; --k) {
      E s = x[k + 1];
      for (int i = k + 2; i < n; ++i) s = conj_multiply_add(h(i, k), x[i], s);
      s = -(tau[k] * s);
      x[k + 1] = x[k + 1] + s;
      for (int i = k + 2; i < n; ++i) x[i] = multiply_add(h(i, k), s, x[i]);
    }
  }
}

template <class Team, class T>
__device__ __forceinline__ void clear_below_subdiagonal(const Team& team, Tile<T> h) {
  for (int i = team.rank(); i < h.n; i += team.size())
    for (int j = 0; j + 1 < i; ++j) h(i, j) = T(0);
}

// Takes the subdiagonal out of the tile and clears what lies below the diagonal.
template <class Team, class T>
__device__ __forceinline__ void extract_subdiagonal(const Team& team, ColumnTile<Complex<T>> h, Subdiagonal<T> sub) {
  const int n = h.n;
  for (int j = team.rank(); j < n; j += team.size()) {
    const bool last = j + 1 == n;
    const Complex<T> below = last ? Complex<T>{T(1), T(0)} : h(j + 1, j);
    const T size = modulus(below);
    sub.size[j] = last ? T(0) : size;
    sub.phase[j] = phase_of(below, size);
    for (int i = j + 1; i < n; ++i) h(i, j) = {T(0), T(0)};
  }
}

}  // namespace sk
