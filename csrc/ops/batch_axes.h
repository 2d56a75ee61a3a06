// Batch axes of the operands of an op, which broadcast against each other: on every device.
#pragma once
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <initializer_list>
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

struct Axis {
  int64_t size, stride;  // stride 0: the operand has one item for all
};

// The batch axes of t, which has `core` axes behind them, in a common shape: without those of length 1, and those that lie as one
// in memory as one.
inline std::vector<Axis> merged_axes(const Tensor& t, int core, const BroadcastShape& batch) {
  const auto sizes = t.sizes(), strides = t.strides();
  const int64_t dims = int64_t(batch.sizes().size()), missing = dims - (int64_t(sizes.size()) - core);
  std::vector<Axis> axes;
  for (int64_t d = 0; d < dims; ++d) {
    const int64_t size = batch.sizes()[d], stride = d < missing || sizes[d - missing] == 1 ? 0 : strides[d - missing];
    if (size == 1) continue;
    if (!axes.empty() && axes.back().stride == stride * size)
      axes.back() = {axes.back().size * size, stride};
    else
      axes.push_back({size, stride});
  }
  return axes;
}

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
