// The float32 kernels of spectral_kernels::jacobian_eig.
#include "factor_launch.h"

namespace sk {
template SK_EIG_OF_FACTORS(JacobianSource<float>, false);
template SK_EIG_OF_FACTORS(JacobianSource<float>, true);
}  // namespace sk
