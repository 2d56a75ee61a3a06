// The float64 kernels on the real dense solver: spectral_kernels::eig_batched, jacobian_eig and householder_eigvals.
#include "eig_batch.h"
#include "householder.h"
#include "jacobian.h"

namespace sk {
template SK_EIG_TENSOR(Real, double);
template SK_JACOBIAN_TENSOR(double);
template SK_HOUSEHOLDER_TENSOR(double);
}  // namespace sk
