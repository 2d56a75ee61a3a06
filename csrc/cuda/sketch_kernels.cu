// The kernels of spectral_kernels::sketch and sketch_zero_order_hold.
#include "sketch_launch.cuh"

namespace sk {

template <bool Complex, bool Log, class T>
cudaError_t sketch_values(const SketchInput<T>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream) {
  return launch_sketch<Complex, Log, T>(in, tables, state, stream);
}
template <class T>
cudaError_t sketch_zero_order_hold(const HoldInput<T>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream) {
  return launch_zero_order_hold<T>(in, tables, state, stream);
}

#define SK_SKETCH_VALUES(Complex, Log, T) \
  template cudaError_t sketch_values<Complex, Log, T>(const SketchInput<T>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream)
SK_SKETCH_VALUES(false, false, float);
SK_SKETCH_VALUES(false, false, double);
SK_SKETCH_VALUES(false, true, float);
SK_SKETCH_VALUES(false, true, double);
SK_SKETCH_VALUES(true, false, float);
SK_SKETCH_VALUES(true, false, double);
SK_SKETCH_VALUES(true, true, float);
SK_SKETCH_VALUES(true, true, double);
template cudaError_t sketch_zero_order_hold<float>(const HoldInput<float>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream);
template cudaError_t sketch_zero_order_hold<double>(const HoldInput<double>& in, const SketchTables& tables, const DeviceSketch& state, cudaStream_t stream);

}  // namespace sk
