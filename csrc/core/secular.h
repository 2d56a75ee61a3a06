// Eigenvalues of Diag(d) + b c^T where the p_i = b_i c_i have one sign: the roots of the secular equation
//
//     f(lambda) = 1 + sum_i p_i / (d_i - lambda),
//
// which interlace the poles d_i.  Here p <= 0 is turned into p >= 0 by changing the signs of d, p and lambda; then f
// rises from -inf to inf between neighbouring poles, and the last root lies in (d_n, d_n + sum p].
//
// A lane value holds numbers of W roots of one matrix; the poles are broadcast.  Every root is kept as (origin, offset):
// the nearer pole d_o, and lambda - d_o, so that d_i - lambda = (d_i - d_o) - offset has full relative accuracy.
//
// R.-C. Li, Solving secular equations stably and efficiently, LAPACK Working Note 89 (1993), the fixed weight method; xLAED4.
#pragma once
#include <type_traits>

#include "lane.h"

namespace sk {

// The next W numbers of an array.
template <class L>
SK_HD L load_lane(const real_t<L>* p) {
  L a;
  memcpy(&a, p, sizeof a);
  return a;
}
template <class L>
SK_HD void store_lane(real_t<L>* p, L a) {
  memcpy(p, &a, sizeof a);
}

// Weights up to this part of the largest entry are no poles: what a matrix entry below the rounding error of the norm is to a
// dense solver, even if both factors of p are of that size.
template <class T>
constexpr T negligible_weight = sizeof(T) == 4 ? T(8.271806125530277e-25) : T(2.409919865102884e-181);  // 2^-80, 2^-600

// The matrix of one thread.  Poles: the distinct d with the sums of their p, scaled by a power of two and ascending.  What stands in d
// more than once, or with p = 0, is an eigenvalue as it is.
template <class T>
struct SecularWorkspace {
  int n, poles, deflated;
  bool update;         // p >= 0
  bool paired;         // products of two distances stay normal
  int exponent;        // entries are divided by 2^exponent
  T half_gap, total;   // half the smallest distance of two poles; sum of weights
  T *d, *p;            // (n + padding): the matrix scaled, in the given order
  T *pole, *weight;    // (n + padding)
  T* offset;           // (n + padding) roots
  int32_t *order, *group, *nearest;  // (n + padding) each; group[i]: the pole that index i belongs to, -1 for none
  int32_t *of_pole, *deflated_index;          // (n + padding) an index i with d_i the pole; indices of deflated eigenvalues, ascending in d

  static constexpr int padding = 64 / int(sizeof(T)) + 2;
  SK_HD static size_t array_bytes(int n) { return (size_t(n + padding) * sizeof(T) + 63) / 64 * 64; }
  SK_HD static size_t bytes(int n) { return 10 * array_bytes(n); }
  SK_HD SecularWorkspace(int n, char* memory) : n(n) {
    auto carve = [&](auto*& array) {
      array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(memory);
      memory += array_bytes(n);
    };
    carve(d), carve(p), carve(pole), carve(weight), carve(offset);
    carve(order), carve(group), carve(nearest), carve(of_pole), carve(deflated_index);
  }
};

enum class Sign { none, update, downdate, mixed, not_finite };

// What p allows, and the largest entry.
template <class L>
SK_HD Sign sign_of(const real_t<L>* d, const real_t<L>* p, int n, real_t<L>& largest) {
  using T = real_t<L>;
  L top(0), high(0), low(0);
  mask_t<L> bad = L(0) != L(0);
  for (int i = 0; i < n; i += width_v<L>) {
    L a = load_lane<L>(d + i), b = load_lane<L>(p + i);
    L size = lane_max(lane_abs(a), lane_abs(b));
    bad = bad | !(lane_abs(a) <= L(Machine<T>::largest)) | !(lane_abs(b) <= L(Machine<T>::largest));
    top = lane_max(size, top);
    high = lane_max(b, high);
    low = lane_min(b, low);
  }
  largest = lane_hmax(top);
  if (lane_any(bad)) return Sign::not_finite;
  const bool positive = lane_hmax(high) > T(0), negative = lane_hmin(low) < T(0);
  return positive && negative ? Sign::mixed : positive ? Sign::update : negative ? Sign::downdate : Sign::none;
}

// order[rank of x_i] = i, equal numbers in the given order: every number is compared with every other one, W at a time, which for
// these n takes less than a sort that branches on data.
template <class L>
SK_HD void order_of(const real_t<L>* x, int n, int32_t* order) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  L lane(0);
  for (int w = 0; w < W; ++w) lane_set(lane, w, T(w));
  for (int i = 0; i < n; i += W) {
    const L xi = load_lane<L>(x + i), one(1), zero(0);
    L before(0), more(0);
    int j = 0;
    for (; j < i; j += 2) {  // i is a multiple of W
      before = before + lane_select(L(x[j]) <= xi, one, zero);
      if (W > 1 || j + 1 < i) more = more + lane_select(L(x[j + 1]) <= xi, one, zero);
    }
    for (j = i; j < i + W && j < n; ++j) {
      const L xj(x[j]);
      before = before + lane_select((xj < xi) | ((xj == xi) & (L(T(j - i)) < lane)), one, zero);
    }
    for (; j + 1 < n; j += 2) {
      before = before + lane_select(L(x[j]) < xi, one, zero);
      more = more + lane_select(L(x[j + 1]) < xi, one, zero);
    }
    if (j < n) before = before + lane_select(L(x[j]) < xi, one, zero);
    before = before + more;
    for (int w = 0; w < W && i + w < n; ++w) order[int(lane_get(before, w))] = i + w;
  }
}

// Scales, sorts and deflates: ws.d and ws.p hold the matrix.
template <class L>
SK_STEP void secular_poles(SecularWorkspace<real_t<L>>& ws, Sign sign, real_t<L> largest) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const int n = ws.n, reach = sizeof(T) == 4 ? 120 : 1000;  // powers of two whose inverses are normal
  ws.update = sign != Sign::downdate;
  ws.exponent = largest > T(0) ? std::ilogb(largest) : 0;
  ws.exponent = ws.exponent < -reach ? -reach : ws.exponent > reach ? reach : ws.exponent;
  const L inverse(std::ldexp(T(1), -ws.exponent)), turn(ws.update ? T(1) : T(-1));
  for (int i = 0; i < n; i += W) store_lane<L>(ws.d + i, load_lane<L>(ws.d + i) * turn);
  order_of<L>(ws.d, n, ws.order);  // before scaling, in which small numbers may become equal
  for (int i = 0; i < n; i += W) {
    store_lane<L>(ws.d + i, load_lane<L>(ws.d + i) * inverse);
    store_lane<L>(ws.p + i, load_lane<L>(ws.p + i) * (inverse * turn));
  }

  int m = 0, deflated = 0;
  T total = 0, gap = Machine<T>::largest;
  for (int first = 0, last; first < n; first = last) {
    const T d = ws.d[ws.order[first]];
    T weight = 0;
    int heaviest = ws.order[first];
    for (last = first; last < n && ws.d[ws.order[last]] == d; ++last) {
      const int i = ws.order[last];
      weight += ws.p[i];
      if (ws.p[i] > ws.p[heaviest]) heaviest = i;
    }
    const bool pole = weight > negligible_weight<T>;
    for (int k = first; k < last; ++k) {
      const int i = ws.order[k];
      ws.group[i] = pole ? m : -1;
      if (!pole || i != heaviest) ws.deflated_index[deflated++] = i;
    }
    if (!pole) continue;
    if (m > 0 && d - ws.pole[m - 1] < gap) gap = d - ws.pole[m - 1];
    ws.pole[m] = d;
    ws.weight[m] = weight;
    ws.of_pole[m++] = heaviest;
    total += weight;
  }
  ws.poles = m;
  ws.deflated = deflated;
  ws.total = total;
  ws.half_gap = gap * T(0.5);
  ws.paired = ws.half_gap * ws.half_gap > Machine<T>::safmin;
  for (int i = m; i < m + 2; ++i) {  // to an even number, far away and without weight
    ws.pole[i] = T(8);
    ws.weight[i] = T(0);
  }
}

// f, f', and 1 + sum |p_i / (d_i - lambda)|, in units of whose rounding error f is known.
template <class L>
struct SecularValue {
  L f, slope, size;
};

// At lambda = origin + offset.  Divisions bound the speed: Paired takes one for two poles.
template <bool Paired, class L>
SK_HD SecularValue<L> secular_value(const real_t<L>* pole, const real_t<L>* weight, int poles, L origin, L offset) {
  SecularValue<L> v{L(1), L(0), L(1)};
  for (int j = 0; j < poles; j += 2) {
    const L a = (L(pole[j]) - origin) - offset, b = (L(pole[j + 1]) - origin) - offset;
    L inverse_a, inverse_b;
    if constexpr (Paired) {
      const L inverse = L(1) / (a * b);
      inverse_a = inverse * b;
      inverse_b = inverse * a;
    } else {
      inverse_a = L(1) / a;
      inverse_b = L(1) / b;
    }
    const L ta = L(weight[j]) * inverse_a, tb = L(weight[j + 1]) * inverse_b;
    v.f = v.f + (ta + tb);
    v.size = v.size + (lane_abs(ta) + lane_abs(tb));
    v.slope = lane_fma(ta, inverse_a, lane_fma(tb, inverse_b, v.slope));
  }
  return v;
}

// The root of C x^2 - A x + B that lies between the poles of the interpolant, or right of both (outer).
template <class L>
SK_HD L two_pole_root(L A, L B, L C, mask_t<L> outer) {
  using T = real_t<L>;
  A = lane_select(outer, -A, A);
  B = lane_select(outer, -B, B);
  C = lane_select(outer, -C, C);
  const L root = lane_sqrt(lane_abs(lane_fma(A, A, L(T(-4)) * (B * C))));
  const mask_t<L> left = A <= L(0);
  return lane_select(left, A - root, L(T(2)) * B) / lane_select(left, L(T(2)) * C, A + root);
}

// Roots k ... k + W - 1, those beyond the last being the last once more.
template <class L>
SK_HD void secular_group(SecularWorkspace<real_t<L>>& ws, int k) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const int m = ws.poles;
  const T ulp = Machine<T>::ulp;
  L left, right, left_weight, right_weight;  // the interval's poles; of the last root the last two poles
  L index(0);
  for (int w = 0; w < W; ++w) {
    const int i = k + w < m ? k + w : m - 1, other = i + 1 < m ? i + 1 : i - 1;
    lane_set(index, w, T(i));
    lane_set(left, w, ws.pole[i]);
    lane_set(right, w, ws.pole[other]);
    lane_set(left_weight, w, ws.weight[i]);
    lane_set(right_weight, w, ws.weight[other]);
  }
  const mask_t<L> outer = right < left;

  // The middle of the interval tells the nearer pole, and the rest of f without the two poles there gives the first offset.
  const L distance = right - left;
  const L end = lane_select(outer, L(ws.total * (T(1) + T(2) * ulp * T(m))), distance), middle = end * L(T(0.5));
  auto value = [&](L origin, L offset) {
    const bool paired = ws.paired && !lane_any(!(lane_abs(offset) * L(ws.half_gap) > L(Machine<T>::safmin)));
    return paired ? secular_value<true>(ws.pole, ws.weight, m, origin, offset) : secular_value<false>(ws.pole, ws.weight, m, origin, offset);
  };
  SecularValue<L> v = value(left, middle);
  const mask_t<L> below = v.f >= L(0), from_left = below | outer;
  const L rest = (v.f + left_weight / middle) - right_weight / (distance - middle);
  const L origin = lane_select(from_left, left, right), near_weight = lane_select(from_left, left_weight, right_weight);
  const L other_weight = lane_select(from_left, right_weight, left_weight);
  const L side = lane_select(from_left, L(1), L(T(-1))), to_other = distance * side;
  // offsets of the closed interval, and the smallest
  L low = lane_select(from_left, lane_select(below, L(0), middle), -middle), high = lane_select(from_left, lane_select(below, middle, end), L(0));
  auto away_from_pole = [&](L offset) { return lane_copysign(lane_max(lane_abs(offset), L(Machine<T>::safmin)), side); };
  auto inside = [&](L offset) {
    const mask_t<L> in = (offset >= low) & (offset <= high);
    return away_from_pole(lane_select(in, offset, (low + high) * L(T(0.5))));
  };
  L offset = inside(two_pole_root(lane_fma(rest, to_other, near_weight + other_weight), near_weight * to_other, rest, outer));

  // Where the interpolant falls behind, as beside a light pole with heavy ones next to it, or its derivative overflows, the interval is
  // halved, in magnitude where its ends differ by orders of it.
  auto halved = [&] {
    const L near = lane_max(lane_select(from_left, low, -high), L(Machine<T>::safmin)), far = lane_select(from_left, high, -low);
    const L middle = lane_select(far > L(T(16)) * near, lane_sqrt(near) * lane_sqrt(far), L(T(0.5)) * (near + far));
    return lane_copysign(middle, side);
  };

  mask_t<L> active = L(0) == L(0), was_halved = L(0) != L(0);
  L before(Machine<T>::largest);
  constexpr int limit = 120;
  const L small_step(sizeof(T) == 4 ? T(8.6e-5) : T(3.7e-9));  // sqrt(ulp) / 4: the error of what follows is its square
  for (int iteration = 0; iteration < limit; ++iteration) {
    v = value(origin, offset);
    const mask_t<L> right_of_root = v.f > L(0);
    low = lane_select(right_of_root, low, offset);
    high = lane_select(right_of_root, offset, high);
    active = active & !(lane_abs(v.f) <= L(T(2) * ulp) * v.size);
    active = active & !(high - low <= L(ulp) * lane_abs(offset));
    if (!lane_any(active)) break;
    // The interpolant keeps the weight of the nearer pole; the other pole's and the constant match f and f'.
    const L near = -offset, other = to_other - offset, product = near * other;
    const L A = lane_fma(v.f, near + other, -(product * v.slope)), B = v.f * product;
    const L ratio = near_weight / near;
    const L C = (v.f - other * v.slope) + ratio * ((other - near) / near);
    was_halved = (!was_halved & (lane_abs(v.f) > L(T(0.25)) * before)) | !(v.slope <= L(Machine<T>::largest * T(0x1p-20)));
    before = lane_abs(v.f);
    L next = inside(offset + two_pole_root(A, B, C, outer));
    if (lane_any(active & was_halved)) next = lane_select(was_halved, halved(), next);
    const L step = lane_abs(next - offset);
    offset = lane_select(active, next, offset);
    active = active & (was_halved | !(step <= small_step * lane_abs(next)));
    if (!lane_any(active)) break;
  }
  store_lane<L>(ws.offset + k, offset);
  index = lane_select(from_left, index, index + L(1));
  for (int w = 0; w < W && k + w < m; ++w) ws.nearest[k + w] = int32_t(lane_get(index, w));
}

// All roots: offset and nearest pole.
template <class L>
SK_STEP void secular_roots(SecularWorkspace<real_t<L>>& ws) {
  if (ws.poles == 1) {
    ws.offset[0] = ws.total;
    ws.nearest[0] = 0;
    return;
  }
  for (int k = 0; k < ws.poles; k += width_v<L>) secular_group<L>(ws, k);
}

// Eigenvalue j of the order n: the pole's index among the given d, lambda - d_o, and the root it is, -1 for a deflated one.
template <class T>
struct SecularEigenvalue {
  int32_t origin, root;
  T offset;
};

// Emits all eigenvalues in ascending order, emit(j, value, SecularEigenvalue).  d: as given.
template <class T, class Emit>
SK_HD void secular_ascending(const SecularWorkspace<T>& ws, const T* d, Emit&& emit) {
  const T unit = std::ldexp(ws.update ? T(1) : T(-1), ws.exponent);
  int root = 0, deflated = 0;
  for (int j = 0; j < ws.n; ++j) {
    SecularEigenvalue<T> of_root{0, root, T(0)}, of_entry{0, -1, T(0)};
    T root_value = 0, entry_value = 0;
    if (root < ws.poles) {
      of_root.origin = ws.of_pole[ws.nearest[root]];
      of_root.offset = ws.offset[root] * unit;
      root_value = d[of_root.origin] + of_root.offset;
    }
    if (deflated < ws.deflated) {
      of_entry.origin = ws.deflated_index[deflated];
      entry_value = d[of_entry.origin];
    }
    const bool take_root = deflated == ws.deflated || (root < ws.poles && (ws.update ? root_value <= entry_value : root_value >= entry_value));
    root += take_root;
    deflated += !take_root;
    emit(ws.update ? j : ws.n - 1 - j, take_root ? root_value : entry_value, take_root ? of_root : of_entry);
  }
}

}  // namespace sk
