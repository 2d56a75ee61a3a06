// Fibres: stacks of their own on one thread of the operating system, and what the sanitizers must be told of them.
#pragma once
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateIgnoreReadsBegin(const char*, int);
extern "C" void AnnotateIgnoreReadsEnd(const char*, int);
extern "C" void AnnotateIgnoreWritesBegin(const char*, int);
extern "C" void AnnotateIgnoreWritesEnd(const char*, int);
#endif
#if defined(__x86_64__) && !defined(SK_SIMT_UCONTEXT)
#define SK_SIMT_OWN_SWITCH
#else
#include <ucontext.h>
#endif

namespace simt {

// The emulator's own memory is shared by all fibres without synchronisation: not a race of the kernel.
#if defined(__SANITIZE_THREAD__)
struct Unwatched {
  Unwatched() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
  ~Unwatched() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};
inline void release(void* token) { __tsan_release(token); }
inline void acquire(void* token) { __tsan_acquire(token); }
#else
struct Unwatched {
  ~Unwatched() {}
};
inline void release(void*) {}
inline void acquire(void*) {}
#endif

struct Fibre {
#if defined(SK_SIMT_OWN_SWITCH)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  char* stack = nullptr;
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // ASan's
  void* identity = nullptr;    // TSan's
};

#if defined(SK_SIMT_OWN_SWITCH)
// Six registers and the stack: swapcontext would make a system call each time.
__attribute__((naked, noinline, noipa, no_sanitize("thread", "address", "undefined"), no_sanitize_coverage)) inline void switch_stack([[maybe_unused]] void** from, [[maybe_unused]] void* to) {
  asm("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}
#endif

// Makes `fibre` start in `entry`, which never returns.  Tops are staggered, or the stacks of a block would share the same cache sets.
inline void prepare(Fibre& fibre, char* stack, std::size_t bytes, int number, void (*entry)()) {
  fibre.stack = stack, fibre.stack_bytes = bytes, fibre.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack, bytes);  // who had it before did not return
#endif
#if defined(SK_SIMT_OWN_SWITCH)
  void** top = reinterpret_cast<void**>(stack + bytes - 64 - (number % 29) * 128);
  *--top = nullptr;  // the stack is as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fibre.stack_pointer = top;
#else
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = stack;
  fibre.context.uc_stack.ss_size = bytes - (number % 29) * 128;
  fibre.context.uc_link = nullptr;
  makecontext(&fibre.context, entry, 0);
#endif
#if defined(__SANITIZE_THREAD__)
  fibre.identity = __tsan_create_fiber(0);
#endif
}

inline void dispose(Fibre& fibre) {
#if defined(__SANITIZE_THREAD__)
  if (fibre.identity) __tsan_destroy_fiber(fibre.identity);
#endif
  fibre.identity = nullptr;
}

// Ends in the fibre that last switched away from `to`; `forever`: `from` will not come back.  TSan is told that nothing is ordered by it.
inline void switch_fibre(Fibre& from, Fibre& to, bool forever = false) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(forever ? nullptr : &from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.identity, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(SK_SIMT_OWN_SWITCH)
  switch_stack(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
  (void)forever;
}

// The first thing that a new fibre does.
inline void begin_fibre() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

// The stack that called the emulator, which ASan wants to know of when a fibre switches back to it.
inline void describe_host(Fibre& host) {
#if defined(__SANITIZE_ADDRESS__)
  pthread_attr_t attributes;
  void* bottom;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &bottom, &host.stack_bytes);
  pthread_attr_destroy(&attributes);
  host.stack = static_cast<char*>(bottom);
#endif
#if defined(__SANITIZE_THREAD__)
  host.identity = __tsan_get_current_fiber();
#endif
  (void)host;
}

}  // namespace simt
