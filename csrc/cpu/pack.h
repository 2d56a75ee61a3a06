// Between a batch of matrices in any strides and the interleaved tile of a lane group.
#pragma once
#include "../core/complex_workspace.h"
#include "vec_memory.h"

namespace sk {

// Where each matrix of a (..., n, n) tensor starts, without a copy for any strides.
struct BatchLayout {
  const int64_t* sizes;    // batch dimensions
  const int64_t* strides;  // in elements
  int dims;
  int64_t row, col;        // strides of the last two dimensions

  int64_t offset(int64_t index) const {
    int64_t at = 0;
    for (int d = dims - 1; d >= 0; --d) {
      at += index % sizes[d] * strides[d];
      index /= sizes[d];
    }
    return at;
  }
};

// Numbers [0, length) of W sources, number e of all of them as one lane value at target(e).
template <class T, int W, int U, class Target>
void interleave(const T* const* source, int64_t length, Target&& target, SimdLane<T, W, U>*) {
  for (int u = 0; u < U; ++u)
    for (int64_t e = 0; e < length; e += W) {
      const int count = int(length - e < W ? length - e : W);
      Vec<T, W> rows[W];
      for (int w = 0; w < W; ++w) rows[w] = vec_load<T, W>(source[u * W + w] + e, count);
      vec_transpose<1, T, W>(rows);
      for (int w = 0; w < count; ++w) target(e + w)->v[u] = rows[w];
    }
}
template <class T, class Target>
void interleave(const T* const* source, int64_t length, Target&& target, T*) {
  for (int64_t e = 0; e < length; ++e) *target(e) = source[0][e];
}

// Items [first, first + count), `length` numbers each, item i at a + at(i), into `length` lane values; the lanes that are left over
// repeat the last one.
template <class T, class At, class L>
void load_rows(const T* a, const At& at, int64_t first, int count, int64_t length, L* target) {
  constexpr int W = width_v<L>;
  const T* source[W];
  for (int w = 0; w < W; ++w) source[w] = a + at(first + (w < count ? w : count - 1));
  interleave(source, length, [&](int64_t e) { return target + e; }, static_cast<L*>(nullptr));
}
template <class T, class L>
void load_rows(const T* a, int64_t first, int count, int64_t length, L* target) {
  load_rows(a, [&](int64_t i) { return i * length; }, first, count, length, target);
}

// Loads `count` matrices from `first` on; the lanes that are left over repeat the last one.
template <class L>
SK_STEP void pack(const real_t<L>* a, const BatchLayout& layout, int64_t first, int count, Tile<L> h) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const int n = h.n;
  const T* source[W];
  for (int w = 0; w < W; ++w) source[w] = a + layout.offset(first + (w < count ? w : count - 1));
  L* const kind = nullptr;
  if (layout.col == 1 && layout.row == n) {  // row-major without gaps
    interleave(source, int64_t(n) * n, [&](int64_t e) { return h.row(int(e / n)) + e % n; }, kind);
  } else if (layout.row == 1 && layout.col == n) {  // column-major
    interleave(source, int64_t(n) * n, [&](int64_t e) { return h.row(int(e % n)) + e / n; }, kind);
  } else {
    for (int i = 0; i < n; ++i) {
      T* row = reinterpret_cast<T*>(h.row(i));
      for (int w = 0; w < W; ++w) {
        const T* s = source[w] + i * layout.row;
        for (int j = 0; j < n; ++j) row[j * W + w] = s[j * layout.col];
      }
    }
  }
}

// The same of complex matrices, whose entries are pairs of reals.
template <class L>
SK_STEP void pack(const real_t<L>* a, const BatchLayout& layout, int64_t first, int count, ColumnTile<Complex<L>> h) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const int n = h.n;
  const T* source[W];
  for (int w = 0; w < W; ++w) source[w] = a + 2 * layout.offset(first + (w < count ? w : count - 1));
  L* const kind = nullptr;
  const int64_t length = 2 * int64_t(n) * n;
  auto part = [](Complex<L>& x, int64_t e) { return e & 1 ? &x.im : &x.re; };
  if (layout.col == 1 && layout.row == n) {
    interleave(source, length, [&](int64_t e) { return part(h(int(e / 2 / n), int(e / 2 % n)), e); }, kind);
  } else if (layout.row == 1 && layout.col == n) {
    interleave(source, length, [&](int64_t e) { return part(h(int(e / 2 % n), int(e / 2 / n)), e); }, kind);
  } else {
    for (int j = 0; j < n; ++j) {
      T* column = reinterpret_cast<T*>(h.col(j));
      for (int w = 0; w < W; ++w) {
        const T* s = source[w] + 2 * j * layout.col;
        for (int i = 0; i < n; ++i) {
          column[2 * i * W + w] = s[2 * i * layout.row];
          column[(2 * i + 1) * W + w] = s[2 * i * layout.row + 1];
        }
      }
    }
  }
}

// The vector of n complex numbers re(i) + i im(i), lane values, of matrix w to target[w]; nowhere where that is null.
template <class T, int W, int U, class Re, class Im>
void store_complex(int n, Re&& re, Im&& im, T* const* target, SimdLane<T, W, U>*) {
  for (int u = 0; u < U; ++u)
    for (int e = 0; e < n; e += W) {
      const int count = n - e < W ? n - e : W;
      Vec<T, W> a[W] = {}, b[W] = {};
      for (int i = 0; i < count; ++i) a[i] = re(e + i).v[u], b[i] = im(e + i).v[u];
      vec_transpose<1, T, W>(a);
      vec_transpose<1, T, W>(b);
      for (int w = 0; w < W; ++w) {
        T* at = target[u * W + w];
        if (!at) continue;
        Vec<T, W> low, high;
        vec_interleave<T, W>(a[w], b[w], low, high, std::make_integer_sequence<int, W>{});
        vec_store<T, W>(at + 2 * e, low, 2 * count);
        if (2 * count > W) vec_store<T, W>(at + 2 * e + W, high, 2 * count - W);
      }
    }
}
template <class T, class Re, class Im>
void store_complex(int n, Re&& re, Im&& im, T* const* target, T*) {
  for (int i = 0; target[0] && i < n; ++i) target[0][2 * i] = re(i), target[0][2 * i + 1] = im(i);
}

}  // namespace sk
