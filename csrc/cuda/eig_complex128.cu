// The complex128 kernels of spectral_kernels::eig_batched.
#include "eig_launch.h"

namespace sk {
template SK_EIG_OF_STRIDED(Complex<double>, false);
template SK_EIG_OF_STRIDED(Complex<double>, true);
}  // namespace sk
