// The launcher of batched eig on contiguous or strided matrices, for the emulation.  REAL, COMPONENTS and VECTORS choose the instances.
#include "cuda/eig_launch.h"

#include <cstdlib>

using T = REAL;
using E = std::conditional_t<COMPONENTS == 2, sk::Complex<T>, T>;

// The batch is one axis; strides in elements.  right, left: null when not wanted.  Returns the cudaError_t.
extern "C" int eig(const void* a, int64_t batch, int64_t n, int64_t batch_stride, int64_t row, int64_t col, int64_t balance, void* values, void* right, void* left, void* info) {
  sk::StridedSource<E> source{static_cast<const typename sk::Memory<E>::type*>(a), {1, {batch}, {batch_stride}}, row, col};
  const sk::TensorSink<T, VECTORS> sink{static_cast<sk::Pair<T>*>(values), static_cast<sk::Pair<T>*>(right), static_cast<sk::Pair<T>*>(left), static_cast<int32_t*>(info)};
  void* workspace = nullptr;
  const cudaError_t error = sk::launch_eig({batch, int(n), balance != 0}, source, sink, nullptr, [&](int64_t bytes) { return workspace = std::malloc(size_t(bytes)); });
  std::free(workspace);
  return int(error);
}
