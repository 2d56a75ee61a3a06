// Where the data of one team stand, in plain C++: kernels, launchers, the table of mappings and tests compute the same numbers.
//
// In shared memory, a slot per team: H, Z, vectors of length n.  In the workspace, in global memory: eigenvectors in progress, which are
// read along the lanes of the team, and what the placement leaves there.
#pragma once
#include <cstdint>

#include "../core/config.h"

namespace sk {

// What stands in shared memory: H and Z; H; neither.
enum class Placement { shared, z_global, global };

// What the collectives of a team that is a whole block need of shared memory, before its slot.
constexpr int block_team_bytes = 512;

struct TeamLayout {
  int n, components, real_bytes;  // of an entry: 1 or 2 reals of so many bytes
  bool vectors;
  int team;  // threads that share a matrix
  Placement placement = Placement::shared;

  // Rows of an odd number of entries: a row and a column of H are both read without bank conflicts.
  SK_HD constexpr int leading_dimension() const { return n | 1; }
  SK_HD constexpr int matrix_reals() const { return n * leading_dimension() * components; }
  // With vectors: balancing factors, and the reflectors of a sweep, before them tau and v of a Householder reduction, after them
  // eigenvalues and rotations.  Complex: also the subdiagonal.  Without, one after the other in the same place.
  SK_HD constexpr int vector_reals() const { return (components == 1 ? vectors ? 6 : 2 : vectors ? 7 : 3) * n; }
  SK_HD constexpr int permutation_reals() const { return vectors ? (n * int(sizeof(uint16_t)) + real_bytes - 1) / real_bytes : 0; }

  // Of one team's slot.  Teams smaller than a warp read along a row at the same time: an odd number of their widths apart, they use
  // different banks.
  SK_HD constexpr int slot_reals() const {
    const int matrices = placement == Placement::global ? 0 : placement == Placement::z_global || !vectors ? 1 : 2;
    const int needed = matrices * matrix_reals() + vector_reals() + permutation_reals();
    const int width = team * components, bank_words = 32;
    if (width * real_bytes >= bank_words * 4) return (needed + 3) / 4 * 4;
    const int widths = (needed + width - 1) / width;
    return (widths | 1) * width;
  }
  SK_HD constexpr int slot_bytes() const { return slot_reals() * real_bytes; }

  // Of one team's part of the workspace: x and y of an eigenvector (real: of two) in each lane, Z, H.
  SK_HD constexpr int64_t scratch_reals() const { return vectors ? 4 * int64_t(n) * team : 0; }
  SK_HD constexpr int64_t workspace_reals() const {
    const int matrices = placement == Placement::shared ? 0 : placement == Placement::global && vectors ? 2 : placement == Placement::global || vectors ? 1 : 0;
    return scratch_reals() + matrices * int64_t(matrix_reals());
  }
};

}  // namespace sk
