// Which threads solve one matrix on a GPU: data, in plain C++, so that a test on the CPU reads the same table.
//
//   thread   one thread, its matrix in registers
//   team     8 or 32 lanes of a warp, the matrix in shared memory
//   block    the warps of a block, the matrix in shared memory as long as it fits
#pragma once
#include <cstdint>
#include <initializer_list>

#include "team_layout.h"

namespace sk {

enum class Mapping { none, thread, team, block };

// What is to be solved: matrices of size n with entries of `components` reals of `real_bytes` bytes.
struct Problem {
  int n;
  int components;  // 1 real, 2 complex
  int real_bytes;  // 4, 8
  bool vectors;
};

// The largest size of each mapping.
struct Limits {
  int thread, team, block;
};

// [complex][float64][vectors].  `thread` ends where nvcc needs a stack or spills for sm_80, sm_90 or sm_100.
constexpr Limits limits_of[2][2][2] = {
    {{{8, 32, 128}, {8, 32, 128}}, {{8, 32, 128}, {5, 32, 128}}},
    {{{8, 32, 128}, {6, 32, 128}}, {{6, 32, 128}, {4, 32, 128}}},
};
constexpr Limits limits(const Problem& p) { return limits_of[p.components - 1][p.real_bytes == 8][p.vectors]; }

struct Tuning {
  Mapping mapping;
  int team;             // threads that share a matrix
  int threads;          // of a block
  int matrices;         // of a block, at a time
  int slot_bytes;       // shared memory of one matrix
  int shared_bytes;     // shared memory of a block
  Placement placement;  // of a block's matrices
  int64_t workspace_reals;  // of one matrix, in global memory
};

constexpr int warp_size = 32;

// Reals in shared memory of a thread that keeps its matrix in registers: where the matrix is loaded and balanced, and where its
// Schur form is read by the steps that index by data.  Odd, so that equal places of neighbouring threads lie in different banks.
// n = 1 takes the kernel of n = 2.
SK_HD constexpr int thread_slot_reals(const Problem& p) {
  const int n = p.n > 2 ? p.n : 2, entries = n * n * p.components * (p.vectors ? 2 : 1);
  const int scratch = p.components == 1 ? 4 + (p.vectors ? 4 : 0) : 5 + (p.vectors ? 16 : 0);  // vectors of length n
  return (entries + scratch * n) | 1;
}

// The mapping for a GPU that lets a block have `shared_limit` bytes of shared memory (sm_80: 163 KiB; sm_90, sm_100: 227 KiB).
constexpr Tuning tune(const Problem& p, int shared_limit) {
  Tuning t{Mapping::none, 0, 0, 0, 0, 0, Placement::shared, 0};
  const Limits limit = limits(p);
  if (p.n < 1 || p.n > limit.block) return t;
  if (p.n <= limit.thread) {
    t.mapping = Mapping::thread;
    t.team = 1;
    t.threads = t.matrices = 64;  // warps are independent: small blocks fill a multiprocessor best
    t.slot_bytes = thread_slot_reals(p) * p.real_bytes;
    t.shared_bytes = t.slot_bytes * t.matrices;
    return t;
  }
  const bool team = p.n <= limit.team;
  t.mapping = team ? Mapping::team : Mapping::block;
  t.team = team ? p.n <= 16 ? 8 : 32 : p.n <= 64 ? 64 : 128;
  t.threads = team ? 128 : t.team;
  TeamLayout layout{p.n, p.components, p.real_bytes, p.vectors, t.team};
  t.slot_bytes = layout.slot_bytes();
  if (team) {
    while (t.threads > warp_size && t.threads / t.team * t.slot_bytes > shared_limit / 2) t.threads /= 2;  // two blocks at least
  } else {
    for (const Placement placement : {Placement::shared, Placement::z_global, Placement::global}) {
      if (placement == Placement::z_global && !p.vectors) continue;
      layout.placement = t.placement = placement;
      t.slot_bytes = layout.slot_bytes();
      if (t.slot_bytes + block_team_bytes <= shared_limit) break;
    }
  }
  t.matrices = t.threads / t.team;
  t.shared_bytes = t.slot_bytes * t.matrices + (team ? 0 : block_team_bytes);
  t.workspace_reals = layout.workspace_reals();
  return t;
}

}  // namespace sk
