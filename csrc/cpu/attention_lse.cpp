// spectral_kernels::attention_lse on CPU tensors: blocks of queries over the threads (LibTorch stable ABI).
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "../core/attention_lse.h"
#include "lane_simd.h"
#include "pack.h"
#include "parallel.h"
#include "scratch.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Queries as U registers, times `keys_at_once` broadcast keys: so many sums stay in registers beside their operands.
constexpr int registers_of_queries = sk::register_bytes == 64 ? 3 : 2;
constexpr int keys_at_once = sk::register_bytes == 64 ? 8 : sk::register_bytes == 32 ? 6 : 4;
constexpr int tile_keys = 48;  // what a running maximum is renewed for: logits of a tile stay in the L1 cache
constexpr double log2_e = 1.44269504088896340736;

// A tensor whose axes of size 1 stand for all positions.
template <class T>
struct Broadcast {
  const T* p = nullptr;
  int64_t stride[4] = {0, 0, 0, 0};
  const T* at(int64_t b, int64_t h, int64_t i = 0) const { return p + b * stride[0] + h * stride[1] + i * stride[2]; }
};
template <class T>
Broadcast<T> broadcast(const std::optional<Tensor>& t) {
  Broadcast<T> r;
  if (!t) return r;
  r.p = static_cast<const T*>(t->const_data_ptr());
  for (int d = 0; d < int(t->dim()); ++d) r.stride[d] = t->size(d) == 1 ? 0 : t->stride(d);
  return r;
}

template <class T>
struct Attention {
  Broadcast<T> q, k, bias;
  Broadcast<int64_t> start, end;
  Broadcast<double> key_bias;
  int64_t heads, group, queries, keys, depth;  // group: query heads of one key head
  int64_t q_step, k_step;                      // strides of the depth
  double scale, softcap;
  double* out;  // (batch, heads, queries)
};

// Solves blocks of W queries: lane w of block i is query i W + w.  The bits of a query do not depend on its block: keys that
// it does not see add exact zeros, and tiles of keys start at multiples of tile_keys.
template <class L>
class QueryBlocks {
  using T = sk::real_t<L>;
  static constexpr int W = sk::width_v<L>;

 public:
  explicit QueryBlocks(const Attention<T>& a)
      : a_(a), q_scratch_(size_t(a.depth + 2 * tile_keys) * sizeof(L)), k_scratch_(size_t(tile_keys) * std::max<int64_t>(a.depth, 1) * sizeof(T)) {}

  static int64_t blocks_of(int64_t queries) { return (queries + W - 1) / W; }

  void operator()(int64_t head, int64_t block) {
    const int64_t b = head / a_.heads, h = head % a_.heads, first = block * W;
    const int count = int(std::min<int64_t>(W, a_.queries - first));
    pack_queries(b, h, first, count);
    L start, end;
    int64_t least_start = a_.keys, most_start = 0, least_end = a_.keys, most_end = 0;
    for (int w = 0; w < W; ++w) {
      const int64_t i = first + std::min(w, count - 1);
      const int64_t s = std::clamp<int64_t>(*a_.start.at(b, i), 0, a_.keys), e = std::clamp<int64_t>(*a_.end.at(b, i), 0, a_.keys);
      sk::lane_set(start, w, T(s));
      sk::lane_set(end, w, T(e));
      least_start = std::min(least_start, s), most_start = std::max(most_start, s);
      least_end = std::min(least_end, e), most_end = std::max(most_end, e);
    }
    const double* key_bias = a_.key_bias.p ? a_.key_bias.at(b, h) : nullptr;
    for (int w = 0; w < W; ++w) reference_[w] = key_bias ? last_finite(key_bias, int64_t(sk::lane_get(end, w))) : 0.0;
    sk::RunningSum<L> sum;
    for (int64_t j = least_start / tile_keys * tile_keys; j < most_end; j += tile_keys) {
      const int keys = int(std::min<int64_t>(tile_keys, most_end - j));
      L* s = logits();
      scores(b, h / a_.group, j, keys, s);
      if (a_.softcap > 0) sk::soft_cap(s, keys, T(a_.softcap * log2_e));
      if (key_bias) add_key_bias(key_bias + j * a_.key_bias.stride[2], keys, s);
      if (a_.bias.p) add_bias(b, h, first, count, j, keys, s);
      if (j < most_start || j + keys > least_end) sk::mask_outside(s, keys, j, start, end);
      sk::absorb(sum, s, keys);
    }
    write(b, h, first, count, sum);
  }

 private:
  L* queries() const { return reinterpret_cast<L*>(q_scratch_.get()); }
  L* logits() const { return queries() + a_.depth; }  // and the bias of a tile behind them

  // Rounded once: q times scale and log2(e); with a soft cap the logits are divided by it instead.
  void pack_queries(int64_t b, int64_t h, int64_t first, int count) {
    const double factor = a_.softcap > 0 ? a_.scale / a_.softcap : a_.scale * log2_e;
    const T* source[W];
    for (int w = 0; w < W; ++w) source[w] = a_.q.at(b, h, first + std::min(w, count - 1));
    L* const q = queries();
    T* const numbers = reinterpret_cast<T*>(q);
    if (a_.q_step == 1) {
      sk::interleave(source, a_.depth, [&](int64_t d) { return q + d; }, static_cast<L*>(nullptr));
    } else {
      for (int w = 0; w < W; ++w)
        for (int64_t d = 0; d < a_.depth; ++d) numbers[d * W + w] = source[w][d * a_.q_step];
    }
    for (int64_t e = 0; e < a_.depth * W; ++e) numbers[e] = T(double(numbers[e]) * factor);
  }

  void scores(int64_t b, int64_t kv_head, int64_t j, int keys, L* s) {
    const T* k = a_.k.at(b, kv_head, j);
    int64_t row = a_.depth;
    const int whole = (keys + keys_at_once - 1) / keys_at_once * keys_at_once;
    if (a_.k_step != 1 || a_.k.stride[2] != a_.depth || j + whole > a_.keys) k = pack_keys(k, keys, whole);
    for (int c = 0; c < whole; c += keys_at_once) sk::logits_of_keys<keys_at_once>(queries(), k + c * row, row, a_.depth, s + c);
  }

  const T* pack_keys(const T* k, int keys, int whole) {
    T* const packed = reinterpret_cast<T*>(k_scratch_.get());
    for (int c = 0; c < whole; ++c) {
      T* to = packed + c * a_.depth;
      const T* from = k + c * a_.k.stride[2];
      if (c >= keys)
        std::fill(to, to + a_.depth, T(0));
      else if (a_.k_step == 1)
        std::memcpy(to, from, size_t(a_.depth) * sizeof(T));
      else
        for (int64_t d = 0; d < a_.depth; ++d) to[d] = from[d * a_.k_step];
    }
    return packed;
  }

  // The bias of the last key that a query sees: cumulative gates grow with the position, and relative to that key those of the
  // keys with weight are small.
  double last_finite(const double* key_bias, int64_t end) const {
    for (int64_t j = end - 1; j >= 0 && j >= end - tile_keys; --j)
      if (std::isfinite(key_bias[j * a_.key_bias.stride[2]])) return key_bias[j * a_.key_bias.stride[2]];
    return 0.0;
  }

  // Adds key_bias[j] - reference of each query as the sum of two differences from the tile's first bias, each of a high and a low
  // part, so that the rounding is that of the result.
  void add_key_bias(const double* key_bias, int keys, L* s) const {
    const L none(-sk::infinity<T>);
    const double origin = std::isfinite(key_bias[0]) ? key_bias[0] : 0.0;
    L high, low;
    for (int w = 0; w < W; ++w) {
      const double x = (origin - reference_[w]) * log2_e;
      sk::lane_set(high, w, T(x));
      sk::lane_set(low, w, T(x - double(T(x))));
    }
    for (int c = 0; c < keys; ++c) {
      const double x = (key_bias[c * a_.key_bias.stride[2]] - origin) * log2_e;
      const T x_high = T(x);
      if (x_high == -sk::infinity<T>)
        s[c] = none;  // a masked key may hold NaN
      else
        s[c] = s[c] + ((L(x_high) + high) + (L(T(x - double(x_high))) + low));
    }
  }

  void add_bias(int64_t b, int64_t h, int64_t first, int count, int64_t j, int keys, L* s) {
    const int64_t step = a_.bias.stride[3];
    const T* source[W];
    for (int w = 0; w < W; ++w) source[w] = a_.bias.at(b, h, first + std::min(w, count - 1)) + j * step;
    L* const bias = logits() + tile_keys;
    if (step == 1) {
      sk::interleave(source, keys, [&](int64_t c) { return bias + c; }, static_cast<L*>(nullptr));
    } else {
      for (int c = 0; c < keys; ++c)
        for (int w = 0; w < W; ++w) sk::lane_set(bias[c], w, source[w][c * step]);
    }
    const L none(-sk::infinity<T>);
    for (int c = 0; c < keys; ++c) s[c] = sk::lane_select(bias[c] == none, none, sk::lane_fma(bias[c], L(T(log2_e)), s[c]));
  }

  void write(int64_t b, int64_t h, int64_t first, int count, const sk::RunningSum<L>& sum) const {
    double* out = a_.out + (b * a_.heads + h) * a_.queries + first;
    for (int w = 0; w < count; ++w) {
      out[w] = sk::log_of_sum(sk::lane_get(sum.max, w), sk::lane_get(sum.sum, w), sk::lane_get(sum.rest, w)) + reference_[w];
    }
  }

  const Attention<T>& a_;
  sk::Scratch q_scratch_, k_scratch_;
  double reference_[W];
};

template <class L>
void solve(const Attention<sk::real_t<L>>& a, int64_t batch) {
  const int64_t blocks = QueryBlocks<L>::blocks_of(a.queries), work = batch * a.heads * blocks;
  sk::for_each_chunk(work, [&] {
    return [&, solver = QueryBlocks<L>(a), blocks](int64_t begin, int64_t end) mutable {
      for (int64_t i = begin; i < end; ++i) solver(i / blocks, blocks - 1 - i % blocks);  // causal: the longest rows first
    };
  });
}

template <class T>
void run(const Tensor& q, const Tensor& k, const Tensor& start, const Tensor& end, const std::optional<Tensor>& bias,
         const std::optional<Tensor>& key_bias, double scale, double softcap, Tensor& out) {
  constexpr int W = sk::register_bytes / int(sizeof(T));
  const Attention<T> a{broadcast<T>(q), broadcast<T>(k), broadcast<T>(bias), broadcast<int64_t>(start), broadcast<int64_t>(end),
                       broadcast<double>(key_bias), q.size(1), q.size(1) / k.size(1), q.size(2), k.size(2), q.size(3), q.stride(3), k.stride(3),
                       scale, softcap, static_cast<double*>(out.mutable_data_ptr())};
  if (a.queries > W)
    solve<sk::SimdLane<T, W, registers_of_queries>>(a, q.size(0));
  else
    solve<sk::SimdLane<T, W, 1>>(a, q.size(0));
}

// Axis d of t is size or, where that is allowed, 1.
void check(const Tensor& t, const char* name, ScalarType dtype, std::initializer_list<int64_t> sizes) {
  STD_TORCH_CHECK(t.scalar_type() == dtype && t.dim() == int64_t(sizes.size()), "spectral_kernels::attention_lse: wrong dtype or number of axes of ", name);
  int64_t d = 0;
  for (int64_t size : sizes) {
    STD_TORCH_CHECK(t.size(d) == size || t.size(d) == 1, "spectral_kernels::attention_lse: expected size ", size, " or 1 of ", name, "'s axis ", d,
                    ", got ", t.size(d));
    ++d;
  }
}

// q (B, H, T, D), k (B, Hk, S, D), start and end (B, T) int64, bias (B, H, T, S), key_bias (B, H, S) -> (B, H, T) float64.
Tensor attention_lse(const Tensor& q, const Tensor& k, const Tensor& start, const Tensor& end, std::optional<Tensor> bias,
                     std::optional<Tensor> key_bias, double scale, double softcap) {
  const ScalarType dtype = q.scalar_type();
  STD_TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && k.size(1) > 0 && q.size(1) % k.size(1) == 0 && q.size(0) == k.size(0) && q.size(3) == k.size(3),
                  "spectral_kernels::attention_lse: expected q (B, H, T, D) and k (B, Hk, S, D) with H a multiple of Hk");
  STD_TORCH_CHECK((dtype == ScalarType::Float || dtype == ScalarType::Double) && k.scalar_type() == dtype,
                  "spectral_kernels::attention_lse: expected q and k both float32 or both float64");
  const int64_t B = q.size(0), H = q.size(1), T = q.size(2), S = k.size(2);
  STD_TORCH_CHECK(S <= int64_t(1) << 24, "spectral_kernels::attention_lse: expected at most 2^24 keys, got ", S);
  check(start, "start", ScalarType::Long, {B, T});
  check(end, "end", ScalarType::Long, {B, T});
  if (bias) check(*bias, "bias", dtype, {B, H, T, S});
  if (key_bias) check(*key_bias, "key_bias", ScalarType::Double, {B, H, S});
  std::vector<int64_t> shape{B, H, T};
  Tensor out = torch::stable::new_empty(q, shape, ScalarType::Double);
  if (B * H * T > 0) (dtype == ScalarType::Float ? run<float> : run<double>)(q, k, start, end, bias, key_bias, scale, softcap, out);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("attention_lse", TORCH_BOX(&attention_lse)); }
