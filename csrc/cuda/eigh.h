// Batched eigh on the device: what the op calls, without the kernels, which take a while to compile (eigh_<dtype>.cu).
#pragma once
#include "symmetric.cuh"

namespace sk {

// Eigenvalues and, where out.vectors is not null, eigenvectors of `batch` matrices of size n, 1 <= n <= eigh_limits(...).block.
template <class E>
cudaError_t eigh_of_triangle(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, cudaStream_t stream);

#define SK_EIGH_OF_TRIANGLE(E) \
  cudaError_t eigh_of_triangle<E>(const TriangleSource<E>& source, int64_t batch, int n, const SymmetricOutputs<E>& out, cudaStream_t stream)
extern template SK_EIGH_OF_TRIANGLE(float);
extern template SK_EIGH_OF_TRIANGLE(double);
extern template SK_EIGH_OF_TRIANGLE(Complex<float>);
extern template SK_EIGH_OF_TRIANGLE(Complex<double>);

}  // namespace sk
