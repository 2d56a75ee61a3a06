// spectral_kernels::sketch_zero_order_hold on CPU tensors: exp(delta_d rate_dn), neither kept nor, for their bins, computed.
//
// The bin of an eigenvalue is read off the bits of h = -delta rate.  Only the sums need the exponential.  What is not in the axis' octaves on the decaying
// side (growing, zero, too slow, too fast, not finite) is rare, and goes through `add_value` with the other eigenvalues of its rows.
#include "../core/exp.h"
#include "sketch_value.h"
#include "sketch_vector.h"

namespace {

using sk::PartialSketch, sk::Positions, sk::ScalarType, sk::Tables, sk::Tensor;

constexpr int rows_of(int64_t n) { return int(n >= 256 ? 1 : 256 / n); }  // channels that are held in the buffer at once: about 256 eigenvalues
constexpr int64_t block_values = 1 << 18;                                 // eigenvalues that a thread takes at a time
constexpr int copies = 4;                                                 // of the histogram: equal bins in a row do not wait for one another

// The rates of D channels, negated, and the sums of each channel's rates and of their squares.
template <class T>
struct Rates {
  std::vector<T> negated;
  std::vector<double> sum, sum2;
  int64_t channels, n;
  bool finite = true;

  explicit Rates(const Tensor& rate) : channels(rate.size(0)), n(rate.size(1)) {
    const T* data = static_cast<const T*>(rate.const_data_ptr());
    for (int64_t d = 0; d < channels; ++d) {
      double s = 0, s2 = 0;
      for (int64_t j = 0; j < n; ++j) {
        const T r = data[d * rate.stride(0) + j * rate.stride(1)];
        negated.push_back(-r);
        finite = finite && std::isfinite(r);
        s += r, s2 += double(r) * r;
      }
      sum.push_back(s), sum2.push_back(s2);
    }
  }
};

template <class T>
struct Visitor {
  static constexpr int W = sk::register_bytes / int(sizeof(T));
  using V = sk::Vec<T, W>;
  using I = sk::IntVec<T, W>;
  using Index = typename sk::IntOf<T>::type;

  const T* delta;
  const Positions& layout;
  int64_t step;  // from one channel's delta to the next one's; 0 where they share it
  const Rates<T>& rates;
  const sk::Flags& valid;
  const Tables& tables;
  std::vector<uint32_t> histogram = std::vector<uint32_t>(copies * sk::decaying_bins);  // of h, ascending
  std::vector<Index> buffer = std::vector<Index>(size_t(rows_of(rates.n) * rates.n));
  uint64_t held = 0;  // eigenvalues in the histogram
  V least = V{} + std::numeric_limits<T>::infinity(), most = V{};

  // Channels [first, last) of one position.  False, and nothing is done, where an eigenvalue is not in the octaves.
  bool add_rows(double (&sums)[4], const T* p, int64_t first, int64_t last) {
    const int64_t n = rates.n;
    V low = least, high = most, sum{}, sum2{};
    I outside{};
    Index* to = buffer.data();
    for (int64_t d = first; d < last; ++d) {
      const V dt = p[d * step] - V{};
      const T* rate = rates.negated.data() + d * n;
      for (int64_t j = 0; j < n; j += W, to += W) {
        V h;
        memcpy(&h, rate + j, sizeof h);
        h = dt * h;
        I part = ((I)h >> sk::part_shift<T>)-sk::first_part<T>;
        outside |= part | (sk::fine_bins - 1 - part);
        part += 1;
        for (int i = 0; i < sk::decaying_radii; ++i) part = sk::vec_count_greater<T, W>(part, h, sk::decaying_radius<T>(i) - V{});
        memcpy(to, &part, sizeof part);
        low = sk::vec_min<T, W>(low, h), high = sk::vec_max<T, W>(high, h);
        sk::SimdLane<T, W, 1> log;
        log.v[0] = -h;
        const V modulus = sk::lane_exp_negative(log).v[0];
        sum += modulus;
        sum2 = sk::vec_fma<T, W>(modulus, modulus, sum2);
      }
    }
    if (sk::vec_any_negative<T, W>(outside)) return false;
    least = low, most = high;
    for (int64_t d = first; d < last; ++d) {
      const double dt = p[d * step];
      sums[0] += dt * rates.sum[d], sums[1] += dt * dt * rates.sum2[d];
    }
    for (int w = 0; w < W; ++w) sums[2] += sum[w], sums[3] += sum2[w];
    const Index* i = buffer.data();
    for (; i + copies <= to; i += copies)
      for (int c = 0; c < copies; ++c) ++histogram[c * sk::decaying_bins + i[c]];
    for (; i < to; ++i) ++histogram[*i];
    held += uint64_t(to - buffer.data());
    return true;
  }

  bool all_finite(const T* p) const {
    int bad = 0;
    if (step == 1)
      for (int64_t d = 0; d < rates.channels; ++d) bad |= !std::isfinite(p[d]);
    else
      for (int64_t d = 0; d < (step == 0 ? 1 : rates.channels); ++d) bad |= !std::isfinite(p[d * step]);
    return bad == 0;
  }

  void operator()(PartialSketch& part, int64_t group, int64_t begin, int64_t end) {
    const int64_t n = rates.n, rows = rows_of(n);
    for (int64_t i = begin; i < end; ++i) {
      if (valid.data && !valid.data[valid.layout.offset(group, i)]) continue;
      const T* p = delta + layout.offset(group, i);
      if (!rates.finite || !all_finite(p)) {
        part.counts[sk::tally_at + sk::nonfinite_tally] += rates.channels * n;
        continue;
      }
      double sums[4] = {};
      for (int64_t first = 0; first < rates.channels; first += rows) {
        const int64_t last = std::min(first + rows, rates.channels);
        if (n % W == 0 && add_rows(sums, p, first, last)) continue;
        for (int64_t d = first; d < last; ++d)
          for (int64_t j = 0; j < n; ++j) {
            const T log = -(p[d * step] * rates.negated[d * n + j]);
            sk::add_value<false, true>(part, &log, 1, false, tables);
          }
      }
      for (int s = 0; s < 4; ++s) part.sums.of[s] += sk::fixed_of(sums[s]);
      if (held > (uint64_t(1) << 31)) flush(part);
    }
  }

  // The histogram of h is one of |lambda|, of positive real numbers.
  void flush(PartialSketch& part) {
    if (held == 0) return;
    for (int j = 0; j < sk::decaying_bins; ++j) {
      int64_t count = 0;
      for (int c = 0; c < copies; ++c) count += histogram[c * sk::decaying_bins + j];
      const int bin = sk::unit_bin - 1 - j;
      part.counts[bin] += count;
      part.counts[sk::plane_at + tables.rings[bin] * sk::sectors] += count;
    }
    part.counts[sk::phase_at] += int64_t(held);
    part.counts[sk::tally_at + sk::real_tally] += int64_t(held);
    part.smallest = std::min(part.smallest, std::exp(-double(sk::vec_hmax<T, W>(most))));
    part.largest = std::max(part.largest, std::exp(double(sk::vec_hmax<T, W>(-least))));
    std::fill(histogram.begin(), histogram.end(), 0);
    held = 0, least = V{} + std::numeric_limits<T>::infinity(), most = V{};
  }
};

template <class T>
void run(sk::SketchState& state, const Tensor& delta, const Positions& layout, const Tensor& rate, const int64_t* rows, const sk::Flags& valid,
         const Tables& tables, int64_t repeat) {
  const Rates<T> rates(rate);
  const T* data = static_cast<const T*>(delta.const_data_ptr());
  const int64_t step = delta.size(delta.dim() - 1) == 1 ? 0 : layout.core;
  const int64_t block = std::max<int64_t>(1, block_values / rate.numel());
  sk::sketch_blocks(state, rows, layout.groups(), layout.per_group(), block, repeat,
                    [&] { return Visitor<T>{data, layout, step, rates, valid, tables}; });
}

void sketch_zero_order_hold(Tensor counts, Tensor sums, Tensor extremes, const Tensor& rows, const Tensor& delta, const Tensor& rate,
                            std::optional<Tensor> valid, int64_t repeat, const Tensor& edges, const Tensor& directions, const Tensor& rings) {
  sk::SketchState state(counts, sums, extremes);
  STD_TORCH_CHECK(delta.dim() >= 2 && rate.dim() == 2 && (delta.size(delta.dim() - 1) == 1 || delta.size(delta.dim() - 1) == rate.size(0)),
                  "spectral_kernels::sketch_zero_order_hold: expected delta of shape (G, ..., D) and rate of shape (D, N)");
  const ScalarType dtype = delta.scalar_type();
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && rate.scalar_type() == dtype,
                  "spectral_kernels::sketch_zero_order_hold: expected float32 or float64, the same for delta and rate");
  const Positions layout(delta, true);
  sk::check_rows(rows, counts, layout.groups());
  const sk::Flags ok(valid, layout, -1, "valid");
  const Tables tables(edges, directions, rings, dtype);
  if (delta.numel() == 0 || rate.numel() == 0 || repeat <= 0) return;
  auto go = dtype == ScalarType::Float ? run<float> : run<double>;
  go(state, delta, layout, rate, static_cast<const int64_t*>(rows.const_data_ptr()), ok, tables, repeat);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("sketch_zero_order_hold", TORCH_BOX(&sketch_zero_order_hold)); }
