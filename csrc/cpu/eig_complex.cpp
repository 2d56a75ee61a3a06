// The complex kernels of spectral_kernels::eig_simd (registered in eig.cpp), a source file of their own for the build's sake.
#include "eig_complex.h"

#include "eig_batch.h"

namespace sk {

void eig_complex(const Tensor& A, int64_t batch, int n, EigOptions opt, Tensor& w, Tensor& right, Tensor& left, Tensor& info) {
  if (A.scalar_type() == torch::headeronly::ScalarType::ComplexFloat)
    eig_tensor<Complex, float>(A, batch, n, opt, w, right, left, info);
  else
    eig_tensor<Complex, double>(A, batch, n, opt, w, right, left, info);
}

}  // namespace sk
