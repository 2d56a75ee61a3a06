// The float64 kernels of spectral_kernels::eig_simd.
#include "eig_batch.h"

namespace sk {
template SK_EIG_TENSOR(Real, double);
}  // namespace sk
