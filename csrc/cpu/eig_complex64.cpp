// The complex64 kernels of spectral_kernels::eig_batched.
#include "eig_complex.h"

#include "eig_batch.h"

namespace sk {
template SK_EIG_TENSOR(Complex, float);
}  // namespace sk
