// The names of CUDA's device language.
#pragma once
#include <cmath>

#include "scheduler.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define threadIdx (::simt::self->index)
#define blockIdx (::simt::block->index)
#define blockDim (::simt::block->size)
#define gridDim (::simt::block->grid)
constexpr int warpSize = simt::warp_size;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

#define SK_SIMT_FROM const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SK_SIMT_AT(call) ::simt::Where{file, line, call}

namespace simt {

template <class T>
uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T of_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T shuffle(unsigned mask, T value, int source, int width, Where at) {
  if (width < 1 || width > warp_size || (width & (width - 1))) fail(at, "the width is no power of two up to 32: " + std::to_string(width));
  return of_bits<T>(meet(mask, bits_of(value), source, width, false, at, [at](Warp& warp, unsigned mask) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      Thread& t = warp.lanes[__builtin_ctz(rest)];
      if (!(mask >> t.source & 1))
        fail(text(at) + ": the source, lane " + std::to_string(t.source) + ", does not take part [" + name(t) + "]");
      t.result = warp.lanes[t.source].value;
    }
  }));
}

// Every lane gets fold(the values of all).
template <class Fold>
uint64_t together(unsigned mask, uint64_t value, bool orders_memory, Where at, Fold fold) {
  return meet(mask, value, 0, warp_size, orders_memory, at, [fold](Warp& warp, unsigned mask) {
    const uint64_t result = fold(warp, mask);
    for (unsigned rest = mask; rest; rest &= rest - 1) warp.lanes[__builtin_ctz(rest)].result = result;
  });
}
inline uint64_t ballot(unsigned mask, bool predicate, Where at) {
  return together(mask, predicate, false, at, [](Warp& warp, unsigned mask) {
    uint64_t votes = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) votes |= warp.lanes[__builtin_ctz(rest)].value << __builtin_ctz(rest);
    return votes;
  });
}
template <class T, class Combine>
T reduce(unsigned mask, T value, Where at, Combine combine) {
  return of_bits<T>(together(mask, bits_of(value), false, at, [combine](Warp& warp, unsigned mask) {
    T result = of_bits<T>(warp.lanes[__builtin_ctz(mask)].value);
    for (unsigned rest = mask & (mask - 1); rest; rest &= rest - 1) result = combine(result, of_bits<T>(warp.lanes[__builtin_ctz(rest)].value));
    return bits_of(result);
  }));
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SK_SIMT_FROM) {
  return simt::shuffle(mask, value, (simt::self->lane & -width) + (source & (width - 1)), width, SK_SIMT_AT("__shfl_sync"));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SK_SIMT_FROM) {
  const int lane = simt::self->lane, source = lane - int(delta);
  return simt::shuffle(mask, value, source < (lane & -width) ? lane : source, width, SK_SIMT_AT("__shfl_up_sync"));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SK_SIMT_FROM) {
  const int lane = simt::self->lane, source = lane + int(delta);
  return simt::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, width, SK_SIMT_AT("__shfl_down_sync"));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SK_SIMT_FROM) {
  const int lane = simt::self->lane, source = lane ^ bits;
  return simt::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, width, SK_SIMT_AT("__shfl_xor_sync"));
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SK_SIMT_FROM) { return unsigned(simt::ballot(mask, predicate != 0, SK_SIMT_AT("__ballot_sync"))); }
inline int __any_sync(unsigned mask, int predicate, SK_SIMT_FROM) { return simt::ballot(mask, predicate != 0, SK_SIMT_AT("__any_sync")) != 0; }
inline int __all_sync(unsigned mask, int predicate, SK_SIMT_FROM) { return simt::ballot(mask, predicate != 0, SK_SIMT_AT("__all_sync")) == mask; }
template <class T>
unsigned __match_any_sync(unsigned mask, T value, SK_SIMT_FROM) {
  return unsigned(simt::meet(mask, simt::bits_of(value), 0, 32, false, SK_SIMT_AT("__match_any_sync"), [](simt::Warp& warp, unsigned mask) {
    for (unsigned a = mask; a; a &= a - 1) {
      simt::Thread& t = warp.lanes[__builtin_ctz(a)];
      t.result = 0;
      for (unsigned b = mask; b; b &= b - 1) t.result |= uint64_t(warp.lanes[__builtin_ctz(b)].value == t.value) << __builtin_ctz(b);
    }
  }));
}
template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* all, SK_SIMT_FROM) {
  const unsigned same = __match_any_sync(mask, value, file, line);
  *all = same == mask;
  return *all ? mask : 0;
}
#define SK_SIMT_REDUCE(name, T, expression)                                      \
  inline T name(unsigned mask, T value, SK_SIMT_FROM) {                          \
    return simt::reduce(mask, value, SK_SIMT_AT(#name), [](T a, T b) -> T { return expression; }); \
  }
SK_SIMT_REDUCE(__reduce_add_sync, unsigned, a + b)
SK_SIMT_REDUCE(__reduce_add_sync, int, int(unsigned(a) + unsigned(b)))
SK_SIMT_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
SK_SIMT_REDUCE(__reduce_min_sync, int, a < b ? a : b)
SK_SIMT_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
SK_SIMT_REDUCE(__reduce_max_sync, int, a > b ? a : b)
SK_SIMT_REDUCE(__reduce_and_sync, unsigned, a & b)
SK_SIMT_REDUCE(__reduce_or_sync, unsigned, a | b)
SK_SIMT_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef SK_SIMT_REDUCE

inline void __syncwarp(unsigned mask = 0xffffffffu, SK_SIMT_FROM) {
  simt::together(mask, 0, true, SK_SIMT_AT("__syncwarp"), [](simt::Warp&, unsigned) { return uint64_t(0); });
}
inline void __syncthreads(SK_SIMT_FROM) { simt::barrier(false, simt::Gather::nothing, SK_SIMT_AT("__syncthreads")); }
inline int __syncthreads_count(int p, SK_SIMT_FROM) { return simt::barrier(p != 0, simt::Gather::count, SK_SIMT_AT("__syncthreads_count")); }
inline int __syncthreads_or(int p, SK_SIMT_FROM) { return simt::barrier(p != 0, simt::Gather::any, SK_SIMT_AT("__syncthreads_or")); }
inline int __syncthreads_and(int p, SK_SIMT_FROM) { return simt::barrier(p != 0, simt::Gather::all, SK_SIMT_AT("__syncthreads_and")); }
inline void __threadfence() { __asm__ volatile("" ::: "memory"); }
inline void __threadfence_block() { __asm__ volatile("" ::: "memory"); }
inline void __threadfence_system() { __asm__ volatile("" ::: "memory"); }

// Atomics: relaxed, as CUDA's.
namespace simt {
template <class T, class Change>
T atomically(T* address, Change change) {
  using Word = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  static_assert(sizeof(T) == sizeof(Word), "4 or 8 bytes");
  Word* word = reinterpret_cast<Word*>(address);
  Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &old, Word(bits_of(T(change(of_bits<T>(old))))), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return of_bits<T>(old);
}
template <class T>
struct As {
  using type = T;
};
template <class T>
using as = typename As<T>::type;
}  // namespace simt
template <class T>
T atomicAdd(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return old + v; });
}
template <class T>
T atomicSub(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return old - v; });
}
template <class T>
T atomicMin(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return v < old ? v : old; });
}
template <class T>
T atomicMax(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return v > old ? v : old; });
}
template <class T>
T atomicAnd(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return old & v; });
}
template <class T>
T atomicOr(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return old | v; });
}
template <class T>
T atomicXor(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T old) { return old ^ v; });
}
template <class T>
T atomicExch(T* a, simt::as<T> v) {
  return simt::atomically(a, [v](T) { return v; });
}
template <class T>
T atomicCAS(T* a, simt::as<T> expected, simt::as<T> v) {
  return simt::atomically(a, [=](T old) { return old == expected ? v : old; });
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, simt::as<T> v) {
  *p = v;
}
template <class T>
void __stcg(T* p, simt::as<T> v) {
  *p = v;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline int __float_as_int(float x) { return simt::of_bits<int>(simt::bits_of(x)); }
inline float __int_as_float(int x) { return simt::of_bits<float>(simt::bits_of(x)); }
inline long long __double_as_longlong(double x) { return simt::of_bits<long long>(simt::bits_of(x)); }
inline double __longlong_as_double(long long x) { return simt::of_bits<double>(simt::bits_of(x)); }
#define SK_SIMT_MIN_MAX(T)                         \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
SK_SIMT_MIN_MAX(int)
SK_SIMT_MIN_MAX(unsigned)
SK_SIMT_MIN_MAX(long)
SK_SIMT_MIN_MAX(unsigned long)
SK_SIMT_MIN_MAX(long long)
SK_SIMT_MIN_MAX(unsigned long long)
#undef SK_SIMT_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

#define SK_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::simt::block->shared)
