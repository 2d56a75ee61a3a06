// Real eigenvalues written as complex numbers, at the speed of the memory.
#pragma once
#include <algorithm>

#include "vec_memory.h"

namespace sk {

// Outputs of this size and more leave the caches before they are read: they are written past them (`vec_stream`).
constexpr int64_t stream_from_bytes = 4 << 20;

// values(e, count) -> Vec, the real parts of the numbers [e, e + count), for all of [0, length).
template <bool Stream, class T, class Values>
void write_complex(T* out, int64_t length, Values&& values) {
  constexpr int W = register_bytes / int(sizeof(T));
  int count;
  for (int64_t e = 0; e < length; e += count) {
    T* at = out + 2 * e;
    count = int(std::min<int64_t>(W, length - e));
    if (Stream) count = int(std::min<int64_t>(count, (vec_stream_before(at) / 2 + W - 1) % W + 1));  // up to a boundary first
    Vec<T, W> low, high;
    vec_interleave<T, W>(values(e, count), Vec<T, W>{}, low, high, std::make_integer_sequence<int, W>{});
    if (Stream && count == W) {
      vec_stream<T, W>(at, low);
      vec_stream<T, W>(at + W, high);
    } else {
      vec_store<T, W>(at, low, 2 * count);
      if (2 * count > W) vec_store<T, W>(at + W, high, 2 * count - W);
    }
  }
}

}  // namespace sk
