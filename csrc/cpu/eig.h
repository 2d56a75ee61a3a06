// Batched eig of real matrices: groups of W matrices over the threads.  Included by eig.cpp only.
#pragma once
#include <limits>

#include "../core/eig.h"
#include "lane_simd.h"
#include "pack.h"

namespace sk {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

// Contiguous outputs; vectors are column-major, as LAPACK and torch have them: entry (i, j) of matrix b at
// ((b * n + j) * n + i).  Complex numbers as pairs of reals.
template <class T>
struct EigOutputs {
  T *values, *right, *left;  // right, left: null when not wanted
  int32_t* info;
};

template <class L>
struct VectorWriter {
  using T = real_t<L>;
  T* out;
  int64_t first;
  int count, n;
  const L* info;
  const Workspace<L>* ws;
  bool left;

  void column(int64_t b, int j, const T* re, const T* im, T sign, const uint8_t* perm, bool failed) const {
    T* dst = out + ((b * n + j) * int64_t(n)) * 2;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    constexpr int W = width_v<L>;
    for (int i = 0; i < n; ++i) {
      const int r = perm ? perm[i] : i;
      dst[2 * r] = failed ? nan : re[i * W];
      dst[2 * r + 1] = failed ? nan : (im ? sign * im[i * W] : T(0));
    }
  }

  void operator()(const ColumnPair<L>& c, const L* yr, const L* yi) const {
    const L first_flag = lane_select(c.has_first, L(1), L(0)), pair_flag = lane_select(c.pair, L(1), L(0));
    const T sign = left ? T(-1) : T(1);
    for (int w = 0; w < count; ++w) {
      int j1 = int(lane_get(c.bottom, w));
      if (j1 < 0) continue;
      int j0 = j1 - 1;
      if (left) j1 = n - 1 - j1, j0 = j1 + 1;
      const T *re = reinterpret_cast<const T*>(yr) + w, *im = reinterpret_cast<const T*>(yi) + w;
      const uint8_t* perm = ws->permuted ? ws->perm + w * n : nullptr;
      const bool failed = lane_get(*info, w) > 0;
      if (lane_get(pair_flag, w) > 0) {  // the vector of the eigenvalue with positive imaginary part stands first
        const int plus = left ? j1 : j0, minus = left ? j0 : j1;
        column(first + w, plus, re, im, sign, perm, failed);
        column(first + w, minus, re, im, -sign, perm, failed);
      } else {
        column(first + w, j1, im, nullptr, T(0), perm, failed);
        if (lane_get(first_flag, w) > 0) column(first + w, j0, re, nullptr, T(0), perm, failed);
      }
    }
  }
};

// One group: `count` matrices from `first` on.
template <bool Vectors, class L>
void eig_group(const real_t<L>* a, const BatchLayout& layout, int64_t first, int count, EigOptions opt,
               const EigOutputs<real_t<L>>& out, Workspace<L>& ws) {
  using T = real_t<L>;
  const int n = ws.h.n;
  pack(a, layout, first, count, ws.h);
  SchurResult<L> s = schur<Vectors>(ws, opt.balance);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (int w = 0; w < count; ++w) {
    const int info = int(lane_get(s.info, w));
    out.info[first + w] = info;
    T* dst = out.values + (first + w) * 2 * n;
    for (int i = 0; i < info && i < n; ++i) dst[2 * i] = dst[2 * i + 1] = nan;
  }
  for (int i = 0; i < n; ++i) {
    const L re = unscale(ws.wr[i], s.factors), im = unscale(ws.wi[i], s.factors);
    for (int w = 0; w < count; ++w) {
      if (i < lane_get(s.info, w)) continue;
      T* dst = out.values + ((first + w) * n + i) * 2;
      dst[0] = lane_get(re, w);
      dst[1] = lane_get(im, w);
    }
  }
  if (!Vectors) return;
  VectorWriter<L> writer{out.right, first, count, n, &s.info, &ws, false};
  if (opt.right) eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, false, ws.x, writer);
  if (!opt.left) return;
  reflect_for_left(ws.h, ws.zt, ws.wr, ws.wi);
  writer.out = out.left;
  writer.left = true;
  eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, true, ws.x, writer);
}

// Aligned scratch for one thread.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : p_(::operator new(bytes, std::align_val_t(64))) {}
  ~Scratch() { ::operator delete(p_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* get() const { return static_cast<char*>(p_); }

 private:
  void* p_;
};

template <bool Vectors, class L>
void eig_range(const real_t<L>* a, const BatchLayout& layout, int64_t begin, int64_t end, int n, EigOptions opt,
               const EigOutputs<real_t<L>>& out) {
  constexpr int W = width_v<L>;
  const size_t lanes = size_t(Workspace<L>::lanes_needed(n, Vectors));
  Scratch scratch(lanes * sizeof(L) + size_t(W) * n);
  Workspace<L> ws(reinterpret_cast<L*>(scratch.get()), reinterpret_cast<uint8_t*>(scratch.get() + lanes * sizeof(L)), n, Vectors);
  for (int64_t b = begin; b < end; b += W) {
    const int count = int(end - b < W ? end - b : W);
    eig_group<Vectors>(a, layout, b, count, opt, out, ws);
  }
}

}  // namespace sk
