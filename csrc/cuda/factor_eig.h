// Batched eig of matrices that are formed from factors: what the ops call, without the kernels (jacobian_<dtype>.cu, householder_<dtype>.cu).
#pragma once
#include "eig.h"
#include "factor_sources.cuh"

namespace sk {

template <class Source, bool Vectors>
cudaError_t eig_of_factors(const EigProblem& p, const Source& source, const TensorSink<typename Source::real, Vectors>& sink, cudaStream_t stream, const Allocate& allocate);

#define SK_EIG_OF_FACTORS(Source, Vectors)                                                                                                    \
  cudaError_t eig_of_factors<Source, Vectors>(const EigProblem& p, const Source& source, const TensorSink<typename Source::real, Vectors>& sink, \
                                              cudaStream_t stream, const Allocate& allocate)
extern template SK_EIG_OF_FACTORS(JacobianSource<float>, false);
extern template SK_EIG_OF_FACTORS(JacobianSource<float>, true);
extern template SK_EIG_OF_FACTORS(JacobianSource<double>, false);
extern template SK_EIG_OF_FACTORS(JacobianSource<double>, true);
extern template SK_EIG_OF_FACTORS(HouseholderSource<float>, false);
extern template SK_EIG_OF_FACTORS(HouseholderSource<double>, false);

}  // namespace sk
