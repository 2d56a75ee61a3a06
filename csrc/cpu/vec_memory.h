// Registers of lane_simd.h to and from memory: parts of them, past the caches, transposed and interleaved.
#pragma once
#include "lane_simd.h"

namespace sk {

// new_a[j] = j & Step ? b[j - Step] : a[j] and new_b[j] = j & Step ? b[j] : a[j + Step].
template <int Step, class T, int W, int... J>
SK_HD void vec_exchange(Vec<T, W>& a, Vec<T, W>& b, std::integer_sequence<int, J...>) {
  const Vec<T, W> low = __builtin_shufflevector(a, b, (J & Step ? W + J - Step : J)...);
  b = __builtin_shufflevector(a, b, (J & Step ? W + J : J + Step)...);
  a = low;
}
// The W x W matrix of W registers, transposed in log2(W) rounds of exchanges.
template <int Step, class T, int W>
SK_HD void vec_transpose(Vec<T, W>* rows) {
  if constexpr (Step < W) {
    SK_UNROLL_ALL
    for (int i = 0; i < W; ++i)
      if (!(i & Step)) vec_exchange<Step, T, W>(rows[i], rows[i + Step], std::make_integer_sequence<int, W>{});
    vec_transpose<2 * Step, T, W>(rows);
  }
}
// The first `count` numbers at p, zeros behind them; nothing beyond is touched.
template <class T, int W>
SK_HD Vec<T, W> vec_load(const T* p, int count) {
  Vec<T, W> r{};
  if (count >= W) {
    memcpy(&r, p, sizeof r);
    return r;
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(r) == 64 && sizeof(T) == 4) return (Vec<T, W>)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
  if constexpr (sizeof(r) == 64 && sizeof(T) == 8) return (Vec<T, W>)_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), p);
#endif
  for (int w = 0; w < count; ++w) r[w] = p[w];
  return r;
}
template <class T, int W>
SK_HD void vec_store(T* p, Vec<T, W> a, int count) {
  if (count >= W) {
    memcpy(p, &a, sizeof a);
    return;
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64 && sizeof(T) == 4) return _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), (__m512)a);
  if constexpr (sizeof(a) == 64 && sizeof(T) == 8) return _mm512_mask_storeu_pd(p, __mmask8((1u << count) - 1), (__m512d)a);
#endif
  for (int w = 0; w < count; ++w) p[w] = a[w];
}
// To an aligned p, past the caches: a line that is written whole need not be read first.  `vec_stream_end` before others may read.
template <class T, int W>
SK_HD void vec_stream(T* p, Vec<T, W> a) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64) return _mm512_stream_ps(reinterpret_cast<float*>(p), (__m512)a);
#endif
#if defined(__AVX__)
  if constexpr (sizeof(a) == 32) return _mm256_stream_ps(reinterpret_cast<float*>(p), (__m256)a);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(a) == 16) return _mm_stream_ps(reinterpret_cast<float*>(p), (__m128)a);
#endif
  memcpy(p, &a, sizeof a);
}
template <class T>
SK_HD int64_t vec_stream_before(const T* p) {  // numbers from p to the next aligned place
  constexpr int W = register_bytes / int(sizeof(T));
  return -(reinterpret_cast<uintptr_t>(p) / sizeof(T)) % W;
}
SK_HD void vec_stream_end() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
// re and im, W numbers each, as W complex numbers in two registers.
template <class T, int W, int... J>
SK_HD void vec_interleave(Vec<T, W> re, Vec<T, W> im, Vec<T, W>& low, Vec<T, W>& high, std::integer_sequence<int, J...>) {
  low = __builtin_shufflevector(re, im, (J & 1 ? W + J / 2 : J / 2)...);
  high = __builtin_shufflevector(re, im, (J & 1 ? W + W / 2 + J / 2 : W / 2 + J / 2)...);
}

}  // namespace sk
