// A thread per matrix.  A warp loads 32 matrices into shared memory, together and in the order of memory; each thread balances its own
// there, iterates on it in registers, and brings its Schur form back for the steps that index by data (standard form,
// back-substitution).  Warps share nothing, and take the next 32 matrices when they are done.
#pragma once
#include "../core/complex_eig.h"
#include "sink.cuh"
#include "tuning.h"

namespace sk {

// The working set of one thread, `thread_slot_reals` long.  n is a run-time value on purpose: what works here stays in loops, and what
// knows its size is in registers.
template <bool Vectors, class T>
__device__ void carve(T* slot, int n, Workspace<T>& ws) {
  auto take = [&](int count) {
    T* p = slot;
    slot += count;
    return p;
  };
  ws.h = {take(n * n), n, n};
  ws.zt = {Vectors ? take(n * n) : nullptr, n, n};
  ws.wr = take(n);
  ws.wi = take(n);
  ws.scale = take(n);
  ws.x = Vectors ? take(4 * n) : nullptr;
  ws.chain = nullptr;
  ws.perm = reinterpret_cast<uint16_t*>(slot);
  ws.permuted = false;
}
template <bool Vectors, class T>
__device__ void carve(T* slot, int n, Workspace<Complex<T>>& ws) {
  auto take = [&](int count) {
    Complex<T>* p = reinterpret_cast<Complex<T>*>(slot);
    slot += 2 * count;
    return p;
  };
  ws.h = {take(n * n), n, n};
  ws.z = {Vectors ? take(n * n) : nullptr, n, n};
  ws.w = take(n);
  ws.x = Vectors ? take(2 * vectors_at_once * n) : nullptr;
  ws.rotations = nullptr;
  ws.sub.phase = nullptr;
  ws.sub.size = slot;
  ws.scale = slot + n;
  ws.perm = reinterpret_cast<uint16_t*>(slot + 2 * n);
  ws.permuted = false;
}

// What stands where in the eigenvectors of A: row i of A is row inverse[i] of the balanced matrix.
__device__ inline const uint16_t* invert_permutation(uint16_t* perm, int n) {
  uint16_t* inverse = perm + n;
  for (int i = 0; i < n; ++i) inverse[perm[i]] = uint16_t(i);
  return inverse;
}

// Sends eigenvectors to a sink as the back-substitution emits them, NaN for a matrix that failed.
template <class T, class Sink>
struct ThreadVectors {
  const Sink& sink;
  Side side;
  int64_t matrix;
  int n;
  const uint16_t* inverse;  // null where nothing was permuted
  bool failed;

  __device__ void store(int column, const T* re, int step, const T* im, T sign) const {
    auto at = [&](int i) -> Complex<T> {
      const int r = inverse ? inverse[i] : i;
      if (failed) return {Machine<T>::nan, Machine<T>::nan};
      return {re[r * step], im ? sign * im[r * step] : T(0)};
    };
    sink.vector(side, matrix, n, side == Side::left ? n - 1 - column : column, at, ThreadTeam{});
  }

  // Real matrices.  A pair's vector yr +- i yi goes to two columns, that of the eigenvalue with positive imaginary part first;
  // otherwise yi is a real vector, and yr another.  Left vectors are conjugated and come in reverse order.
  __device__ void operator()(const ColumnPair<T>& c, const T* yr, const T* yi) const {
    if (!c.live) return;
    const int j = int(c.bottom);
    if (!c.pair) {
      store(j, yi, 1, nullptr, T(1));
      if (c.has_first) store(j - 1, yr, 1, nullptr, T(1));
      return;
    }
    store(j - 1, yr, 1, yi, T(1));
    store(j, yr, 1, yi, T(-1));
  }

  // Complex matrices: vector v of a block.
  __device__ void operator()(int column, int v, const Complex<T>* y) const { store(column, &y[v].re, 2 * vectors_at_once, &y[v].im, T(1)); }
};

template <class T, class Emit>
__device__ void emit_eigenvectors(Workspace<T>& ws, bool left, const Emit& emit) {
  if (left) reflect_for_left(ws.h, ws.zt, ws.wr, ws.wi);
  eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, left, ws.x, emit);
  if (left) reflect_for_left(ws.h, ws.zt, ws.wr, ws.wi);  // the eigenvalues are still to be stored
}
template <class T, class Emit>
__device__ void emit_eigenvectors(Workspace<Complex<T>>& ws, bool left, const Emit& emit) {
  if (left) reflect_for_left(ws);
  eigenvectors(ws, left, emit);
}

template <class T>
__device__ void finish_values(Workspace<T>& ws, const SchurResult<T>& s) {
  for (int i = 0; i < ws.h.n; ++i) {
    ws.wr[i] = finished_value(i, ws.wr[i], s);
    ws.wi[i] = finished_value(i, ws.wi[i], s);
  }
}
template <class T>
__device__ void finish_values(Workspace<Complex<T>>& ws, const SchurResult<T>& s) {
  for (int i = 0; i < ws.h.n; ++i)
    ws.w[i] = {finished_value(i, ws.w[i].re + T(0), s), finished_value(i, ws.w[i].im + T(0), s)};  // + 0: no negative zeros
}
template <class T>
__device__ Complex<T> value_at(const Workspace<T>& ws, int i) {
  return {ws.wr[i], ws.wi[i]};
}
template <class T>
__device__ Complex<T> value_at(const Workspace<Complex<T>>& ws, int i) {
  return ws.w[i];
}

// N = n, but N = 2 serves real n = 1 too.  A grid of any size; a block of whole warps; shared memory: a slot per thread.
template <int N, class Source, class Sink>
__global__ void __launch_bounds__(64, 4) thread_eig_kernel(int64_t batch, int n, bool balance, Source source, Sink sink) {
  using E = typename Source::entry;
  using T = typename Source::real;
  constexpr bool vectors = Sink::vectors;
  constexpr int slot_reals = thread_slot_reals({N, int(sizeof(E) / sizeof(T)), int(sizeof(T)), vectors});
  constexpr int group = N <= 2 ? 4 : 8;  // lanes that load or store one matrix together
  SK_DYNAMIC_SHARED(T, slots);
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, warps = blockDim.x / warp_size;
  T* const first_slot = slots + warp * warp_size * slot_reals;
  const ThreadGroup members{lane % group, group};
  for (int64_t first = (int64_t(blockIdx.x) * warps + warp) * warp_size; first < batch; first += int64_t(gridDim.x) * warps * warp_size) {
    const int count = batch - first < warp_size ? int(batch - first) : warp_size;
    Workspace<E> ws;
    carve<vectors>(first_slot + lane * slot_reals, n, ws);
    if constexpr (Source::independent_entries) {
      for (int m = lane / group; m < count; m += warp_size / group) {
        Workspace<E> of;
        carve<vectors>(first_slot + m * slot_reals, n, of);
        source.load(first + m, n, of.h, members);
      }
    } else if (lane < count) {
      source.load(first + lane, n, ws.h, ThreadTeam{});
    }
    __syncwarp();
    if (lane < count) {
      const SchurResult<T> s = schur_in_registers<vectors, N>(ws, balance);
      sink.info(first + lane, int32_t(s.info), ThreadTeam{});
      if constexpr (vectors) {
        const uint16_t* inverse = ws.permuted ? invert_permutation(ws.perm, n) : nullptr;
#pragma unroll 1
        for (int i = 0; i < 2; ++i) {
          const Side side = i == 0 ? Side::right : Side::left;
          if (sink.wants(side)) emit_eigenvectors(ws, side == Side::left, ThreadVectors<T, Sink>{sink, side, first + lane, n, inverse, s.info > 0});
        }
      }
      finish_values(ws, s);
    }
    __syncwarp();
    for (int m = lane / group; m < count; m += warp_size / group) {
      Workspace<E> of;
      carve<vectors>(first_slot + m * slot_reals, n, of);
      sink.values(first + m, n, [&](int i) { return value_at(of, i); }, members);
    }
    __syncwarp();
  }
}

}  // namespace sk
