// What ops on CUDA tensors need of torch besides its stable ABI for tensors: the current stream, errors, strides.
#pragma once
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "source.cuh"

namespace sk {

using torch::stable::Tensor;

// A symbol of the torch that is loaded, null where it has none: a library that named a CUDA symbol would not load beside a CPU build.
inline void* torch_symbol(const char* name) {
  if (void* found = dlsym(RTLD_DEFAULT, name)) return found;
  for (const char* library : {"libtorch_cuda.so", "libtorch_cpu.so"})
    if (void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD))
      if (void* found = dlsym(handle, name)) return found;
  return nullptr;
}

// torch's current stream on a device.  torch 2.13 and later: the handle of the accelerator's stream; before, the CUDA shim's.
inline cudaStream_t current_stream(int32_t device) {
  using NativeHandle = AOTITorchError (*)(StreamHandle, void**);
  using CurrentStream = AOTITorchError (*)(int32_t, void**);
  static const auto native_handle = reinterpret_cast<NativeHandle>(torch_symbol("torch_stream_native_handle"));
  static const auto current = reinterpret_cast<CurrentStream>(torch_symbol("aoti_torch_get_current_cuda_stream"));
  void* stream = nullptr;
  if (native_handle) {
    StreamHandle handle = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_stream(device, &handle));
    const AOTITorchError error = native_handle(handle, &stream);
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_delete_stream(handle));
    STABLE_TORCH_ERROR_CODE_CHECK(error);
  } else {
    STD_TORCH_CHECK(current != nullptr, "spectral_kernels: expected a torch with CUDA, 2.10 or later; this one gives no current stream");
    STABLE_TORCH_ERROR_CODE_CHECK(current(device, &stream));
  }
  return static_cast<cudaStream_t>(stream);
}

// `launch(stream)` on the device of t.
template <class Launch>
void run_on_device(const char* op, const Tensor& t, Launch&& launch) {
  const int32_t device = t.get_device_index();
  const torch::stable::accelerator::DeviceGuard guard(device);
  const cudaError_t error = launch(current_stream(device));
  STD_TORCH_CHECK(error == cudaSuccess, "spectral_kernels::", op, ": CUDA error: ", cudaGetErrorString(error));
}

// Batch axes of t, all but the last `core`, with those that lie as one in memory merged; false where that leaves too many.
inline bool batch_strides(const Tensor& t, int core, BatchStrides& out) {
  const auto sizes = t.sizes(), strides = t.strides();
  out = {};
  for (int64_t d = 0; d < int64_t(sizes.size()) - core; ++d) {
    if (sizes[d] == 1) continue;
    if (out.dims > 0 && out.strides[out.dims - 1] == strides[d] * sizes[d]) {
      out.sizes[out.dims - 1] *= sizes[d];
      out.strides[out.dims - 1] = strides[d];
      continue;
    }
    if (out.dims == BatchStrides::max_dims) return false;
    out.sizes[out.dims] = sizes[d];
    out.strides[out.dims++] = strides[d];
  }
  return true;
}

// A tensor (..., n, n) as the matrices of a kernel; `kept` owns the copy that more than max_dims axes need.
template <class E>
StridedSource<E> strided_source(const Tensor& t, Tensor& kept) {
  StridedSource<E> source;
  kept = t;
  if (!batch_strides(kept, 2, source.batch)) {
    kept = torch::stable::contiguous(t);
    batch_strides(kept, 2, source.batch);
  }
  source.data = static_cast<const typename Memory<E>::type*>(kept.const_data_ptr());
  source.row = kept.strides()[kept.dim() - 2];
  source.col = kept.strides()[kept.dim() - 1];
  return source;
}

}  // namespace sk
