// The threads that share one matrix.  An algorithm is written once on a Team:
//
//   rank()  size()          this thread's number and the number of threads
//   index()                 which of the block's teams this is
//   sync()                  what any thread of the team wrote before is visible to all of it after
//   sum(x)  max(x)          over the team: the same bits in every thread, whatever the order of the threads
//   any(p)                  whether p holds in some thread of the team
//   first(p)                the lowest rank in which p holds; size() where there is none
//   broadcast(x, from)      x of thread `from`
//   together(p)             whether p holds for some team that shares the instructions of this one: the condition of every loop
//
// The teams of a warp keep step.  They run through the same loops, each as long as together() says, and a team that has nothing left
// to do idles: its threads still take part in every collective call, but change nothing.  Teams that went separate ways would be
// executed one after the other; in step, one instruction serves all of them, and every collective has the whole warp as its mask.
// All of it is called where no thread of the team (of the warp, for teams within one) has branched off.
#pragma once
#include "simt.h"
#include "team_layout.h"

namespace sk {

constexpr int warp_lanes = 32;

// K lanes of a warp: 32 / K teams side by side.
template <int K>
class WarpTeam {
  static_assert(K == 2 || K == 4 || K == 8 || K == 16 || K == 32, "a team is a power of two of lanes within a warp");
  static constexpr unsigned warp = 0xffffffffu;

 public:
  static constexpr int shared_bytes = 0;  // what the collectives need

  __device__ __forceinline__ explicit WarpTeam(void*) {}

  __device__ __forceinline__ int rank() const { return int(threadIdx.x) % K; }
  __device__ __forceinline__ constexpr int size() const { return K; }
  __device__ __forceinline__ int index() const { return int(threadIdx.x) / K; }
  __device__ __forceinline__ static int teams_per_block() { return int(blockDim.x) / K; }

  __device__ __forceinline__ void sync() const { __syncwarp(warp); }

  template <class T>
  __device__ __forceinline__ T sum(T x) const {
#pragma unroll
    for (int d = K / 2; d > 0; d /= 2) x = x + __shfl_xor_sync(warp, x, d, K);
    return x;
  }
  template <class T>
  __device__ __forceinline__ T max(T x) const {
#pragma unroll
    for (int d = K / 2; d > 0; d /= 2) {
      const T other = __shfl_xor_sync(warp, x, d, K);
      x = other > x ? other : x;
    }
    return x;
  }
  __device__ __forceinline__ bool any(bool p) const { return votes(p) != 0; }
  __device__ __forceinline__ int first(bool p) const {
    const unsigned v = votes(p);
    return v ? __ffs(int(v)) - 1 : K;
  }
  template <class T>
  __device__ __forceinline__ T broadcast(T x, int from) const {
    return __shfl_sync(warp, x, from, K);
  }
  __device__ __forceinline__ bool together(bool p) const { return K == warp_lanes ? p : __any_sync(warp, p) != 0; }

 private:
  // Bit r: p of rank r.
  __device__ __forceinline__ unsigned votes(bool p) const {
    constexpr unsigned members = K == warp_lanes ? warp : (1u << (K % warp_lanes)) - 1;
    return __ballot_sync(warp, p) >> (int(threadIdx.x) % warp_lanes / K * K) & members;
  }
};

// All threads of the block, whole warps of them.  Collectives meet in two buffers in turn: a buffer is written again only after the
// barrier of the call between, which no thread passes before it has read.
class BlockTeam {
  static constexpr int max_warps = 32;

 public:
  static constexpr int shared_bytes = block_team_bytes;
  static_assert(shared_bytes == 2 * max_warps * int(sizeof(double)), "two buffers");

  // `shared`: shared_bytes of the block's shared memory, aligned for double
  __device__ __forceinline__ explicit BlockTeam(void* shared) : shared_(static_cast<double*>(shared)), turn_(0) {}

  __device__ __forceinline__ int rank() const { return int(threadIdx.x); }
  __device__ __forceinline__ int size() const { return int(blockDim.x); }
  __device__ __forceinline__ int index() const { return 0; }
  __device__ __forceinline__ static int teams_per_block() { return 1; }

  __device__ __forceinline__ void sync() const { __syncthreads(); }

  template <class T>
  __device__ __forceinline__ T sum(T x) const {
    const T* part = meet(WarpTeam<warp_lanes>(nullptr).sum(x));
    T total = part[0];
    for (int w = 1; w < warps(); ++w) total = total + part[w];
    return total;
  }
  template <class T>
  __device__ __forceinline__ T max(T x) const {
    const T* part = meet(WarpTeam<warp_lanes>(nullptr).max(x));
    T best = part[0];
    for (int w = 1; w < warps(); ++w) best = part[w] > best ? part[w] : best;
    return best;
  }
  __device__ __forceinline__ bool any(bool p) const { return __syncthreads_or(p) != 0; }
  __device__ __forceinline__ int first(bool p) const {
    const unsigned* votes = meet(__ballot_sync(0xffffffffu, p));
    int rank = size();
    for (int w = warps() - 1; w >= 0; --w)
      if (votes[w]) rank = w * warp_lanes + __ffs(int(votes[w])) - 1;
    return rank;
  }
  template <class T>
  __device__ __forceinline__ T broadcast(T x, int from) const {
    T* at = buffer<T>();
    if (rank() == from) *at = x;
    __syncthreads();
    return *at;
  }
  __device__ __forceinline__ bool together(bool p) const { return p; }  // every thread knows it

 private:
  __device__ __forceinline__ int warps() const { return int(blockDim.x) / warp_lanes; }
  template <class T>
  __device__ __forceinline__ T* buffer() const {
    turn_ ^= 1;
    return reinterpret_cast<T*>(shared_ + turn_ * max_warps);
  }
  // One value of each warp where every thread can read it.
  template <class T>
  __device__ __forceinline__ const T* meet(T x) const {
    T* at = buffer<T>();
    if (rank() % warp_lanes == 0) at[rank() / warp_lanes] = x;
    __syncthreads();
    return at;
  }

  double* shared_;
  mutable int turn_;
};

}  // namespace sk
