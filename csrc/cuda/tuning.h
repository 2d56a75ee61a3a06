// Which threads solve one matrix on a GPU: data, in plain C++, so that a test on the CPU reads the same table.
//
//   thread   one thread, its matrix in registers
//   team     4, 8, 16 or 32 lanes of a warp, the matrix in shared memory
//   block    the warps of a block, the matrix in shared memory as long as it fits
#pragma once
#include <cstddef>

#include "team_layout.h"

#include "../core/config.h"

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

// [complex][float64].  `thread` ends where nvcc needs a stack or spills for sm_80, sm_90 or sm_100 with eigenvectors; the same without, since a
// thread and a team add in different orders, and eigenvalues are the same bits with and without vectors.
constexpr Limits limits_of[2][2] = {
    {{8, 64, 128}, {5, 64, 128}},
    {{6, 64, 128}, {4, 48, 128}},
};
constexpr Limits limits(const Problem& p) { return limits_of[p.components - 1][p.real_bytes == 8]; }

struct Tuning {
  Mapping mapping;
  int team;          // threads that share a matrix
  int threads;       // of a block
  int matrices;      // of a block, at a time
  int slot_bytes;    // shared memory of one matrix
  int shared_bytes;  // shared memory of a block
  Placement placement;      // of a team's matrices
  int64_t workspace_bytes;  // of one block, in global memory
};

constexpr int warp_size = 32;

// Reals in shared memory of a thread that keeps its matrix in registers: where the matrix is loaded and balanced, and where its
// Schur form is read by the steps that index by data.  Odd, so that equal places of neighbouring threads lie in different banks.  n = 1 takes the kernel
// of n = 2.
SK_HD constexpr int thread_slot_reals(const Problem& p) {
  const int n = p.n > 2 ? p.n : 2, entries = n * n * p.components * (p.vectors ? 2 : 1);
  const int scratch = p.components == 1 ? 4 + (p.vectors ? 4 : 0) : 5 + (p.vectors ? 16 : 0);  // vectors of length n
  return (entries + scratch * n) | 1;
}

// The two sizes of teams within a warp.  The fewer threads share a matrix, the more matrices share the instructions that each thread of a
// team repeats, above all the reflectors; the more, the fewer matrices must be in flight to hide their latency, and shared memory ends
// their number.  So the small ones serve `up_to` rows: as long as about 24 matrices fit into a multiprocessor.
struct TeamSizes {
  int small, up_to, large;
};
constexpr TeamSizes team_sizes(int components, int real_bytes, bool vectors) {
  const int entry_bytes = components * real_bytes;
  return {vectors ? 8 : 4, entry_bytes == 4 || (vectors && entry_bytes == 8) ? 32 : 16, vectors ? 32 : 16};
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
  TeamLayout layout{p.n, p.components, p.real_bytes, p.vectors, 0};
  if (p.n <= limit.team) {
    const TeamSizes sizes = team_sizes(p.components, p.real_bytes, p.vectors);
    t.mapping = Mapping::team;
    t.threads = warp_size;  // warps are independent
    t.team = layout.team = p.n <= sizes.up_to ? sizes.small : sizes.large;
    t.matrices = t.threads / t.team;
    t.slot_bytes = layout.slot_bytes();
    t.shared_bytes = t.slot_bytes * t.matrices;
  } else {
    t.mapping = Mapping::block;
    t.threads = t.team = layout.team = p.n <= 64 ? 64 : 128;
    t.matrices = 1;
    layout.placement = p.vectors ? Placement::z_global : Placement::shared;  // without Z more blocks fit into a multiprocessor
    if (layout.slot_bytes() + block_team_bytes > shared_limit) layout.placement = Placement::global;
    t.slot_bytes = layout.slot_bytes();
    t.shared_bytes = t.slot_bytes + block_team_bytes;
  }
  t.placement = layout.placement;
  t.workspace_bytes = layout.workspace_reals() * p.real_bytes * t.matrices;
  return t;
}

}  // namespace sk
