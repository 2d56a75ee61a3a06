// Householder reflectors of three entries, as a double-shift sweep is made of, one at a time and in chains.
#pragma once
#include "lane.h"

namespace sk {

// I - (1, v2, v3)^T (t1, t2, t3) maps (alpha, x, y) to (beta, 0, 0); t = t1 (1, v2, v3) (xLARFG for n = 3).
// Kept as minus t, which saves a negation in every use.
template <class L>
struct Reflector3 {
  L v2, v3, minus_t1, minus_t2, minus_t3;
};

template <class L>
SK_HD Reflector3<L> reflector3(L alpha, L x, L y, mask_t<L> on, L& beta) {
  using T = real_t<L>;
  const L zero(0), one(1), small(sizeof(T) == 4 ? T(1e-30) : T(1e-280));
  L ss = lane_fma(alpha, alpha, lane_fma(x, x, y * y));
  mask_t<L> reflect = on & ((x != zero) | (y != zero));
  mask_t<L> lost = reflect & (ss < small);
  L lift(1);
  if (lane_any(lost)) {  // squares underflow: scale by a power of two, which leaves v and t unchanged
    L top = lane_max(lane_abs(alpha), lane_max(lane_abs(x), lane_abs(y)));
    lift = lane_select(lost, lane_pow2_floor(lane_max(top, L(Machine<T>::safmin))), one);
    L inverse = lane_pow2_inverse(lift);
    alpha = alpha * inverse, x = x * inverse, y = y * inverse;
    ss = lane_fma(alpha, alpha, lane_fma(x, x, y * y));
  }
  L norm = lane_sqrt(lane_select(reflect, ss, one));
  L b = lane_select(alpha < zero, norm, -norm);  // not copysign: an idle lane may turn -0 into +0
  L d = lane_select(reflect, alpha - b, one);
  L over_d = one / d, over_b = lane_select(reflect, one / b, zero);
  beta = lane_select(reflect, b * lift, alpha * lift);
  L v2 = lane_select(reflect, x, zero) * over_d, v3 = lane_select(reflect, y, zero) * over_d, minus_t1 = d * over_b;
  return {v2, v3, minus_t1, minus_t1 * v2, minus_t1 * v3};
}

template <class L>
SK_HD Reflector3<part_t<L>> reflector_part(const Reflector3<L>& r, int u) {
  return {lane_part(r.v2, u), lane_part(r.v3, u), lane_part(r.minus_t1, u), lane_part(r.minus_t2, u), lane_part(r.minus_t3, u)};
}

// (a, b, c) -= (a + v2 b + v3 c) (t1, t2, t3)
template <class L>
SK_HD void apply3(const Reflector3<L>& r, L& a, L& b, L& c) {
  L s = lane_fma(r.v3, c, lane_fma(r.v2, b, a));
  a = lane_fma(s, r.minus_t1, a);
  b = lane_fma(s, r.minus_t2, b);
  c = lane_fma(s, r.minus_t3, c);
}
template <class L>
SK_HD void apply2(const Reflector3<L>& r, L& a, L& b) {
  L s = lane_fma(r.v2, b, a);
  a = lane_fma(s, r.minus_t1, a);
  b = lane_fma(s, r.minus_t2, b);
}

// A chain of reflectors, each acting on three neighbouring entries one further down, applied to M vectors at once: entry
// k of vector m is x[k * step + m * stride].  A window of three entries per vector slides along in registers, so that
// every entry is loaded and stored once and every reflector is loaded once for M vectors.  The last of `count`
// reflectors acts on two entries where `ends` is set.
template <int M, class L>
SK_HD void apply_chain(const Reflector3<L>* r, int count, bool ends, L* x, int step, int stride) {
  for (int u = 0; u < parts_v<L>; ++u) {
    part_t<L> a[M], b[M], c[M];
    SK_UNROLL
    for (int m = 0; m < M; ++m) {
      a[m] = lane_part(x[m * stride], u);
      b[m] = lane_part(x[m * stride + step], u);
    }
    auto advance = [&](part_t<L>(&a)[M], part_t<L>(&b)[M], part_t<L>(&c)[M], int k) {
      const Reflector3<part_t<L>> q = reflector_part(r[k], u);
      L* at = x + k * step;
      SK_UNROLL
      for (int m = 0; m < M; ++m) {
        c[m] = lane_part(at[m * stride + 2 * step], u);
        apply3(q, a[m], b[m], c[m]);
        lane_set_part(at[m * stride], u, a[m]);
      }
    };
    const int threes = ends ? count - 1 : count;
    int k = 0;
    for (; k + 3 <= threes; k += 3) {
      advance(a, b, c, k);
      advance(b, c, a, k + 1);
      advance(c, a, b, k + 2);
    }
    for (; k < threes; ++k) {
      advance(a, b, c, k);
      SK_UNROLL
      for (int m = 0; m < M; ++m) a[m] = b[m], b[m] = c[m];
    }
    if (ends) {
      const Reflector3<part_t<L>> q = reflector_part(r[k], u);
      SK_UNROLL
      for (int m = 0; m < M; ++m) apply2(q, a[m], b[m]);
    }
    SK_UNROLL
    for (int m = 0; m < M; ++m) {
      lane_set_part(x[m * stride + k * step], u, a[m]);
      lane_set_part(x[m * stride + (k + 1) * step], u, b[m]);
    }
  }
}

// For the scalar lane: the chain to the rows of B vectors side by side, entry k of vector m at x[k + m * stride].  The same
// operations in loops over the vectors, which the compiler vectorises.
template <int B, class L>
SK_HD void apply_chain_side_by_side(const Reflector3<L>* r, int count, bool ends, L* x, int stride) {
  L a[B], b[B], c[B];
  for (int m = 0; m < B; ++m) a[m] = x[m * stride], b[m] = x[m * stride + 1];
  const int threes = ends ? count - 1 : count;  // reflectors of three entries
  for (int k = 0; k < threes; ++k) {
    for (int m = 0; m < B; ++m) c[m] = x[m * stride + k + 2];
    SK_INDEPENDENT
    for (int m = 0; m < B; ++m) apply3(r[k], a[m], b[m], c[m]);
    for (int m = 0; m < B; ++m) x[m * stride + k] = a[m], a[m] = b[m], b[m] = c[m];
  }
  if (ends) {
    SK_INDEPENDENT
    for (int m = 0; m < B; ++m) apply2(r[threes], a[m], b[m]);
  }
  for (int m = 0; m < B; ++m) x[m * stride + threes] = a[m], x[m * stride + threes + 1] = b[m];
}

// The chain to vectors [from, to).
template <int M, class L>
SK_HD void apply_chain_to_all(const Reflector3<L>* r, int count, bool ends, L* x, int step, int stride, int from, int to) {
  if (count <= 0) return;
  if (width_v<L> == 1 && stride == 1) {  // the same operations in loops that vectorise within the matrix
    for (int k = 0; k < count; ++k) {
      L *a = x + k * step, *b = a + step, *c = b + step;
      if (ends && k + 1 == count) {
        SK_INDEPENDENT
        for (int m = from; m < to; ++m) apply2(r[k], a[m], b[m]);
      } else {
        SK_INDEPENDENT
        for (int m = from; m < to; ++m) apply3(r[k], a[m], b[m], c[m]);
      }
    }
    return;
  }
  int m = from;
  if (width_v<L> == 1 && step == 1) {
    constexpr int B = 64 / sizeof(real_t<L>);
    for (; m + B <= to; m += B) apply_chain_side_by_side<B>(r, count, ends, x + m * stride, stride);
  }
  for (; m + M <= to; m += M) apply_chain<M>(r, count, ends, x + m * stride, step, stride);
  for (; m < to; ++m) apply_chain<1>(r, count, ends, x + m * stride, step, stride);
}

}  // namespace sk
