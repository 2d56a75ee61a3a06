// The log-sum-exp of attention's rows in one pass over the keys (Milakov & Gimelshein, arXiv:1805.02867); a lane value
// holds one number for each of W queries.  Logits are in base 2: multiplied by log2(e) where they are made.
#pragma once
#include <cmath>
#include <limits>

#include "exp.h"

namespace sk {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

// Sum of 2^logit over the keys so far, as (sum + rest) 2^max: `rest` holds what rounding took from `sum`, so that rows of
// 10^5 keys do not drift.  max = -inf: no key so far.
template <class L>
struct RunningSum {
  L max = L(-infinity<real_t<L>>);
  L sum = L(0);
  L rest = L(0);
};

// logits[Keys]: q . k for the queries q[depth] of the lanes and `Keys` rows of k.
template <int Keys, class L>
SK_HD void logits_of_keys(const L* q, const real_t<L>* k, int64_t row, int64_t depth, L* logits) {
  L sums[Keys];
  SK_UNROLL_ALL
  for (int j = 0; j < Keys; ++j) sums[j] = L(0);
  for (int64_t d = 0; d < depth; ++d) {
    const L x = q[d];
    SK_UNROLL_ALL
    for (int j = 0; j < Keys; ++j) sums[j] = lane_fma(x, L(k[j * row + d]), sums[j]);
  }
  SK_UNROLL_ALL
  for (int j = 0; j < Keys; ++j) logits[j] = sums[j];
}

// Logits of keys outside [start, end) become -inf; `first` is the key of logits[0].  Keys are numbers of the lane.
template <class L>
SK_HD void mask_outside(L* logits, int keys, int64_t first, L start, L end) {
  const L none(-infinity<real_t<L>>);
  for (int j = 0; j < keys; ++j) {
    const L key(real_t<L>(first + j));
    logits[j] = lane_select((key >= start) & (key < end), logits[j], none);
  }
}

// cap tanh(logit / cap), from logits that are divided by cap already; the result in base 2.
template <class L>
SK_HD void soft_cap(L* logits, int keys, real_t<L> cap_base_2) {
  for (int j = 0; j < keys; ++j) logits[j] = lane_tanh(logits[j]) * L(cap_base_2);
}

template <class L>
SK_HD void absorb(RunningSum<L>& s, const L* logits, int keys) {
  const L none(-infinity<real_t<L>>);
  L max = s.max;
  for (int j = 0; j < keys; ++j) max = lane_max(logits[j], max);  // NaN is left out here and comes in by the sum
  const L base = lane_select(max == none, L(0), max);
  L block(0);
  SK_UNROLL
  for (int j = 0; j < keys; ++j) block = block + lane_exp2(logits[j] - base);
  const L shrink = lane_exp2(s.max - base), before = s.sum * shrink;
  const L sum = before + block, of_block = sum - before;  // Knuth's two-sum
  s.rest = lane_fma(s.rest, shrink, (before - (sum - of_block)) + (block - of_block));
  s.sum = sum;
  s.max = max;
}

// ln of (sum + rest) 2^max; -inf without a key, NaN where a logit was NaN or +inf.
SK_HD double log_of_sum(double max, double sum, double rest) {
  constexpr double ln2 = 0.69314718055994530942;
  if (max == -infinity<double>) return sum == 0 ? max : sum + rest;  // NaN logits alone leave max alone
  return ln2 * (max + log2(sum + rest));
}

}  // namespace sk
