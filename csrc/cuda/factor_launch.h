// The kernels behind factor_eig.h.
#pragma once
#include "eig_launch.h"
#include "factor_eig.h"

namespace sk {

template <class Source, bool Vectors>
cudaError_t eig_of_factors(const EigProblem& p, const Source& source, const TensorSink<typename Source::real, Vectors>& sink, cudaStream_t stream, const Allocate& allocate) {
  return launch_eig(p, source, sink, stream, allocate);
}

}  // namespace sk
