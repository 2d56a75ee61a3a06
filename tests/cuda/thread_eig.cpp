// Batched eig, a thread per matrix, for the emulation.  REAL, COMPONENTS and VECTORS choose the kernels; SIZE one of them, else all sizes.
#include "cuda/thread_launch.h"

using T = REAL;
using E = std::conditional_t<COMPONENTS == 2, sk::Complex<T>, T>;
#ifdef SIZE
constexpr int first = SIZE, last = SIZE;
#else
constexpr int first = sk::smallest_thread_kernel(COMPONENTS), last = sk::limits({0, COMPONENTS, int(sizeof(T)), VECTORS}).thread;
#endif

// The batch is one axis; strides in elements.  right, left: null when not wanted.  Returns the cudaError_t.
extern "C" int eig(const void* a, int64_t batch, int64_t n, int64_t batch_stride, int64_t row, int64_t col, int64_t balance, void* values, void* right, void* left, void* info) {
  const sk::StridedSource<E> source{static_cast<const typename sk::Memory<E>::type*>(a), {1, {batch}, {batch_stride}}, row, col};
  const sk::TensorSink<T, VECTORS> sink{static_cast<sk::Pair<T>*>(values), static_cast<sk::Pair<T>*>(right), static_cast<sk::Pair<T>*>(left), static_cast<int32_t*>(info)};
  const sk::EigProblem p{batch, int(n), balance != 0};
  sk::Device device;
  if (const cudaError_t error = device.query(); error != cudaSuccess) return int(error);
  const sk::Tuning t = sk::tune({p.n, COMPONENTS, int(sizeof(T)), VECTORS}, device.shared_limit);
  if (t.mapping != sk::Mapping::thread) return int(cudaErrorInvalidValue);
  return batch == 0 ? 0 : int(sk::launch_thread_eig<first, last>(p, t, device, source, sink, nullptr));
}
