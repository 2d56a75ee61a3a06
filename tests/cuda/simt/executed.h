// How often each thread of a block has run each basic block of the kernels: for g++ -fsanitize-coverage=trace-pc -include executed.h.
#pragma once
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>

#include "simt_emulation.h"

namespace simt {

// Plain arrays: what the hook calls would be counted too.
struct Executed {
  static constexpr int64_t most_blocks = 1 << 18, most_threads = largest_block, text_bytes = 1 << 28;
  const char* base = nullptr;  // where the library was loaded
  int64_t blocks = 0;
  int32_t* number = nullptr;   // 1 + number of the block whose hook returns to base + i, or 0
  int64_t* address = nullptr;  // of each block's hook, from base
  uint32_t* count = nullptr;   // [block][rank of the thread]
};
inline Executed executed;

}  // namespace simt

extern "C" {
__attribute__((used, visibility("default"), no_sanitize_coverage)) inline void __sanitizer_cov_trace_pc() {
  simt::Executed& e = simt::executed;
  if (!e.base || !simt::self) return;
  const int64_t at = static_cast<const char*>(__builtin_return_address(0)) - e.base;
  if (at < 0 || at >= e.text_bytes) return;
  if (e.number[at] == 0) {
    if (e.blocks == e.most_blocks) return;
    e.address[e.blocks] = at;
    e.number[at] = int32_t(++e.blocks);
  }
  ++e.count[(e.number[at] - 1) * e.most_threads + simt::self->rank];
}

// Starts counting anew.
__attribute__((used, visibility("default"), no_sanitize_coverage)) inline void simt_count_blocks() {
  simt::Executed& e = simt::executed;
  Dl_info info;
  dladdr(reinterpret_cast<const void*>(&simt_count_blocks), &info);
  std::free(e.number), std::free(e.address), std::free(e.count);
  e.number = static_cast<int32_t*>(std::calloc(e.text_bytes, sizeof(int32_t)));  // untouched pages cost nothing
  e.address = static_cast<int64_t*>(std::calloc(e.most_blocks, sizeof(int64_t)));
  e.count = static_cast<uint32_t*>(std::calloc(e.most_blocks * e.most_threads, sizeof(uint32_t)));
  e.blocks = 0;
  e.base = static_cast<const char*>(info.dli_fbase);
}
__attribute__((used, visibility("default"), no_sanitize_coverage)) inline int64_t simt_blocks_executed(const int64_t** addresses, const uint32_t** counts) {
  *addresses = simt::executed.address, *counts = simt::executed.count;
  return simt::executed.blocks;
}
}
