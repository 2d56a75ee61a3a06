// The part of CUDA's host interface that launchers use.  Streams are in order because everything runs at once.
#pragma once
#include <cxxabi.h>
#include <dlfcn.h>

#include <map>
#include <mutex>
#include <tuple>

#include "intrinsics.h"

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9, cudaErrorLaunchFailure = 719 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97, cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81 };

namespace simt {

inline cudaError_t last_code = cudaSuccess;
inline std::map<const void*, std::size_t> opt_in;  // kernel -> dynamic shared memory it may ask for

struct Launched {
  unsigned long long blocks, threads;  // of the grid, of a block
  std::size_t shared_bytes;
};
inline std::map<std::string, Launched> launched;  // the last launch of every kernel

inline void refuse(cudaError_t code, const std::string& message) {
  if (last_code == cudaSuccess) last_code = code, last_error = message;
}

inline std::string kernel_name(const void* kernel) {
  Dl_info info;
  if (!dladdr(kernel, &info) || !info.dli_sname) return "?";
  char* plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, nullptr);
  std::string result = plain ? plain : info.dli_sname;
  std::free(plain);
  if (result.rfind("void ", 0) == 0) result.erase(0, 5);
  int depth = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {  // without the types of its parameters
    depth += (result[i] == '<') - (result[i] == '>');
    if (result[i] == '(' && depth == 0) return result.substr(0, i);
  }
  return result;
}

template <class... Parameters, class... Arguments>
void launch(Where at, void (*kernel)(Parameters...), dim3 grid, dim3 size, std::size_t shared_bytes, cudaStream_t, Arguments... arguments) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  if (last_code != cudaSuccess) return;
  const void* key = reinterpret_cast<const void*>(kernel);
  const unsigned long long threads = 1ull * size.x * size.y * size.z, blocks = 1ull * grid.x * grid.y * grid.z;
  if (threads == 0 || threads > largest_block) return refuse(cudaErrorInvalidConfiguration, text(at) + ": a block has 1 to 1024 threads, got " + std::to_string(threads));
  if (blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return refuse(cudaErrorInvalidConfiguration, text(at) + ": a grid has at least one block, at most 2^31 - 1, 65535 and 65535 along its axes");
  if (shared_bytes > largest_shared) return refuse(cudaErrorInvalidValue, text(at) + ": a block has at most 227 KB of shared memory, got " + std::to_string(shared_bytes) + " bytes");
  if (shared_bytes > shared_without_opt_in && (!opt_in.count(key) || opt_in[key] < shared_bytes))
    return refuse(cudaErrorInvalidValue, text(at) + ": more than 48 KB of shared memory (" + std::to_string(shared_bytes) + " bytes) without cudaFuncSetAttribute");
  launched[kernel_name(key)] = {blocks, threads, shared_bytes};
  const std::tuple<Parameters...> given(arguments...);
  const std::function<void()> body = [&] { std::apply(kernel, given); };
  std::vector<unsigned long long> sequence(blocks);
  for (unsigned long long i = 0; i < blocks; ++i) sequence[i] = settings.order == Order::reverse ? blocks - 1 - i : i;
  std::mt19937_64 random(settings.seed);
  if (settings.order == Order::random) std::shuffle(sequence.begin(), sequence.end(), random);
  for (unsigned long long b : sequence) {
    const uint3 index = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    const std::string error = run_block(index, grid, size, shared_bytes, settings.seed ^ unsigned(b * 2654435761u), body);
    if (!error.empty()) return refuse(cudaErrorLaunchFailure, error);
  }
  acquire(&launch_end);
}

}  // namespace simt

#define SK_LAUNCH(kernel, grid, block_size, shared_bytes, stream, ...) \
  ::simt::launch(::simt::Where{__FILE__, __LINE__, "launch"}, (kernel), dim3(grid), dim3(block_size), std::size_t(shared_bytes), stream, __VA_ARGS__)

inline cudaError_t cudaGetLastError() {
  const cudaError_t code = simt::last_code;
  simt::last_code = cudaSuccess;
  return code;
}
inline cudaError_t cudaPeekAtLastError() { return simt::last_code; }
inline const char* cudaGetErrorString(cudaError_t code) { return code == cudaSuccess ? "no error" : simt::last_error.c_str(); }
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  if (value < 0 || std::size_t(value) > simt::largest_shared) return cudaErrorInvalidValue;
  simt::opt_in[reinterpret_cast<const void*>(kernel)] = std::size_t(value);
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? simt::settings.multiprocessors : int(simt::largest_shared);
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int threads, std::size_t shared_bytes) {
  *blocks = int(std::min<std::size_t>(2048 / threads, shared_bytes ? simt::largest_shared / shared_bytes : 32));
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t) {
  std::memset(p, value, bytes);
  return cudaSuccess;
}

// For the tests that load a library of kernels.
extern "C" {
__attribute__((used, visibility("default"))) inline void simt_configure(int order, unsigned seed) { simt::settings.order = simt::Order(order), simt::settings.seed = seed; }
// The message of the first error since the last call, or "".
__attribute__((used, visibility("default"))) inline const char* simt_take_error() {
  static std::string taken;
  taken = simt::last_error;
  simt::last_error.clear(), simt::last_code = cudaSuccess;
  return taken.c_str();
}
// The last launch of every kernel, a line each: name, blocks, threads of a block, bytes of shared memory.
__attribute__((used, visibility("default"))) inline const char* simt_launched() {
  static std::string lines;
  lines.clear();
  for (const auto& [name, l] : simt::launched) lines += name + "\t" + std::to_string(l.blocks) + "\t" + std::to_string(l.threads) + "\t" + std::to_string(l.shared_bytes) + "\n";
  return lines.c_str();
}
__attribute__((used, visibility("default"))) inline void simt_forget_launches() { simt::launched.clear(); }
}
