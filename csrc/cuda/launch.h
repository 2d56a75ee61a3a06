// What every launcher needs: the device's limits, and a grid that fills it.
#pragma once
#include "simt.h"
#include "tuning.h"

namespace sk {

// The current device.
struct Device {
  int multiprocessors = 0;
  int shared_limit = 0;  // bytes that a block may have

  cudaError_t query() {
    int device = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&shared_limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return error;
  }
};

// A persistent grid: as many blocks as run at once, or as there is work for.  Lets the kernel have its shared memory.  Table: threads,
// matrices and shared_bytes of a block.
template <class Kernel, class Table>
cudaError_t persistent_grid(Kernel* kernel, const Table& t, int64_t batch, const Device& device, int& blocks) {
  cudaError_t error = cudaSuccess;
  if (t.shared_bytes > 48 * 1024) error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, t.shared_bytes);
  int resident = 0;
  if (error == cudaSuccess) error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, t.threads, size_t(t.shared_bytes));
  if (error == cudaSuccess && resident == 0) error = cudaErrorInvalidConfiguration;
  const int64_t wanted = (batch + t.matrices - 1) / t.matrices, most = int64_t(resident) * device.multiprocessors;
  blocks = int(wanted < most ? wanted : most);
  return error;
}

}  // namespace sk
