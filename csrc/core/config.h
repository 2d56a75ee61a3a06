// Portability of the core: the same source is compiled by g++/clang (SIMD lanes) and by nvcc (the scalar lane).
#pragma once

// SK_STEP: a whole step of an algorithm, compiled once per lane type instead of once per caller (on a GPU a call needs a stack).
#if defined(__CUDACC__)
#define SK_HD __host__ __device__ __forceinline__
#define SK_STEP __host__ __device__ __forceinline__
#else
#define SK_HD inline __attribute__((always_inline))
#define SK_STEP __attribute__((noinline))
#endif

// The rows that a scalar lane updates never overlap: let the compiler vectorise within the matrix.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define SK_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SK_INDEPENDENT
#endif

#if defined(SK_SIMT_EMULATION)
#define SK_UNROLL
#define SK_UNROLL_ALL
#elif defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define SK_UNROLL _Pragma("GCC unroll 8")
#define SK_UNROLL_ALL _Pragma("GCC unroll 64")
#else
#define SK_UNROLL _Pragma("unroll")
#define SK_UNROLL_ALL _Pragma("unroll")
#endif

// Loops whose trip count is a constant where the size is: on a GPU an array stays in registers only if no index is a variable.
#if defined(__CUDACC__)
#define SK_UNROLL_STATIC _Pragma("unroll")
#else
#define SK_UNROLL_STATIC
#endif
