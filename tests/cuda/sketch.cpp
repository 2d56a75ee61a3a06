// The sketch kernels under emulation, on contiguous eigenvalues (groups, positions, m).
#include "cuda/sketch_launch.cuh"

using namespace sk;

namespace {

BatchStrides rows_of(int64_t count, int64_t length) { return {1, {count}, {length}}; }

template <bool Complex, bool Log, class T>
int run(const void* values, int64_t groups, int64_t positions, int64_t m, const int64_t* rows, const int64_t* repeats, const bool* valid, const bool* suspect, const SketchTables& tables,
        const DeviceSketch& state, int64_t state_rows) {
  const int64_t count = groups * positions;
  return launch_sketch<Complex, Log, T>({static_cast<const T*>(values), rows_of(count, m), 1, groups, positions, m, rows, repeats, {valid, rows_of(count, 1), 0}, {suspect, rows_of(count, m), 1}, state_rows, 0},
                                        tables, state, nullptr);
}

}  // namespace

extern "C" int sketch(int64_t complex, int64_t log, int64_t double_precision, const void* values, int64_t groups, int64_t positions, int64_t m, const int64_t* rows, const int64_t* repeats,
                      const void* valid, const void* suspect, const void* edges, const double* directions, const int64_t* rings, int64_t* counts, int64_t* sums, double* extremes, int64_t state_rows) {
  auto go = double_precision ? (complex ? (log ? run<true, true, double> : run<true, false, double>) : (log ? run<false, true, double> : run<false, false, double>))
                             : (complex ? (log ? run<true, true, float> : run<true, false, float>) : (log ? run<false, true, float> : run<false, false, float>));
  return go(values, groups, positions, m, rows, repeats, static_cast<const bool*>(valid), static_cast<const bool*>(suspect), {edges, directions, rings}, {counts, sums, extremes}, state_rows);
}

// delta (groups, positions, channels or 1), rate (channels, n)
extern "C" int zero_order_hold(const float* delta, int64_t shared, const float* rate, int64_t groups, int64_t positions, int64_t channels, int64_t n, int64_t repeat, const int64_t* rows, const void* valid,
                               const void* edges, const double* directions, const int64_t* rings, int64_t* counts, int64_t* sums, double* extremes, int64_t state_rows) {
  const int64_t count = groups * positions;
  return launch_zero_order_hold<float>({delta, rows_of(count, shared ? 1 : channels), shared ? 0 : 1, rate, n, 1, groups, positions, channels, n, repeat, rows, {static_cast<const bool*>(valid), rows_of(count, 1), 0},
                                        state_rows, 0},
                                       {edges, directions, rings}, {counts, sums, extremes}, nullptr);
}
