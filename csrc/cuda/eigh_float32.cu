// The float32 kernels of spectral_kernels::eigh_batched.
#include "eigh_launch.cuh"

namespace sk {
template SK_EIGH_OF_TRIANGLE(float);
}  // namespace sk
