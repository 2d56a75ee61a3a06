// Where the item of each position stands, for operands in any batch strides that broadcast against each other.
#pragma once
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <vector>

namespace sk {

using torch::stable::Tensor;

// The common shape of the batch axes of operands, each with so many axes behind them.
class BroadcastShape {
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
  const std::vector<int64_t>& sizes() const { return sizes_; }
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

 private:
  std::vector<int64_t> sizes_;
};

// The offset, in elements, of item `index` of an operand.  Axes that lie as one in memory are merged, and the first needs no
// remainder: a division per item would be noticed where an item is a number.
class BatchOffsets {
 public:
  BatchOffsets(const Tensor& t, int core, const BroadcastShape& batch) {
    const auto sizes = t.sizes(), strides = t.strides();
    const int64_t missing = int64_t(batch.sizes().size()) - (int64_t(sizes.size()) - core);
    for (int64_t d = 0; d < int64_t(batch.sizes().size()); ++d) {
      const int64_t size = batch.sizes()[d], stride = d < missing || sizes[d - missing] == 1 ? 0 : strides[d - missing];
      if (size == 1) continue;
      if (!sizes_.empty() && strides_.back() == stride * size) {
        sizes_.back() *= size;
        strides_.back() = stride;
      } else {
        sizes_.push_back(size);
        strides_.push_back(stride);
      }
    }
  }
  int64_t operator()(int64_t index) const {
    int64_t at = 0;
    for (size_t d = sizes_.size(); d-- > 1;) {
      at += index % sizes_[d] * strides_[d];
      index /= sizes_[d];
    }
    return sizes_.empty() ? 0 : at + index * strides_[0];
  }

 private:
  std::vector<int64_t> sizes_, strides_;
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
