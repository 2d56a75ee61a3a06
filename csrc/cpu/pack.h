// Between a batch of matrices in any strides and the interleaved tile of a lane group.
#pragma once
#include "../core/tile.h"

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

// Loads `count` matrices from `first` on; the lanes that are left over repeat the last one.
template <class L>
void pack(const real_t<L>* a, const BatchLayout& layout, int64_t first, int count, Tile<L> h) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const T* source[W];
  for (int w = 0; w < W; ++w) source[w] = a + layout.offset(first + (w < count ? w : count - 1));
  for (int i = 0; i < h.n; ++i) {
    T* row = reinterpret_cast<T*>(h.row(i));
    for (int w = 0; w < W; ++w) {
      const T* s = source[w] + i * layout.row;
      for (int j = 0; j < h.n; ++j) row[j * W + w] = s[j * layout.col];
    }
  }
}

}  // namespace sk
