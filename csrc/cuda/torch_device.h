// What ops on CUDA tensors need of torch besides its stable ABI for tensors: the current stream, workspace, errors; tensors as sources and sinks.
#pragma once
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include "../ops/eigenproblem.h"
#include "eig.h"

namespace sk {

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

// The same with workspace: `launch(stream, allocate)`.
template <class Launch>
void run_with_workspace(const char* op, const Tensor& t, Launch&& launch) {
  Tensor workspace = t;
  run_on_device(op, t, [&](cudaStream_t stream) {
    return launch(stream, [&](int64_t bytes) {
      workspace = torch::stable::new_empty(t, {bytes}, ScalarType::Byte);
      return workspace.mutable_data_ptr();
    });
  });
}

// The batch axes of t as a kernel takes them; false where they are too many.
inline bool batch_strides(const Tensor& t, int core, const BroadcastShape& batch, BatchStrides& out) {
  const std::vector<Axis> axes = merged_axes(t, core, batch);
  out = {};
  if (axes.size() > size_t(BatchStrides::max_dims)) return false;
  for (const Axis& axis : axes) {
    out.sizes[out.dims] = axis.size;
    out.strides[out.dims++] = axis.stride;
  }
  return true;
}

inline BatchStrides strides_of(const Tensor& t, int core, const BroadcastShape& batch) {
  BatchStrides out;
  STD_TORCH_CHECK(batch_strides(t, core, batch, out), "spectral_kernels: expected at most ", int(BatchStrides::max_dims), " batch axes that do not lie as one in memory");
  return out;
}

// A tensor (..., n, n) as the matrices of a kernel; `kept` owns the copy that more than max_dims axes need.
template <class E>
StridedSource<E> strided_source(const Tensor& t, Tensor& kept) {
  StridedSource<E> source;
  BroadcastShape batch;
  batch.add(t, 2);
  kept = t;
  if (!batch_strides(kept, 2, batch, source.batch)) {
    kept = torch::stable::contiguous(t);
    batch_strides(kept, 2, batch, source.batch);
  }
  source.data = static_cast<const typename Memory<E>::type*>(kept.const_data_ptr());
  source.row = kept.strides()[kept.dim() - 2];
  source.col = kept.strides()[kept.dim() - 1];
  return source;
}

template <class T, bool Vectors>
TensorSink<T, Vectors> tensor_sink(EigTensors& out) {
  auto pairs = [](Tensor& t) { return t.numel() ? static_cast<Pair<T>*>(t.mutable_data_ptr()) : nullptr; };
  return {pairs(out.values), pairs(out.right), pairs(out.left), static_cast<int32_t*>(out.info.mutable_data_ptr())};
}

}  // namespace sk
