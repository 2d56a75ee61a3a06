// Eigenvectors of A = Diag(d) + b c^T from the poles and roots of the secular equation: (D - lambda)^-1 b on the right and
// (D - lambda)^-1 c on the left, of 2-norm 1.
#pragma once
#include "secular.h"

namespace sk {

// The right vectors of A, or with b and c exchanged the left ones.
template <class L>
class SecularVectors {
  using T = real_t<L>;
  static constexpr int W = width_v<L>;

 public:
  // b and c: (n), readable up to the next multiple of W.
  SK_HD SecularVectors(const SecularWorkspace<T>& ws, const T* b, const T* c) : ws_(ws), b_(b), c_(c), top_b_(largest(b)), top_c_(largest(c)) {}

  // x: (n), writable up to the next multiple of W.
  SK_HD void of_root(int root, T* x) const {
    const L pole(ws_.pole[ws_.nearest[root]]), offset(ws_.offset[root]);
    for (int i = 0; i < ws_.n; i += W) {
      L distance = (load_lane<L>(ws_.d + i) - pole) - offset;
      distance = lane_select(distance == L(0), L(Machine<T>::ulp), distance);  // an entry without weight at the root itself
      store_lane<L>(x + i, load_lane<L>(b_ + i) * (offset / distance));
    }
    normalise(x);
  }

  // The vector of the deflated eigenvalue d_i, the `rank`-th of those equal to it.
  SK_HD void of_entry(int i, int rank, T* x) const {
    const T d = ws_.d[i];
    auto member = [&](int k) { return ws_.d[k] == d; };
    int first = -1;  // the heaviest in c, the same for every rank
    for (int k = 0; k < ws_.n; ++k)
      if (member(k) && (first < 0 || lane_abs(c_[k]) > lane_abs(c_[first]))) first = k;
    for (int k = 0; k < ws_.n; k += W) store_lane<L>(x + k, L(0));
    const bool pole = ws_.group[i] >= 0;
    if (!pole && rank == 0)
      without_weight(d, first, x);
    else
      orthogonal_to_c(d, first, pole ? rank + 1 : rank, x);
    normalise(x);
  }

 private:
  const SecularWorkspace<T>& ws_;
  const T *b_, *c_;
  T top_b_, top_c_;

  SK_HD T largest(const T* a) const {
    T top = 0;
    for (int i = 0; i < ws_.n; ++i) top = lane_max(top, lane_abs(a[i]));
    return top;
  }

  // In the space of equal d, the r-th of the mutually orthogonal vectors (c_1 c_r, ..., c_{r-1} c_r, -sum_{i<r} c_i^2, 0, ...).
  SK_HD void orthogonal_to_c(T d, int first, int r, T* x) const {
    const T top = lane_abs(c_[first]);
    auto c = [&](int k) { return top > T(0) ? c_[k] / top : k == first ? T(1) : T(0); };
    int last = first, seen = 0;
    T square = c(first) * c(first);
    x[first] = c(first);
    for (int k = 0; k < ws_.n; ++k) {
      if (k == first || ws_.d[k] != d) continue;
      last = k;
      if (++seen == r) break;
      x[k] = c(k);
      square = lane_fma(c(k), c(k), square);
    }
    const T cr = c(last);
    for (int k = 0; k < ws_.n; ++k) x[k] = x[k] * cr;
    x[last] = -square;
  }

  // Equal d without weight: the vector beside those orthogonal to c.  Where b vanishes there, x solves the rest of the equations; where
  // c vanishes, c's own direction; where neither does (b^T c = 0), the eigenvalue is defective and b is its vector once more.
  SK_HD void without_weight(T d, int first, T* x) const {
    constexpr T small = T(9.313225746154785e-10);  // 2^-30
    T top_b = 0, square = 0, f = 1;
    for (int k = 0; k < ws_.n; ++k)
      if (ws_.d[k] == d) top_b = lane_max(top_b, lane_abs(b_[k]));
    const T top_c = lane_abs(c_[first]), share_b = top_b_ > T(0) ? top_b / top_b_ : T(0), share_c = top_c_ > T(0) ? top_c / top_c_ : T(0);
    if (share_c <= share_b && share_c <= small) {
      for (int k = 0; k < ws_.n; ++k)
        if (ws_.d[k] == d) x[k] = top_c > T(0) ? c_[k] / top_c : k == first ? T(1) : T(0);
    } else if (share_b <= small) {
      for (int k = 0; k < ws_.n; ++k)
        if (ws_.d[k] != d) f += ws_.p[k] / (ws_.d[k] - d);
      for (int k = 0; k < ws_.n; ++k)
        if (ws_.d[k] == d) {
          x[k] = f * (c_[k] / top_c);
          square = lane_fma(c_[k] / top_c, c_[k], square);
        }
      // ws_.p is b c^T in units of 2^exponent and with the sign that makes it positive, and so is d
      const T unit = std::ldexp(ws_.update ? T(1) : T(-1), -ws_.exponent) * square;
      for (int k = 0; k < ws_.n; ++k)
        if (ws_.d[k] != d) x[k] = -(b_[k] * unit) / (ws_.d[k] - d);
    } else {
      for (int k = 0; k < ws_.n; ++k)
        if (ws_.d[k] == d) x[k] = b_[k] / top_b;
    }
  }

  SK_HD void normalise(T* x) const {
    const int n = ws_.n;
    L top(0), sum(0);
    for (int i = n; i % W != 0; ++i) x[i] = T(0);
    for (int i = 0; i < n; i += W) top = lane_max(lane_abs(load_lane<L>(x + i)), top);
    const T largest = lane_hmax(top);
    const L inverse(largest > T(0) ? T(1) / largest : T(1));
    for (int i = 0; i < n; i += W) {
      const L a = load_lane<L>(x + i) * inverse;
      store_lane<L>(x + i, a);
      sum = lane_fma(a, a, sum);
    }
    T square = 0;
    for (int w = 0; w < W; ++w) square += lane_get(sum, w);
    const L norm(lane_sqrt(square));
    for (int i = 0; i < n; i += W) store_lane<L>(x + i, load_lane<L>(x + i) / norm);
  }
};

}  // namespace sk
