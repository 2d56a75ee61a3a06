// Work for the threads of torch's pool, a chunk at a time.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <atomic>

namespace sk {

// Calls worker(begin, end) on ranges that make up [0, count).  Every thread has a worker of its own, made by make_worker(),
// and takes its next chunk when it is done with the last: matrices differ in their number of iterations, and a core may be
// busy with something else.
template <class MakeWorker>
void for_each_chunk(int64_t count, MakeWorker&& make_worker) {
  if (count <= 0) return;
  const int64_t available = torch::stable::get_num_threads(), threads = count < available ? count : available;
  if (threads <= 1) {
    auto worker = make_worker();
    worker(int64_t(0), count);
    return;
  }
  constexpr int64_t chunks_per_thread = 16;
  const int64_t chunk = (count + threads * chunks_per_thread - 1) / (threads * chunks_per_thread);
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= count) return;
      auto worker = make_worker();
      for (; begin < count; begin = next.fetch_add(chunk, std::memory_order_relaxed)) worker(begin, begin + chunk < count ? begin + chunk : count);
    }
  });
}

}  // namespace sk
