// Where the item of each position stands, for operands in any batch strides that broadcast against each other.
#pragma once
#include "../ops/batch_axes.h"

namespace sk {

// The offset, in elements, of item `index` of an operand.  The first axis needs no remainder: a division per item would be
// noticed where an item is a number.
class BatchOffsets {
 public:
  BatchOffsets(const Tensor& t, int core, const BroadcastShape& batch) : axes_(merged_axes(t, core, batch)) {}
  int64_t operator()(int64_t index) const {
    int64_t at = 0;
    for (size_t d = axes_.size(); d-- > 1;) {
      at += index % axes_[d].size * axes_[d].stride;
      index /= axes_[d].size;
    }
    return axes_.empty() ? 0 : at + index * axes_[0].stride;
  }

 private:
  std::vector<Axis> axes_;
};

}  // namespace sk
