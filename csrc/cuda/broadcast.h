// Operands whose batch axes broadcast against each other.
#pragma once
#include <vector>

#include "torch_device.h"

namespace sk {

// The common shape of the batch axes of operands, each with so many axes behind them.
class CommonBatch {
 public:
  void add(const Tensor& t, int core) {
    const auto sizes = t.sizes();
    const size_t dims = sizes.size() - core;
    if (dims > sizes_.size()) sizes_.insert(sizes_.begin(), dims - sizes_.size(), 1);
    for (size_t d = 0; d < dims; ++d) {
      int64_t& common = sizes_[sizes_.size() - dims + d];
      STD_TORCH_CHECK(common == sizes[d] || common == 1 || sizes[d] == 1, "spectral_kernels: expected batch axes that broadcast, got sizes ", common, " and ", sizes[d]);
      if (common == 1) common = sizes[d];
    }
  }
  int64_t count() const {
    int64_t product = 1;
    for (int64_t s : sizes_) product *= s;
    return product;
  }
  // With axes behind.
  std::vector<int64_t> with(std::initializer_list<int64_t> core) const {
    std::vector<int64_t> shape = sizes_;
    shape.insert(shape.end(), core);
    return shape;
  }
  // Where t's item for each of them stands; axes that lie as one in memory are merged.
  BatchStrides strides_of(const Tensor& t, int core) const {
    const auto sizes = t.sizes(), strides = t.strides();
    const int64_t missing = int64_t(sizes_.size()) - (int64_t(sizes.size()) - core);
    BatchStrides out{};
    for (int64_t d = 0; d < int64_t(sizes_.size()); ++d) {
      const int64_t size = sizes_[d], stride = d < missing || sizes[d - missing] == 1 ? 0 : strides[d - missing];
      if (size == 1) continue;
      if (out.dims > 0 && out.strides[out.dims - 1] == stride * size) {
        out.sizes[out.dims - 1] *= size;
        out.strides[out.dims - 1] = stride;
        continue;
      }
      STD_TORCH_CHECK(out.dims < BatchStrides::max_dims, "spectral_kernels: expected at most ", int(BatchStrides::max_dims), " batch axes that do not lie as one in memory");
      out.sizes[out.dims] = size;
      out.strides[out.dims++] = stride;
    }
    return out;
  }

 private:
  std::vector<int64_t> sizes_;
};

// `t` itself where its last `core` axes lie without gaps, else a copy.
inline Tensor with_dense_core(const Tensor& t, int core) {
  const auto sizes = t.sizes(), strides = t.strides();
  int64_t expected = 1;
  for (int d = int(sizes.size()) - 1; core > 0; --d, --core) {
    if (sizes[d] != 1 && strides[d] != expected) return torch::stable::contiguous(t);
    expected *= sizes[d];
  }
  return t;
}

}  // namespace sk
