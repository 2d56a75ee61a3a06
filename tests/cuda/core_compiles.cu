// csrc/core with the scalar lane, as a CUDA thread would run it: compiled only, so that one source stays one source.
#include "core/attention_lse.h"
#include "core/complex_eig.h"
#include "core/ehrlich_aberth.h"
#include "core/eigh.h"
#include "core/householder.h"
#include "core/jacobi.h"
#include "core/jacobian.h"
#include "core/low_rank.h"
#include "core/rank_one.h"
#include "core/secular_vectors.h"
#include "core/sketch_value.h"

template <class T>
struct StoreVectors {
  T* out;
  int n;
  __device__ void operator()(const sk::ColumnPair<T>& c, const T* yr, const T* yi) const {
    if (c.bottom < 0) return;
    for (int i = 0; i < n; ++i) out[int(c.bottom) * n + i] = yr[i] + yi[i];
  }
};

template <class T>
__global__ void eig_kernel(T* storage, uint16_t* perm, T* vectors, int* info, int n) {
  sk::Workspace<T> ws(storage, perm, n, true);
  sk::SchurResult<T> s = sk::schur<true>(ws, true);
  sk::eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, false, ws.x, StoreVectors<T>{vectors, n});
  sk::reflect_for_left(ws.h, ws.zt, ws.wr, ws.wi);
  info[0] = int(s.info);
}

template __global__ void eig_kernel<float>(float*, uint16_t*, float*, int*, int);
template __global__ void eig_kernel<double>(double*, uint16_t*, double*, int*, int);

template <class E>
__global__ void eigh_kernel(sk::lane_of<E>* storage, int* info, int n) {
  sk::SymmetricWorkspace<E> ws(storage, n, true);
  info[0] = int(sk::eigh<true>(ws));
  info[1] = int(sk::eigh<false>(ws));
}

template __global__ void eigh_kernel<float>(float*, int*, int);
template __global__ void eigh_kernel<double>(double*, int*, int);
template __global__ void eigh_kernel<sk::Complex<float>>(float*, int*, int);
template __global__ void eigh_kernel<sk::Complex<double>>(double*, int*, int);

template <class T>
struct StoreComplexVectors {
  sk::Complex<T>* out;
  int n;
  __device__ void operator()(int j, int v, const sk::Complex<T>* y) const {
    for (int i = 0; i < n; ++i) out[j * n + i] = y[i * sk::vectors_at_once + v];
  }
};

template <class T>
__global__ void complex_eig_kernel(T* storage, uint16_t* perm, sk::Complex<T>* vectors, int* info, int n) {
  sk::Workspace<sk::Complex<T>> ws(storage, perm, n, true);
  sk::SchurResult<T> s = sk::schur<true>(ws, true);
  sk::eigenvectors(ws, false, StoreComplexVectors<T>{vectors, n});
  sk::reflect_for_left(ws);
  info[0] = int(s.info);
}

template __global__ void complex_eig_kernel<float>(float*, uint16_t*, sk::Complex<float>*, int*, int);
template __global__ void complex_eig_kernel<double>(double*, uint16_t*, sk::Complex<double>*, int*, int);

template <class T>
__global__ void attention_lse_kernel(const T* q, const T* k, double* lse, int keys, int depth) {
  sk::RunningSum<T> sum;
  T logits[4];
  for (int j = 0; j + 4 <= keys; j += 4) {
    sk::logits_of_keys<4>(q, k + j * depth, depth, depth, logits);
    sk::soft_cap(logits, 4, T(30));
    sk::mask_outside(logits, 4, j, T(0), T(keys));
    sk::absorb(sum, logits, 4);
  }
  lse[0] = sk::log_of_sum(sum.max, sum.sum, sum.rest);
}

template __global__ void attention_lse_kernel<float>(const float*, const float*, double*, int, int);
template __global__ void attention_lse_kernel<double>(const double*, const double*, double*, int, int);

template <class T>
__global__ void closed_forms_kernel(const T* k, const T* beta, const T* weight, T* row, T* h, int64_t n, int m) {
  const sk::RankOneEigenvalues<T> e = sk::rank_one_eigenvalues(T(1), beta[0], sk::dot(k, k, n));
  sk::householder_core(k, beta, n, row, sk::Tile<T>{h, m, m});
  sk::form_jacobian(weight, beta, k, 3, 1, m, sk::Tile<T>{h + m * m, m, m});
  row[0] = e.repeated + e.last;
}

template __global__ void closed_forms_kernel<float>(const float*, const float*, const float*, float*, float*, int64_t, int);
template __global__ void closed_forms_kernel<double>(const double*, const double*, const double*, double*, double*, int64_t, int);

template <class T>
struct StoreRoot {
  T* values;
  __device__ void operator()(int j, T value, const sk::SecularEigenvalue<T>& e) const { values[j] = value + e.offset; }
};

template <class T>
__global__ void secular_kernel(char* memory, const T* d, const T* b, const T* c, T* values, T* vector, int n) {
  sk::SecularWorkspace<T> ws(n, memory);
  T largest;
  const sk::Sign sign = sk::sign_of<T>(ws.d, ws.p, n, largest);
  sk::secular_poles<T>(ws, sign, largest);
  sk::secular_roots<T>(ws);
  sk::secular_ascending(ws, d, StoreRoot<T>{values});
  const sk::SecularVectors<T> vectors(ws, b, c);
  vectors.of_root(0, vector);
  vectors.of_entry(0, 1, vector);
}

template __global__ void secular_kernel<float>(char*, const float*, const float*, const float*, float*, float*, int);
template __global__ void secular_kernel<double>(char*, const double*, const double*, const double*, double*, double*, int);

__global__ void aberth_kernel(char* memory, int n, int* info) {
  sk::AberthWorkspace<double> ws(n, memory);
  sk::aberth_poles<double>(ws, 1.0);
  info[0] = sk::aberth_roots<double>(ws);
  sk::make_conjugate(ws);
}

__global__ void sketch_kernel(const double* logs, const double* edges, int64_t* counts, sk::Sums* sums) {
  const int bin = sk::settle(sk::bin_of_log(logs[0]), exp(logs[0]), edges);
  counts[bin] += 1;
  sk::Sums one;
  one.of[0] = sk::fixed_of(logs[0]);
  sums->add(one, 1);
}
