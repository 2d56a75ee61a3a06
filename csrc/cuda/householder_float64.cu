// The float64 kernels of spectral_kernels::householder_eigvals.
#include "factor_launch.h"

namespace sk {
template SK_EIG_OF_FACTORS(HouseholderSource<double>, false);
}  // namespace sk
