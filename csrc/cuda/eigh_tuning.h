// Which threads solve a symmetric or Hermitian matrix: data, in plain C++, so that a test on the CPU reads the same table.
#pragma once
#include "../core/jacobi.h"

namespace sk {

// Bytes of an entry: 4, 8 or 16.
struct EighLimits {
  int thread, warp, block;  // the largest size of each mapping
};
// `thread` ends where the registers of a kernel with eigenvectors come near the 255 that a thread may have; `block` where the matrix and its
// eigenvectors no longer fit into the 163 KiB of shared memory of every GPU since sm_80.
constexpr EighLimits eigh_limits(int entry_bytes) {
  return {entry_bytes == 4 ? 8 : entry_bytes == 16 ? 4 : 6, 32, entry_bytes == 4 ? 128 : entry_bytes == 8 ? 96 : 64};
}

struct EighTuning {
  int team;          // threads of a matrix; 1: it stands in registers
  int threads;       // of a block
  int matrices;      // of a block, at a time
  int entries;       // in shared memory, of one matrix
  int shared_bytes;  // of a block, without what the team itself needs
};

constexpr EighTuning eigh_block(int team, int threads, int entries, int entry_bytes) {
  return {team, threads, threads / team, entries, threads / team * entries * entry_bytes};
}

// Of a matrix on a team: triangle, eigenvectors as rows, rotations.
constexpr SK_HD int jacobi_entries(int n, bool vectors) { return Triangle<float>::size(n) + (vectors ? n * n : 0) + 2 * ((n + 1) / 2); }
// Of a matrix in registers: where it comes in, and its results go out.  Odd: equal places of neighbours lie in different banks.
constexpr SK_HD int staged_entries(int n, bool vectors) { return (vectors ? n + n * n : Triangle<float>::size(n)) | 1; }

constexpr EighTuning eigh_tuning(int n, int entry_bytes, bool vectors) {
  const EighLimits limits = eigh_limits(entry_bytes);
  if (n <= limits.thread) return eigh_block(1, 128, staged_entries(n, vectors), entry_bytes);
  const int entries = jacobi_entries(n, vectors);
  // Half as many lanes as rows: each finds one rotation of a round, and neighbouring teams fill the warp.
  if (n <= limits.warp) return eigh_block(n <= 8 ? 4 : n <= 16 ? 8 : 16, 64, entries, entry_bytes);
  const int threads = n <= 64 ? 128 : 256;
  return eigh_block(threads, threads, entries, entry_bytes);
}

}  // namespace sk
