// Batched eig on the device: what the op calls, without the kernels, which take a while to compile (eig_<dtype>.cu).
#pragma once
#include <functional>

#include "sink.cuh"

namespace sk {

struct EigProblem {
  int64_t batch;
  int n;
  bool balance;
};

// Gives workspace on the device.
using Allocate = std::function<void*(int64_t bytes)>;

template <class E, bool Vectors>
cudaError_t eig_of_strided(const EigProblem& p, const StridedSource<E>& source, const TensorSink<lane_of<E>, Vectors>& sink, cudaStream_t stream, const Allocate& allocate);

#define SK_EIG_OF_STRIDED(E, Vectors) \
  cudaError_t eig_of_strided<E, Vectors>(const EigProblem& p, const StridedSource<E>& source, const TensorSink<lane_of<E>, Vectors>& sink, cudaStream_t stream, const Allocate& allocate)
extern template SK_EIG_OF_STRIDED(float, false);
extern template SK_EIG_OF_STRIDED(float, true);
extern template SK_EIG_OF_STRIDED(double, false);
extern template SK_EIG_OF_STRIDED(double, true);
extern template SK_EIG_OF_STRIDED(Complex<float>, false);
extern template SK_EIG_OF_STRIDED(Complex<float>, true);
extern template SK_EIG_OF_STRIDED(Complex<double>, false);
extern template SK_EIG_OF_STRIDED(Complex<double>, true);

}  // namespace sk
