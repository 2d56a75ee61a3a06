// Jacobi's method in one thread's registers: the rounds of team_eigh.cuh, with the same bits.
#pragma once
#include "eigh_tuning.h"
#include "symmetric.cuh"

namespace sk {

// A matrix whose every index is known to the compiler.  The players of the tournament move from seat to seat in place of the indices: the games
// of every round are those of the first one, and after all rounds everyone is back.
template <class E, int N, bool Vectors>
struct RegisterMatrix {
  static constexpr SK_HD Tournament games() { return {N}; }
  static constexpr int pairs = N / 2;
  E a[Triangle<E>::size(N)];             // the lower triangle
  E vt[Vectors ? N : 1][Vectors ? N : 1];  // eigenvectors as rows

  __device__ __forceinline__ E get(int i, int j) const {
    if constexpr (is_complex_v<E>)
      return i < j ? conj(a[Triangle<E>::row(j) + i]) : a[Triangle<E>::row(i) + j];
    else
      return i < j ? a[Triangle<E>::row(j) + i] : a[Triangle<E>::row(i) + j];
  }
  __device__ __forceinline__ void set(int i, int j, E x) {
    if (i < j)
      a[Triangle<E>::row(j) + i] = conj(x);
    else
      a[Triangle<E>::row(i) + j] = x;
  }
  __device__ __forceinline__ lane_of<E> diagonal(int i) const { return real_part(a[Triangle<E>::row(i) + i]); }

  __device__ __forceinline__ void set_identity() {
    SK_UNROLL_ALL
    for (int i = 0; i < N; ++i)
      SK_UNROLL_ALL
      for (int j = 0; j < N; ++j) vt[i][j] = entry<E>(lane_of<E>(i == j), lane_of<E>(0));
  }

  __device__ __forceinline__ bool unfinished() const {
    bool any = false;
    SK_UNROLL_ALL
    for (int i = 1; i < N; ++i)
      SK_UNROLL_ALL
      for (int j = 0; j < i; ++j) any |= !is_negligible(diagonal(i), squared_modulus(get(i, j)), diagonal(j));
    return any;
  }

  __device__ __forceinline__ void round() {
    JacobiRotation<E> rotation[pairs > 0 ? pairs : 1];
    SK_UNROLL_ALL
    for (int k = 0; k < pairs; ++k) {
      const int p = games().pair(0, k).p, q = games().pair(0, k).q;
      lane_of<E> app = diagonal(p), aqq = diagonal(q);
      const bool skip = is_negligible(app, squared_modulus(get(p, q)), aqq);
      rotation[k] = jacobi_rotation(app, get(p, q), aqq);
      set(p, p, entry<E>(app, 0));
      set(q, q, entry<E>(aqq, 0));
      set(p, q, skip ? get(p, q) : entry<E>(0, 0));
    }
    SK_UNROLL_ALL
    for (int low = 0; low < pairs; ++low)
      SK_UNROLL_ALL
      for (int high = low + 1; high < pairs; ++high) {
        const int p = games().pair(0, low).p, q = games().pair(0, low).q, r = games().pair(0, high).p, s = games().pair(0, high).q;
        E pr = get(p, r), ps = get(p, s), qr = get(q, r), qs = get(q, s);
        rotation[low].rows(pr, qr);
        rotation[low].rows(ps, qs);
        rotation[high].columns(pr, ps);
        rotation[high].columns(qr, qs);
        set(p, r, pr), set(p, s, ps), set(q, r, qr), set(q, s, qs);
      }
    if constexpr (N % 2) {  // the row of the one that pauses
      SK_UNROLL_ALL
      for (int k = 0; k < pairs; ++k) {
        const int p = games().pair(0, k).p, q = games().pair(0, k).q;
        E x = get(0, p), y = get(0, q);
        rotation[k].columns(x, y);
        set(0, p, x), set(0, q, y);
      }
    }
    if constexpr (Vectors) {
      SK_UNROLL_ALL
      for (int k = 0; k < pairs; ++k)
        SK_UNROLL_ALL
        for (int i = 0; i < N; ++i) rotation[k].columns(vt[games().pair(0, k).p][i], vt[games().pair(0, k).q][i]);
    }
  }

  // Everyone takes the seat in front; the last player of an even number keeps it.
  __device__ __forceinline__ void move() {
    constexpr int cycle = games().cycle();
    const RegisterMatrix old = *this;
    auto from = [](int i) { return i >= cycle ? i : i + 1 == cycle ? 0 : i + 1; };
    SK_UNROLL_ALL
    for (int i = 0; i < N; ++i) {
      SK_UNROLL_ALL
      for (int j = 0; j <= i; ++j) a[Triangle<E>::row(i) + j] = old.get(from(i), from(j));
      if constexpr (Vectors) {
        SK_UNROLL_ALL
        for (int j = 0; j < N; ++j) vt[i][j] = old.vt[from(i)][j];
      }
    }
  }

  // A = V Diag(diagonal) V^H.  Returns 0, or N where 30 sweeps were not enough.
  __device__ __forceinline__ int jacobi() {
    int sweep = 0;
    for (; sweep < jacobi_sweeps && unfinished(); ++sweep) {
#pragma unroll 1
      for (int r = 0; r < games().rounds(); ++r) {
        round();
        move();
      }
    }
    return sweep < jacobi_sweeps || !unfinished() ? 0 : N;
  }
};

constexpr int eigh_thread_block = 128;

// A thread per matrix.  The matrices of a warp come and go through shared memory, entry by entry as they stand in global memory.
template <class E, int N, bool Vectors>
__global__ __launch_bounds__(eigh_thread_block, 1) void eigh_thread_kernel(TriangleSource<E> source, int64_t batch, SymmetricOutputs<E> out) {
  using T = lane_of<E>;
  constexpr int lanes = 32, slot = staged_entries(N, Vectors), square = N * N;
  constexpr unsigned warp = 0xffffffffu;
  SK_DYNAMIC_SHARED(E, shared);
  const int lane = int(threadIdx.x) % lanes;
  E *const staged = shared + (int(threadIdx.x) - lane) * slot, *const mine = staged + lane * slot;
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x - lane; first < batch; first += step) {
    const int count = int(batch - first < lanes ? batch - first : lanes);
    const int64_t offset = source.matrices.batch.offset(first + (lane < count ? lane : count - 1));
    for (int start = 0; start < count * square; start += lanes) {
      const int e = start + lane, m = e / square, r = e - m * square;
      const int64_t at = __shfl_sync(warp, offset, m % lanes);
      const auto place = source.place(r / N, r % N);
      if (e < count * square && place.inside) staged[m * slot + Triangle<E>::row(place.row) + place.column] = source.load(at, place);
    }
    __syncwarp(warp);

    const bool there = lane < count;
    RegisterMatrix<E, N, Vectors> matrix;
    T amax = 0;
    bool bad = false;
    SK_UNROLL_ALL
    for (int e = 0; e < Triangle<E>::size(N); ++e) {
      const E x = there ? mine[e] : entry<E>(T(0), T(0));
      bad |= !is_finite(x);
      amax = lane_max(largest_part(x), amax);
      matrix.a[e] = x;
    }
    const PowerOfTwoScale<T> f = power_of_two_scale(bad ? T(0) : amax);
    SK_UNROLL_ALL
    for (int e = 0; e < Triangle<E>::size(N); ++e) matrix.a[e] = bad ? entry<E>(T(0), T(0)) : f.apply(matrix.a[e]);
    if constexpr (Vectors) matrix.set_identity();
    const int unfinished = matrix.jacobi(), info = bad ? N + 1 : unfinished;
    if (there) out.info[first + lane] = info;

    SK_UNROLL_ALL
    for (int i = 0; i < N; ++i) {
      const T value = matrix.diagonal(i);
      int place = 0;
      SK_UNROLL_ALL
      for (int j = 0; j < N; ++j) place += matrix.diagonal(j) < value || (matrix.diagonal(j) == value && j < i);
      const bool failed = info > 0;
      const T nan = Machine<T>::nan;
      mine[place] = entry<E>(failed ? nan : f.undo(value) + T(0), T(0));
      if constexpr (Vectors) {
        SK_UNROLL_ALL
        for (int j = 0; j < N; ++j) mine[N + place * N + j] = failed ? entry<E>(nan, nan) : matrix.vt[i][j] + entry<E>(T(0), T(0));
      }
    }
    __syncwarp(warp);
    for (int e = lane; e < count * N; e += lanes) out.values[first * N + e] = real_part(staged[e / N * slot + e % N]);
    if constexpr (Vectors)
      for (int e = lane; e < count * square; e += lanes) store_entry<E>(out.vectors + first * square + e, staged[e / square * slot + N + e % square], false);
    __syncwarp(warp);
  }
}

}  // namespace sk
