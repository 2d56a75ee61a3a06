// The tables of the sketch ops, and the partial sketch of a thread as what counts one eigenvalue sees it.
#pragma once
#include "../core/sketch_value.h"
#include "sketch.h"

namespace sk {

struct Tables : SketchTables {
  Tables(const Tensor& edges, const Tensor& directions, const Tensor& rings, ScalarType edge) {
    STD_TORCH_CHECK(edges.numel() == axis_bins - 1 && edges.scalar_type() == edge && edges.is_contiguous() && directions.numel() == 2 * sk::directions &&
                        directions.scalar_type() == ScalarType::Double && directions.is_contiguous() && rings.numel() == axis_bins &&
                        rings.scalar_type() == ScalarType::Long && rings.is_contiguous(),
                    "spectral_kernels::sketch: expected the tables of spectral_kernels.reference.sketch");
    this->edges = edges.const_data_ptr();
    this->directions = static_cast<const double*>(directions.const_data_ptr());
    this->rings = static_cast<const int64_t*>(rings.const_data_ptr());
  }
};

}  // namespace sk
