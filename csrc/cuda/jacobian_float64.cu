// The float64 kernels of spectral_kernels::jacobian_eig.
#include "factor_launch.h"

namespace sk {
template SK_EIG_OF_FACTORS(JacobianSource<double>, false);
template SK_EIG_OF_FACTORS(JacobianSource<double>, true);
}  // namespace sk
