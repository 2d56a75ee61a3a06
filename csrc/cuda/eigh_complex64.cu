// The complex64 kernels of spectral_kernels::eigh_batched.
#include "eigh_launch.cuh"

namespace sk {
template SK_EIGH_OF_TRIANGLE(Complex<float>);
}  // namespace sk
