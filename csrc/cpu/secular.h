// Diag(d) + b c^T with p = b c of one sign: one matrix after another on one thread, its roots in the lanes.
#pragma once
#include "../core/secular_vectors.h"
#include "lane_simd.h"
#include "scratch.h"

namespace sk {

template <class T>
class SecularSolver {
  using L = SimdLane<T, register_bytes / int(sizeof(T)), 1>;
  static constexpr T nan = std::numeric_limits<T>::quiet_NaN();

 public:
  explicit SecularSolver(int n)
      : n_(n), stride_(SecularWorkspace<T>::array_bytes(n)), memory_(SecularWorkspace<T>::bytes(n) + 3 * stride_), ws_(n, memory_.get()) {
    memset(memory_.get(), 0, SecularWorkspace<T>::bytes(n) + 3 * stride_);
  }

  // All (n); NaN where an entry is not finite or p has both signs.
  void values(const T* d, const T* p, T* eigenvalues, int64_t* origin, T* offset) {
    load(p, ws_.p);
    if (!roots(d)) {
      for (int j = 0; j < n_; ++j) {
        eigenvalues[j] = offset[j] = nan;
        origin[j] = j;
      }
      return;
    }
    secular_ascending(ws_, d, [&](int j, T value, const SecularEigenvalue<T>& e) {
      eigenvalues[j] = value;
      origin[j] = e.origin;
      offset[j] = e.offset;
    });
  }

  // Vectors (n, n) column by column, null where not wanted.  Returns info: 0, or n + 1 where all are NaN.
  int32_t vectors(const T* d, const T* b, const T* c, T* eigenvalues, T* right, T* left) {
    T *bs = extra(0), *cs = extra(1);
    load(b, bs);
    load(c, cs);
    for (int i = 0; i < n_; ++i) ws_.p[i] = b[i] * c[i];
    clear_padding(ws_.p);
    if (!finite(b) || !finite(c) || !roots(d)) {
      for (int j = 0; j < n_; ++j) eigenvalues[j] = nan;
      for (T* v : {right, left})
        if (v)
          for (int64_t i = 0; i < int64_t(n_) * n_; ++i) v[i] = nan;
      return n_ + 1;
    }
    const SecularVectors<L> of_right(ws_, bs, cs), of_left(ws_, cs, bs);
    T *x = extra(2), entry = 0;
    int rank = 0;
    secular_ascending(ws_, d, [&](int j, T value, const SecularEigenvalue<T>& e) {
      eigenvalues[j] = value;
      if (e.root < 0) {
        rank = rank > 0 && ws_.d[e.origin] == entry ? rank : 0;
        entry = ws_.d[e.origin];
      }
      auto store = [&](const SecularVectors<L>& vectors, T* out) {
        if (!out) return;
        if (e.root >= 0)
          vectors.of_root(e.root, x);
        else
          vectors.of_entry(e.origin, rank, x);
        memcpy(out + int64_t(j) * n_, x, n_ * sizeof(T));
      };
      store(of_right, right);
      store(of_left, left);
      rank += e.root < 0;
    });
    return 0;
  }

 private:
  int n_;
  size_t stride_;
  Scratch memory_;
  SecularWorkspace<T> ws_;

  T* extra(int k) const { return reinterpret_cast<T*>(memory_.get() + SecularWorkspace<T>::bytes(n_) + k * stride_); }
  void clear_padding(T* a) const { memset(a + n_, 0, ws_.padding * sizeof(T)); }
  void load(const T* from, T* to) const {
    memcpy(to, from, n_ * sizeof(T));
    clear_padding(to);
  }
  bool finite(const T* a) const {
    bool all = true;
    for (int i = 0; i < n_; ++i) all = all && lane_abs(a[i]) <= Machine<T>::largest;
    return all;
  }

  // ws_.p holds p.  False where there is nothing to solve.
  bool roots(const T* d) {
    load(d, ws_.d);
    T largest;
    const Sign sign = sign_of<L>(ws_.d, ws_.p, n_, largest);
    if (sign == Sign::mixed || sign == Sign::not_finite) return false;
    secular_poles<L>(ws_, sign, largest);
    secular_roots<L>(ws_);
    return true;
  }
};

}  // namespace sk
