// When a subdiagonal entry of a Hessenberg matrix may be set to zero.
#pragma once
#include "lane.h"

namespace sk {

// The criterion of Ahues and Tisseur (LAWN 122; xLAHQR) for entry `sub` with `sup` across the diagonal: `diag` is the size
// of the lower diagonal entry, `diff` that of the difference of the two.
template <class L>
SK_HD mask_t<L> ahues_tisseur(L sub, L sup, L diag, L diff, L smlnum) {
  const L ulp(Machine<real_t<L>>::ulp);
  L ab = lane_max(sub, sup), ba = lane_min(sub, sup), aa = lane_max(diag, diff), bb = lane_min(diag, diff);
  // Divided by a power of two next to aa + ab, where xLAHQR divides by it: the same criterion but for smlnum.
  L inverse = lane_pow2_inverse(lane_pow2_floor(lane_max(aa + ab, L(Machine<real_t<L>>::safmin))));
  return ba * (ab * inverse) <= lane_max(smlnum, ulp * (bb * (aa * inverse)));
}

}  // namespace sk
