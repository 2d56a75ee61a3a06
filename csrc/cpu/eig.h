// Batched eig: the matrices of one thread in groups of W, and the group of real matrices (eig_complex.h has the complex one).
#pragma once
#include <utility>

#include "../core/eig.h"
#include "lane_simd.h"
#include "pack.h"
#include "scratch.h"

namespace sk {

// Contiguous outputs; vectors are column-major, as LAPACK and torch have them: entry (i, j) of matrix b at
// ((b * n + j) * n + i).  Complex numbers as pairs of reals.
template <class T>
struct EigOutputs {
  T *values, *right, *left;  // right, left: null when not wanted
  int32_t* info;
};

// The vector re(i) + i im(i) of each matrix w to target[w], nowhere where that is null; row i of the balanced matrix is row
// perm[w][i] of A.
template <class L, class E, class Re, class Im>
void store_vector(const Workspace<E>& ws, Re&& re, Im&& im, real_t<L>* const* target) {
  const int n = ws.h.n;
  if (!ws.permuted) return store_complex(n, re, im, target, static_cast<L*>(nullptr));
  for (int i = 0; i < n; ++i) {
    const L a = re(i), b = im(i);
    for (int w = 0; w < width_v<L>; ++w) {
      if (!target[w]) continue;
      const int r = ws.perm[w * n + i];
      target[w][2 * r] = lane_get(a, w);
      target[w][2 * r + 1] = lane_get(b, w);
    }
  }
}

// Eigenvalues re(i) + i im(i), still scaled, and info of one group; what did not converge becomes NaN.
template <class L, class Re, class Im>
void store_values(int64_t first, int count, int n, const SchurResult<L>& s, Re&& re, Im&& im, const EigOutputs<real_t<L>>& out) {
  using T = real_t<L>;
  T* values[width_v<L>] = {};
  for (int w = 0; w < count; ++w) {
    out.info[first + w] = int(lane_get(s.info, w));
    values[w] = out.values + (first + w) * 2 * n;
  }
  auto part = [&](int i, L x) { return finished_value(i, x, s); };
  store_complex(n, [&](int i) { return part(i, re(i)); }, [&](int i) { return part(i, im(i)); }, values, static_cast<L*>(nullptr));
}

// Stores eigenvectors as the back-substitution emits them, up to two columns of each matrix at a time.
template <class L>
struct VectorWriter {
  using T = real_t<L>;
  T* out;
  int64_t first;
  int count, n;
  const L* info;
  const Workspace<L>* ws;
  bool left;

  T* column(int w, int j) const { return out + ((first + w) * n + (left ? n - 1 - j : j)) * int64_t(n) * 2; }

  // A pair's vector yr +- i yi goes to two columns, that of the eigenvalue with positive imaginary part first; otherwise
  // yi is a real vector, and yr another.  Left vectors are conjugated and come in reverse order.
  void operator()(const ColumnPair<L>& c, const L* yr, const L* yi) const {
    const L has_first = lane_select(c.has_first, L(1), L(0)), pair = lane_select(c.pair, L(1), L(0)), zero(0);
    T *lower[width_v<L>] = {}, *upper[width_v<L>] = {};
    for (int w = 0; w < count; ++w) {
      const int j = int(lane_get(c.bottom, w));
      if (j < 0) continue;
      upper[w] = column(w, j);
      if (lane_get(has_first, w) > 0) lower[w] = column(w, j - 1);
      if (left && lane_get(pair, w) > 0) std::swap(lower[w], upper[w]);
    }
    const mask_t<L> failed = *info > zero;
    const L nan(Machine<T>::nan), sign(left ? T(-1) : T(1));
    auto imaginary = [&](int i, L s) { return lane_select(failed, nan, lane_select(c.pair, s * yi[i], zero)); };
    auto real_part = [&](int i) { return lane_select(failed, nan, lane_select(c.pair, yr[i], yi[i])); };
    store_vector<L>(*ws, [&](int i) { return lane_select(failed, nan, yr[i]); }, [&](int i) { return imaginary(i, sign); }, lower);
    store_vector<L>(*ws, real_part, [&](int i) { return imaginary(i, -sign); }, upper);
  }
};

// The source of matrices that stand in memory.  Every source (jacobian.h, householder.h) has
//   lanes_needed()                   its scratch, in lane values
//   load(first, count, h, scratch)   forms `count` matrices from `first` on in the tile h; the lanes that are left over repeat the last
template <class T>
struct StridedSource {
  const T* a;
  BatchLayout layout;

  long lanes_needed() const { return 0; }
  template <class M, class L>
  void load(int64_t first, int count, M h, L*) const {
    pack(a, layout, first, count, h);
  }
};

// One group: `count` matrices from `first` on, which stand in the workspace.
template <bool Vectors, class L>
void eig_group(int64_t first, int count, EigOptions opt, const EigOutputs<real_t<L>>& out, Workspace<L>& ws) {
  const int n = ws.h.n;
  SchurResult<L> s = schur<Vectors>(ws, opt.balance);
  store_values(first, count, n, s, [&](int i) { return ws.wr[i]; }, [&](int i) { return ws.wi[i]; }, out);
  if (!Vectors) return;
  VectorWriter<L> writer{out.right, first, count, n, &s.info, &ws, false};
  if (opt.right) eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, false, ws.x, writer);
  if (!opt.left) return;
  reflect_for_left(ws.h, ws.zt, ws.wr, ws.wi);
  writer.out = out.left;
  writer.left = true;
  eigenvectors(ws.h, ws.zt, ws.wr, ws.wi, ws.scale, true, ws.x, writer);
}

// Solves ranges of matrices in groups of W, in one workspace.  E: the matrix entry, a lane value or a Complex of one.
template <bool Vectors, class E, class Source>
class EigSolver {
  using L = lane_of<E>;
  using T = real_t<L>;
  static constexpr int W = width_v<L>;

 public:
  EigSolver(const Source& source, int n)
      : source_(source),
        lanes_(Workspace<E>::lanes_needed(n, Vectors)),
        scratch_(size_t(lanes_ + source.lanes_needed()) * sizeof(L) + size_t(W) * n * sizeof(uint16_t)),
        ws_(lane(0), reinterpret_cast<uint16_t*>(lane(lanes_ + source.lanes_needed())), n, Vectors) {}

  void solve(int64_t begin, int64_t end, EigOptions opt, const EigOutputs<T>& out) {
    for (int64_t b = begin; b < end; b += W) {
      const int count = int(end - b < W ? end - b : W);
      source_.load(b, count, ws_.h, lane(lanes_));
      eig_group<Vectors>(b, count, opt, out, ws_);
    }
  }

 private:
  L* lane(long i) { return reinterpret_cast<L*>(scratch_.get()) + i; }

  const Source& source_;
  long lanes_;
  Scratch scratch_;
  Workspace<E> ws_;
};

}  // namespace sk
