// One block at a time: its threads as fibres, the meetings of their warps, the barrier of all, and what is wrong with them.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fibre.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace simt {

constexpr int warp_size = 32;
constexpr int largest_block = 1024;
constexpr std::size_t largest_shared = 227 * 1024;   // of a block on sm_90 and sm_100, with opt-in
constexpr std::size_t shared_without_opt_in = 48 * 1024;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t stack_size = 256 * 1024;
#else
constexpr std::size_t stack_size = 128 * 1024;
#endif
#if defined(__SANITIZE_THREAD__)
constexpr bool stacks_serve_once = true;  // the threads of two blocks on one stack are no race
#else
constexpr bool stacks_serve_once = false;
#endif

enum class Order { forward, reverse, random };

struct Settings {
  Order order = Order::forward;  // of the threads that can run, and of the blocks
  unsigned seed = 0;
  int multiprocessors = 2;       // what a launcher is told: few, so that persistent grids go round
};
inline Settings settings;

// Where a thread called the emulator.
struct Where {
  const char* file;
  int line;
  const char* call;
};
inline bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
inline bool operator==(const Where& a, const Where& b) { return a.line == b.line && same(a.call, b.call) && same(a.file, b.file); }
inline std::string text(const Where& w) { return std::string(w.file) + ":" + std::to_string(w.line) + ": " + w.call; }

enum class State { ready, at_warp, at_block, exited };

struct Meeting {
  unsigned mask, arrived;
  int width;
  Where at;
  char* token;  // what __syncwarp orders memory by; its own allocation, so that no two meetings order each other
};

struct Thread {
  uint3 index;
  int rank, lane, warp;
  State state;
  Where at;
  uint64_t value, result;  // given to and taken from a meeting
  int source;              // the lane whose value a shuffle takes
  bool flag;
  Fibre fibre;
};

struct Warp {
  Thread* lanes;     // of lane 0
  unsigned present;  // lanes that exist
  unsigned exited = 0;
  std::vector<Meeting> meetings;
};

struct Block {
  uint3 index;
  dim3 size, grid;
  void* shared = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<Thread*> ready;
  int alive = 0, at_barrier = 0;
  Where barrier{};
  char* barrier_token = nullptr;
  uint64_t barrier_sum = 0, barrier_all = 1;
  std::mt19937 random;
  Fibre host;
  const std::function<void()>* body = nullptr;
  std::string error;
};

inline Thread* self = nullptr;
inline Block* block = nullptr;
inline std::string last_error;
inline char launch_end;  // the threads of all blocks come before what follows the launch, and nothing orders two blocks

inline std::string name(const Thread& t) {
  return "thread (" + std::to_string(t.index.x) + ", " + std::to_string(t.index.y) + ", " + std::to_string(t.index.z) + ") of block (" + std::to_string(block->index.x) + ", " +
         std::to_string(block->index.y) + ", " + std::to_string(block->index.z) + ")";
}

// The thread that runs next; none: nobody can run.
inline Thread* next_ready() {
  std::vector<Thread*>& ready = block->ready;
  if (ready.empty()) return nullptr;
  if (settings.order == Order::random) std::swap(ready.back(), ready[block->random() % ready.size()]);
  Thread* next = ready.back();
  ready.pop_back();
  return next;
}

// `group`, whose members are in order of rank, can run.
inline void make_ready(Thread* const* group, int count) {
  std::vector<Thread*>& ready = block->ready;
  // the queue is taken from its end: who became ready earlier stays there
  const std::size_t before = ready.size();
  ready.resize(before + count);
  std::copy_backward(ready.begin(), ready.begin() + before, ready.end());
  for (int i = 0; i < count; ++i) {
    group[i]->state = State::ready;
    ready[settings.order == Order::forward ? count - 1 - i : i] = group[i];
  }
}

inline void leave(bool forever);

[[noreturn]] inline void fail(const std::string& message) {
  block->error = message;
  leave(true);
  __builtin_unreachable();
}
[[noreturn]] inline void fail(const Where& at, const std::string& message) { fail(text(at) + ": " + message + " [" + name(*self) + "]"); }

inline std::string deadlock() {
  std::map<std::string, std::pair<int, std::string>> waiting;
  for (const Thread& t : block->threads) {
    if (t.state == State::exited) continue;
    auto& [count, who] = waiting[text(t.at)];
    if (count++ == 0) who = name(t);
  }
  std::string message = "deadlock: nobody can run;";
  for (const auto& [where, who] : waiting) message += " " + std::to_string(who.first) + " wait at " + where + " (the first is " + who.second + ");";
  return message;
}

// Lets another thread run; `forever`: this one has ended or failed.
inline void leave(bool forever) {
  Fibre *from, *to;
  {
    Unwatched unwatched;
    Thread* next = block->error.empty() ? next_ready() : nullptr;
    if (next && next == self) return;
    if (!next && block->error.empty() && block->alive > 0) block->error = deadlock(), forever = true;
    from = &self->fibre, to = next ? &next->fibre : &block->host;
    self = next;
  }
  switch_fibre(*from, *to, forever);
}

inline void end_thread() {
  Thread& t = *self;
  t.state = State::exited;
  Warp& warp = block->warps[t.warp];
  warp.exited |= 1u << t.lane;
  --block->alive;
  for (const Meeting& m : warp.meetings)
    if (m.mask >> t.lane & 1) fail(text(m.at) + ": the mask names lane " + std::to_string(t.lane) + ", which has ended [" + name(t) + "]");
  if (block->at_barrier) fail(text(block->barrier) + ": a thread ends while others wait at the barrier [" + name(t) + "]");
}

inline void thread_main() {
  begin_fibre();
  (*block->body)();
  release(&launch_end);
  {
    Unwatched unwatched;
    end_thread();
  }
  leave(true);
}

// All lanes that `mask` names meet.  `finish` computes their results when the last one has come; it may call fail().
template <class Finish>
uint64_t meet(unsigned mask, uint64_t value, int source, int width, bool orders_memory, Where at, Finish finish) {
  char* token = nullptr;
  uint64_t result;
  {
    Unwatched unwatched;
    Thread& t = *self;
    Warp& warp = block->warps[t.warp];
    const unsigned me = 1u << t.lane;
    t.at = at, t.value = value, t.source = source;
    if (!(mask & me)) fail(at, "the mask does not name the calling lane " + std::to_string(t.lane));
    if (mask & ~warp.present) fail(at, "the mask names lane " + std::to_string(__builtin_ctz(mask & ~warp.present)) + ", which the block does not have");
    if (mask & warp.exited) fail(at, "the mask names lane " + std::to_string(__builtin_ctz(mask & warp.exited)) + ", which has ended");
    Meeting* meeting = nullptr;
    for (Meeting& m : warp.meetings) {
      if (m.mask == mask)
        meeting = &m;
      else if ((m.mask & me) && (m.arrived & mask))
        fail(at, "lanes that wait for each other under two masks; the other is at " + text(m.at));
    }
    if (!meeting) {
      warp.meetings.push_back({mask, 0, width, at, nullptr});
      meeting = &warp.meetings.back();
      if (orders_memory) meeting->token = static_cast<char*>(std::malloc(1));
    } else if (!(meeting->at == at) || meeting->width != width) {
      fail(at, "two collectives under one mask; the other is at " + text(meeting->at));
    }
    meeting->arrived |= me;
    token = meeting->token;
    if (token) release(token);
    t.state = State::at_warp;
    if (meeting->arrived == mask) {
      Thread* group[warp_size];
      int count = 0;
      for (unsigned rest = mask; rest; rest &= rest - 1) group[count++] = warp.lanes + __builtin_ctz(rest);
      finish(warp, mask);
      *meeting = warp.meetings.back();
      warp.meetings.pop_back();
      make_ready(group, count);
    }
    leave(false);
    result = t.result;
  }
  if (token) acquire(token);
  return result;
}

enum class Gather { nothing, count, any, all };

// All threads of the block meet.
inline int barrier(bool predicate, Gather gather, Where at) {
  char* token;
  int result;
  {
    Unwatched unwatched;
    Thread& t = *self;
    t.at = at;
    if (block->alive < int(block->threads.size())) fail(at, "a barrier after a thread of the block has ended");
    if (block->at_barrier == 0) {
      block->barrier = at, block->barrier_sum = 0;
      block->barrier_token = static_cast<char*>(std::malloc(1));
    } else if (!(block->barrier == at)) {
      fail(at, "threads meet at a barrier from two lines; the other is " + text(block->barrier));
    }
    token = block->barrier_token;
    release(token);
    block->barrier_sum += predicate;
    t.state = State::at_block;
    if (++block->at_barrier == block->alive) {
      std::vector<Thread*> group;
      for (Thread& other : block->threads) group.push_back(&other);
      const int sum = int(block->barrier_sum);
      for (Thread* other : group)
        other->result = uint64_t(gather == Gather::any ? sum > 0 : gather == Gather::all ? sum == int(group.size()) : sum);
      block->at_barrier = 0;
      make_ready(group.data(), int(group.size()));
    }
    leave(false);
    result = int(t.result);
  }
  acquire(token);
  return result;
}

// The stacks of a block, each with a page below it that nobody may touch.
struct Stacks {
  char* base = nullptr;
  std::size_t count = 0;
  void reserve(std::size_t wanted) {
    if (wanted <= count) return;
    free();
    base = static_cast<char*>(mmap(nullptr, wanted * stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base == MAP_FAILED) std::abort();
    count = wanted;
    for (std::size_t i = 0; i < count; ++i) mprotect(base + i * stack_size, 4096, PROT_NONE);
  }
  void free() {
    if (base) munmap(base, count * stack_size);
    base = nullptr, count = 0;
  }
  char* of(std::size_t i) { return base + i * stack_size + 4096; }
};
inline Stacks stacks;

// Runs one block; the message of its error, or nothing.
inline std::string run_block(uint3 index, dim3 grid, dim3 size, std::size_t shared_bytes, unsigned seed, const std::function<void()>& body) {
  Unwatched unwatched;
  // Not on this stack: the last thread reads it when it leaves, which TSan would hold against whatever stands there next.
  const auto owned = std::make_unique<Block>();
  Block& here = *owned;
  here.index = index, here.grid = grid, here.size = size, here.body = &body;
  here.random.seed(seed);
  const int count = int(size.x * size.y * size.z);
  here.threads.resize(count);
  here.warps.resize((count + warp_size - 1) / warp_size);
  here.alive = count;
  here.shared = std::malloc(shared_bytes);  // exactly: one byte more is an error that ASan sees
  std::memset(here.shared, 0xff, shared_bytes);
  stacks.reserve(count);
  describe_host(here.host);
  block = &here;
  std::vector<Thread*> all;
  for (int i = 0; i < count; ++i) {
    Thread& t = here.threads[i];
    t.index = {unsigned(i) % size.x, unsigned(i) / size.x % size.y, unsigned(i) / (size.x * size.y)};
    t.rank = i, t.lane = i % warp_size, t.warp = i / warp_size;
    Warp& warp = here.warps[t.warp];
    if (t.lane == 0) {
      const int lanes = std::min(warp_size, count - i);
      warp.lanes = &t, warp.present = lanes == warp_size ? ~0u : (1u << lanes) - 1;
    }
    prepare(t.fibre, stacks.of(i), stack_size - 4096, i, thread_main);
    all.push_back(&t);
  }
  make_ready(all.data(), count);
  self = next_ready();
  switch_fibre(here.host, self->fibre);
  for (Thread& t : here.threads) dispose(t.fibre);
  block = nullptr, self = nullptr;
  std::free(here.shared);
  if (stacks_serve_once) stacks.free();
  return here.error;
}

}  // namespace simt
