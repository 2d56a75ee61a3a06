// SimdLane<T, W, U>: U native registers of W numbers each, on the vector types of g++ and clang.
// Two registers per value (U = 2) keep two independent dependency chains in flight, which hides the latency of square
// root and division; one over-wide compiler vector instead would break compares and selects apart.
#pragma once
#include <type_traits>
#include <utility>

#include "../core/lane.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sk {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

// Fewer matrices than this fill too few lanes: each is solved by the scalar lane, whose bits are the same.
template <class T>
constexpr int64_t scalar_below = register_bytes / int64_t(sizeof(T)) / 2;

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
};

template <class T, int Bytes>
struct RawVector {  // g++ accepts a dependent vector_size only inside a struct
  using type [[gnu::vector_size(Bytes)]] = T;
};

template <class T, int W>
using Vec = typename RawVector<T, W * sizeof(T)>::type;
template <class T, int W>
using IntVec = typename RawVector<typename IntOf<T>::type, W * sizeof(T)>::type;

#if defined(__AVX512F__)
// AVX-512 compares into mask registers.  Left to itself the compiler moves masks between those, vectors and general
// registers wherever two are combined.
template <int W>
struct MaskRegister {
  std::conditional_t<W == 16, __mmask16, __mmask8> bits;
  SK_HD MaskRegister operator&(MaskRegister b) const {
    if constexpr (W == 16) return {_kand_mask16(bits, b.bits)};
    else return {_kand_mask8(bits, b.bits)};
  }
  SK_HD MaskRegister operator|(MaskRegister b) const {
    if constexpr (W == 16) return {_kor_mask16(bits, b.bits)};
    else return {_kor_mask8(bits, b.bits)};
  }
  SK_HD MaskRegister operator~() const {
    if constexpr (W == 16) return {_knot_mask16(bits)};
    else return {_knot_mask8(bits)};
  }
  SK_HD bool any() const {
    if constexpr (W == 16) return !_kortestz_mask16_u8(bits, bits);
    else return !_kortestz_mask8_u8(bits, bits);
  }
};
template <class T, int W>
using MaskVec = std::conditional_t<W * sizeof(T) == 64, MaskRegister<W>, IntVec<T, W>>;
template <int Predicate, class T, int W>
SK_HD MaskVec<T, W> vec_compare(Vec<T, W> a, Vec<T, W> b) {
  if constexpr (sizeof(T) == 4) return {_mm512_cmp_ps_mask((__m512)a, (__m512)b, Predicate)};
  else return {_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, Predicate)};
}
template <class T, int W>
SK_HD Vec<T, W> vec_select(MaskRegister<W> m, Vec<T, W> a, Vec<T, W> b) {
  if constexpr (sizeof(T) == 4) return (Vec<T, W>)_mm512_mask_blend_ps(m.bits, (__m512)b, (__m512)a);
  else return (Vec<T, W>)_mm512_mask_blend_pd(m.bits, (__m512d)b, (__m512d)a);
}
#else
template <class T, int W>
using MaskVec = IntVec<T, W>;
#endif
template <class T, int W>
SK_HD Vec<T, W> vec_select(IntVec<T, W> m, Vec<T, W> a, Vec<T, W> b) {
  return m ? a : b;
}

template <class T, int W>
SK_HD bool vec_any(MaskVec<T, W> m) {
  if constexpr (!std::is_same_v<MaskVec<T, W>, IntVec<T, W>>) {
    return m.any();
  } else {
#if defined(__AVX__)
    if constexpr (sizeof(m) == 32) return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#endif
    int64_t words[sizeof(m) / 8], any = 0;
    memcpy(words, &m, sizeof m);
    for (int64_t w : words) any |= w;
    return any != 0;
  }
}

template <class T, int W, int U>
struct SimdMask {
  MaskVec<T, W> m[U];
};

template <class T, int W, int U>
struct SimdLane {
  Vec<T, W> v[U];
  SimdLane() = default;
  SK_HD SimdLane(T x) {
    for (int u = 0; u < U; ++u) v[u] = x - Vec<T, W>{};
  }
};

template <class T, int W, int U>
struct LaneTraits<SimdLane<T, W, U>> {
  using real = T;
  using mask = SimdMask<T, W, U>;
  using part = SimdLane<T, W, 1>;
  static constexpr int parts = U;
  static constexpr int width = W * U;
};

#define SK_LANE template <class T, int W, int U> SK_HD
#define SK_BINARY(op)                                                                     \
  SK_LANE SimdLane<T, W, U> operator op(SimdLane<T, W, U> a, SimdLane<T, W, U> b) {       \
    for (int u = 0; u < U; ++u) a.v[u] = a.v[u] op b.v[u];                                \
    return a;                                                                             \
  }
SK_BINARY(+)
SK_BINARY(-)
SK_BINARY(*)
SK_BINARY(/)
#undef SK_BINARY
SK_LANE SimdLane<T, W, U> operator-(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = -a.v[u];
  return a;
}
#if defined(__AVX512F__)
#define SK_COMPARE_REGISTERS(op, predicate)                                                \
  if constexpr (sizeof(Vec<T, W>) == 64) {                                                 \
    for (int u = 0; u < U; ++u) r.m[u] = vec_compare<predicate, T, W>(a.v[u], b.v[u]);     \
    return r;                                                                              \
  } else
#else
#define SK_COMPARE_REGISTERS(op, predicate)
#endif
#define SK_COMPARE(op, predicate)                                                         \
  SK_LANE SimdMask<T, W, U> operator op(SimdLane<T, W, U> a, SimdLane<T, W, U> b) {       \
    SimdMask<T, W, U> r;                                                                  \
    SK_COMPARE_REGISTERS(op, predicate) {                                                 \
      for (int u = 0; u < U; ++u) r.m[u] = a.v[u] op b.v[u];                              \
      return r;                                                                           \
    }                                                                                     \
  }
SK_COMPARE(<, _CMP_LT_OQ)
SK_COMPARE(<=, _CMP_LE_OQ)
SK_COMPARE(>, _CMP_GT_OQ)
SK_COMPARE(>=, _CMP_GE_OQ)
SK_COMPARE(==, _CMP_EQ_OQ)
SK_COMPARE(!=, _CMP_NEQ_UQ)
#undef SK_COMPARE_REGISTERS
#undef SK_COMPARE
SK_LANE SimdMask<T, W, U> operator&(SimdMask<T, W, U> a, SimdMask<T, W, U> b) {
  for (int u = 0; u < U; ++u) a.m[u] = a.m[u] & b.m[u];
  return a;
}
SK_LANE SimdMask<T, W, U> operator|(SimdMask<T, W, U> a, SimdMask<T, W, U> b) {
  for (int u = 0; u < U; ++u) a.m[u] = a.m[u] | b.m[u];
  return a;
}
SK_LANE SimdMask<T, W, U> operator!(SimdMask<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.m[u] = ~a.m[u];
  return a;
}
SK_LANE SimdLane<T, W, U> lane_select(SimdMask<T, W, U> m, SimdLane<T, W, U> a, SimdLane<T, W, U> b) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_select<T, W>(m.m[u], a.v[u], b.v[u]);
  return a;
}
SK_LANE bool lane_any(SimdMask<T, W, U> a) {
  MaskVec<T, W> m = a.m[0];
  for (int u = 1; u < U; ++u) m = m | a.m[u];
  return vec_any<T, W>(m);
}

// One native register.  The loops compile to one vector instruction where no intrinsic is named.
template <class T, int W>
SK_HD Vec<T, W> vec_fma(Vec<T, W> a, Vec<T, W> b, Vec<T, W> c) {
  using V = Vec<T, W>;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  if constexpr (sizeof(V) == 64 && sizeof(T) == 8) return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
#if defined(__FMA__)
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4) return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  if constexpr (sizeof(V) == 32 && sizeof(T) == 8) return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  V r;
  for (int w = 0; w < W; ++w) r[w] = lane_fma(T(a[w]), T(b[w]), T(c[w]));
  return r;
#else
  return a * b + c;
#endif
}
template <class T, int W>
SK_HD Vec<T, W> vec_sqrt(Vec<T, W> a) {
  using V = Vec<T, W>;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) return (V)_mm512_sqrt_ps((__m512)a);
  if constexpr (sizeof(V) == 64 && sizeof(T) == 8) return (V)_mm512_sqrt_pd((__m512d)a);
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4) return (V)_mm256_sqrt_ps((__m256)a);
  if constexpr (sizeof(V) == 32 && sizeof(T) == 8) return (V)_mm256_sqrt_pd((__m256d)a);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16 && sizeof(T) == 4) return (V)_mm_sqrt_ps((__m128)a);
  if constexpr (sizeof(V) == 16 && sizeof(T) == 8) return (V)_mm_sqrt_pd((__m128d)a);
#endif
  V r;
  for (int w = 0; w < W; ++w) r[w] = lane_sqrt(T(a[w]));
  return r;
}

// a > b ? a : b, the semantics of the x86 instruction: b where either is NaN.
template <class T, int W>
SK_HD Vec<T, W> vec_max(Vec<T, W> a, Vec<T, W> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64 && sizeof(T) == 4) return (Vec<T, W>)_mm512_max_ps((__m512)a, (__m512)b);
  if constexpr (sizeof(a) == 64 && sizeof(T) == 8) return (Vec<T, W>)_mm512_max_pd((__m512d)a, (__m512d)b);
#endif
  return a > b ? a : b;
}
template <class T, int W>
SK_HD Vec<T, W> vec_min(Vec<T, W> a, Vec<T, W> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64 && sizeof(T) == 4) return (Vec<T, W>)_mm512_min_ps((__m512)a, (__m512)b);
  if constexpr (sizeof(a) == 64 && sizeof(T) == 8) return (Vec<T, W>)_mm512_min_pd((__m512d)a, (__m512d)b);
#endif
  return a < b ? a : b;
}

SK_LANE SimdLane<T, W, U> lane_fma(SimdLane<T, W, U> a, SimdLane<T, W, U> b, SimdLane<T, W, U> c) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_fma<T, W>(a.v[u], b.v[u], c.v[u]);
  return a;
}
SK_LANE SimdLane<T, W, U> lane_sqrt(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_sqrt<T, W>(a.v[u]);
  return a;
}
template <class T>
constexpr typename IntOf<T>::type sign_bit = typename IntOf<T>::type(1) << (8 * sizeof(T) - 2) << 1;
template <class T>
constexpr typename IntOf<T>::type exponent_bits = 0;
template <class T>
constexpr typename IntOf<T>::type reciprocal_exponent = 0;  // bits of 2^k + bits of 2^-k
template <>
constexpr int32_t reciprocal_exponent<float> = 0x7f000000;
template <>
constexpr int64_t reciprocal_exponent<double> = 0x7fe0000000000000;
template <>
constexpr int32_t exponent_bits<float> = 0x7f800000;
template <>
constexpr int64_t exponent_bits<double> = 0x7ff0000000000000;

SK_LANE SimdLane<T, W, U> lane_abs(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = (Vec<T, W>)((IntVec<T, W>)a.v[u] & ~sign_bit<T>);
  return a;
}
SK_LANE SimdLane<T, W, U> lane_copysign(SimdLane<T, W, U> a, SimdLane<T, W, U> s) {
  for (int u = 0; u < U; ++u)
    a.v[u] = (Vec<T, W>)(((IntVec<T, W>)a.v[u] & ~sign_bit<T>) | ((IntVec<T, W>)s.v[u] & sign_bit<T>));
  return a;
}
SK_LANE SimdLane<T, W, U> lane_pow2_floor(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = (Vec<T, W>)((IntVec<T, W>)a.v[u] & exponent_bits<T>);
  return a;
}
SK_LANE SimdLane<T, W, U> lane_max(SimdLane<T, W, U> a, SimdLane<T, W, U> b) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_max<T, W>(a.v[u], b.v[u]);
  return a;
}
SK_LANE SimdLane<T, W, U> lane_min(SimdLane<T, W, U> a, SimdLane<T, W, U> b) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_min<T, W>(a.v[u], b.v[u]);
  return a;
}
SK_LANE T lane_get(const SimdLane<T, W, U>& a, int w) {
  T x;
  memcpy(&x, reinterpret_cast<const char*>(&a) + w * sizeof(T), sizeof x);
  return x;
}
SK_LANE void lane_set(SimdLane<T, W, U>& a, int w, T x) {
  memcpy(reinterpret_cast<char*>(&a) + w * sizeof(T), &x, sizeof x);
}
SK_LANE SimdLane<T, W, U> lane_pow2_inverse(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = (Vec<T, W>)(reciprocal_exponent<T> - (IntVec<T, W>)a.v[u]);
  return a;
}
template <class T, int W>
SK_HD Vec<T, W> vec_ldexp(Vec<T, W> a, Vec<T, W> n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64 && sizeof(T) == 4) return (Vec<T, W>)_mm512_scalef_ps((__m512)a, (__m512)n);
  if constexpr (sizeof(a) == 64 && sizeof(T) == 8) return (Vec<T, W>)_mm512_scalef_pd((__m512d)a, (__m512d)n);
#endif
  n += integer_magic<T>;
  return (Vec<T, W>)((IntVec<T, W>)a + ((IntVec<T, W>)n << (sizeof(T) == 4 ? 23 : 52)));
}
SK_LANE SimdLane<T, W, U> lane_ldexp(SimdLane<T, W, U> a, SimdLane<T, W, U> n) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_ldexp<T, W>(a.v[u], n.v[u]);
  return a;
}
template <class T, int W>
SK_HD Vec<T, W> vec_cbrt_estimate(Vec<T, W> a) {
  using U = typename RawVector<std::make_unsigned_t<typename IntOf<T>::type>, W * sizeof(T)>::type;
  if constexpr (sizeof(T) == 4) return (Vec<T, W>)((((U)a >> 14) * 21845u >> 2) + 0x2a508000u);
  else return (Vec<T, W>)((((U)a >> 32) * 21845ull << 16) + 0x2a9f800000000000ull);
}
SK_LANE SimdLane<T, W, U> lane_cbrt_estimate(SimdLane<T, W, U> a) {
  for (int u = 0; u < U; ++u) a.v[u] = vec_cbrt_estimate<T, W>(a.v[u]);
  return a;
}
SK_LANE SimdLane<T, W, 1> lane_part(const SimdLane<T, W, U>& a, int u) {
  SimdLane<T, W, 1> r;
  r.v[0] = a.v[u];
  return r;
}
SK_LANE void lane_set_part(SimdLane<T, W, U>& a, int u, SimdLane<T, W, 1> x) { a.v[u] = x.v[0]; }

// The larger half by half, down to one number.
template <class T, int W>
SK_HD T vec_hmax(Vec<T, W> a) {
  if constexpr (W == 1) {
    return a[0];
  } else {
    Vec<T, W / 2> half[2];
    memcpy(half, &a, sizeof a);
    return vec_hmax<T, W / 2>(half[0] > half[1] ? half[0] : half[1]);
  }
}
SK_LANE T lane_hmax(SimdLane<T, W, U> a) {
  Vec<T, W> r = a.v[0];
  for (int u = 1; u < U; ++u) r = vec_max<T, W>(a.v[u], r);
  return vec_hmax<T, W>(r);
}
SK_LANE T lane_hmin(SimdLane<T, W, U> a) { return -lane_hmax(-a); }
#undef SK_LANE

}  // namespace sk
