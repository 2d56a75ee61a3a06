// Aligned scratch for one thread.
#pragma once
#include <cstddef>
#include <new>

namespace sk {

class Scratch {
 public:
  explicit Scratch(size_t bytes) : p_(::operator new(bytes, std::align_val_t(64))) {}
  ~Scratch() { ::operator delete(p_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* get() const { return static_cast<char*>(p_); }

 private:
  void* p_;
};

}  // namespace sk
