// Eigenvalues of Diag(d) + b c^T for any signs of p = b c, real or complex: all roots of
//
//     P(z) = prod_i (z - d_i) f(z),    f(z) = 1 + sum_i p_i / (d_i - z),
//
// at once by the iteration of Ehrlich and Aberth, z_j -= 1 / (P'/P (z_j) - sum_k 1 / (z_j - z_k)), in which P'/P = f'/f - sum_i 1 / (d_i - z).
// The lanes are roots of one matrix, as in secular.h; every root is a pole, its origin, and an offset from it.
//
// D. A. Bini and L. Robol, Solving secular and polynomial equations: a multiprecision algorithm, J. Comput. Appl. Math. 272 (2014).
#pragma once
#include "complex.h"
#include "secular.h"

namespace sk {

template <class T>
struct ComplexArray {
  T *re, *im;
};

// The matrix of one thread.  Poles as in SecularWorkspace, in no useful order.
template <class T>
struct AberthWorkspace {
  int n, poles, deflated, exponent;
  ComplexArray<T> d, p;             // (n + padding): the matrix scaled, in the given order
  ComplexArray<T> pole, weight;     // (n + padding) poles
  ComplexArray<T> origin, offset;   // (n + padding) roots
  T* open;                          // (n + padding) 1 where a root still moves
  int32_t *order, *of_pole, *nearest, *deflated_index;

  static constexpr int padding = SecularWorkspace<T>::padding;
  SK_HD static size_t bytes(int n) { return 17 * SecularWorkspace<T>::array_bytes(n); }
  SK_HD AberthWorkspace(int n, char* memory) : n(n) {
    auto carve = [&](auto*& array) {
      array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(memory);
      memory += SecularWorkspace<T>::array_bytes(n);
    };
    auto carve_complex = [&](ComplexArray<T>& array) { carve(array.re), carve(array.im); };
    carve_complex(d), carve_complex(p), carve_complex(pole), carve_complex(weight), carve_complex(origin), carve_complex(offset);
    carve(open), carve(order), carve(of_pole), carve(nearest), carve(deflated_index);
  }
};

template <class L>
SK_HD Complex<L> load_complex(const ComplexArray<real_t<L>>& a, int i) {
  return {load_lane<L>(a.re + i), load_lane<L>(a.im + i)};
}
template <class L>
SK_HD void store_complex_lane(const ComplexArray<real_t<L>>& a, int i, Complex<L> x) {
  store_lane<L>(a.re + i, x.re);
  store_lane<L>(a.im + i, x.im);
}
template <class T>
SK_HD Complex<T> at(const ComplexArray<T>& a, int i) {
  return {a.re[i], a.im[i]};
}
template <class T>
SK_HD void put(const ComplexArray<T>& a, int i, Complex<T> x) {
  a.re[i] = x.re;
  a.im[i] = x.im;
}
template <class L>
SK_HD Complex<L> broadcast(const ComplexArray<real_t<L>>& a, int i) {
  return {L(a.re[i]), L(a.im[i])};
}
template <class L>
SK_HD Complex<L> reciprocal(Complex<L> a) {
  const L inverse = L(1) / lane_max(abs_squared(a), L(Machine<real_t<L>>::safmin));
  return {a.re * inverse, -(a.im * inverse)};
}

// Scales by a power of two and deflates.
template <class L>
SK_STEP void aberth_poles(AberthWorkspace<real_t<L>>& ws, real_t<L> largest) {
  using T = real_t<L>;
  const int n = ws.n, reach = sizeof(T) == 4 ? 120 : 1000;
  ws.exponent = largest > T(0) ? std::ilogb(largest) : 0;
  ws.exponent = ws.exponent < -reach ? -reach : ws.exponent > reach ? reach : ws.exponent;
  const L inverse(std::ldexp(T(1), -ws.exponent));
  auto scale = [&](T* a) {
    for (int i = 0; i < n; i += width_v<L>) store_lane<L>(a + i, load_lane<L>(a + i) * inverse);
  };
  scale(ws.d.re), scale(ws.d.im), scale(ws.p.re), scale(ws.p.im);
  order_of<L>(ws.d.re, n, ws.order);

  int m = 0, deflated = 0;
  for (int first = 0, last; first < n; first = last) {  // of equal real parts
    for (last = first + 1; last < n && ws.d.re[ws.order[last]] == ws.d.re[ws.order[first]]; ++last) {
    }
    for (int k = first; k < last; ++k) {
      if (ws.order[k] < 0) continue;
      const int i = ws.order[k];
      T re = ws.p.re[i], im = ws.p.im[i];
      int repeated = 0;
      for (int l = k + 1; l < last; ++l) {
        const int other = ws.order[l];
        if (other < 0 || ws.d.im[other] != ws.d.im[i]) continue;
        re += ws.p.re[other];
        im += ws.p.im[other];
        ws.deflated_index[deflated++] = other;
        ws.order[l] = -1;
        ++repeated;
      }
      if (lane_abs(re) + lane_abs(im) <= negligible_weight<T>) {
        ws.deflated_index[deflated++] = i;
        continue;
      }
      ws.pole.re[m] = ws.d.re[i];
      ws.pole.im[m] = ws.d.im[i];
      ws.weight.re[m] = re;
      ws.weight.im[m] = im;
      ws.of_pole[m++] = i;
    }
  }
  ws.poles = m;
  ws.deflated = deflated;
}

// One step of roots j ... j + W - 1; those that do not move any more stay.
template <class L>
SK_HD mask_t<L> aberth_group(AberthWorkspace<real_t<L>>& ws, int j) {
  using T = real_t<L>;
  const int m = ws.poles;
  const Complex<L> origin = load_complex<L>(ws.origin, j), offset = load_complex<L>(ws.offset, j);
  Complex<L> f{L(1), L(0)}, slope{L(0), L(0)}, inverses{L(0), L(0)}, others{L(0), L(0)};
  L size(1);
  for (int i = 0; i < m; ++i) {
    const Complex<L> inverse = reciprocal((broadcast<L>(ws.pole, i) - origin) - offset);
    const Complex<L> term = broadcast<L>(ws.weight, i) * inverse;
    f = f + term;
    size = size + cabs1(term);
    slope = multiply_add(term, inverse, slope);
    inverses = inverses + inverse;
  }
  for (int i = 0; i < m; ++i) {
    const Complex<L> distance = (origin - broadcast<L>(ws.origin, i)) + (offset - broadcast<L>(ws.offset, i));
    const mask_t<L> self = cabs1(distance) == L(0);
    others = others + complex_select(self, Complex<L>{L(0), L(0)}, reciprocal(distance));
  }
  mask_t<L> open = load_lane<L>(ws.open + j) != L(0);
  open = open & !(cabs1(f) <= L(T(2) * Machine<T>::ulp) * size);
  const Complex<L> step = f * reciprocal(slope - (inverses + others) * f);
  const Complex<L> next = offset - step;
  store_complex_lane<L>(ws.offset, j, complex_select(open, next, offset));
  open = open & !(cabs1(step) <= L(T(2) * Machine<T>::ulp) * cabs1(next));
  store_lane<L>(ws.open + j, lane_select(open, L(1), L(0)));
  return open;
}

// The nearest pole becomes the origin; true where one changed.
template <class L>
SK_HD mask_t<L> nearest_origin(AberthWorkspace<real_t<L>>& ws, int j) {
  using T = real_t<L>;
  constexpr int W = width_v<L>;
  const Complex<L> origin = load_complex<L>(ws.origin, j), offset = load_complex<L>(ws.offset, j);
  Complex<L> nearest = origin, best = offset;
  L index(0), least = abs_squared(offset);
  for (int w = 0; w < W; ++w) lane_set(index, w, T(ws.nearest[j + w]));
  mask_t<L> changed = L(0) != L(0);
  for (int i = 0; i < ws.poles; ++i) {
    const Complex<L> pole = broadcast<L>(ws.pole, i), distance = (origin - pole) + offset;
    const mask_t<L> nearer = abs_squared(distance) < least;
    nearest = complex_select(nearer, pole, nearest);
    best = complex_select(nearer, distance, best);
    index = lane_select(nearer, L(T(i)), index);
    least = lane_select(nearer, abs_squared(distance), least);
    changed = changed | nearer;
  }
  store_complex_lane<L>(ws.origin, j, nearest);
  store_complex_lane<L>(ws.offset, j, best);
  store_lane<L>(ws.open + j, lane_select(changed, L(1), L(0)));
  for (int w = 0; w < W; ++w) ws.nearest[j + w] = int32_t(lane_get(index, w));
  return changed;
}

// All roots; false where they do not converge, or where their sum is not the trace: two then stand for one.
template <class L>
SK_STEP bool aberth_roots(AberthWorkspace<real_t<L>>& ws) {
  using T = real_t<L>;
  constexpr int W = width_v<L>, limit = 60;
  const int m = ws.poles, padded = (m + W - 1) / W * W;
  // Near the poles, off every axis of symmetry, and no farther than the next pole; the heaviest takes what is left of the trace.
  int heaviest = 0;
  T sum_re = 0, sum_im = 0;
  for (int j = 0; j < padded; ++j) {
    const int k = j < m ? j : m - 1;
    T radius = cabs1(at(ws.weight, k));
    for (int i = 0; i < m; ++i)
      if (i != k) radius = lane_min(radius, cabs1(at(ws.pole, i) - at(ws.pole, k)));
    const T angle = T(0.5) + T(2.399963229728653) * T(k);
    ws.nearest[j] = k;
    put(ws.origin, j, at(ws.pole, k));
    put(ws.offset, j, Complex<T>{radius * std::cos(angle), radius * std::sin(angle)});
    ws.open[j] = T(1);
    if (j >= m) continue;
    if (cabs1(at(ws.weight, k)) > cabs1(at(ws.weight, heaviest))) heaviest = k;
    sum_re += ws.weight.re[k] - ws.offset.re[k];
    sum_im += ws.weight.im[k] - ws.offset.im[k];
  }
  put(ws.offset, heaviest, at(ws.offset, heaviest) + Complex<T>{sum_re, sum_im});
  for (int j = m; j < padded; ++j) put(ws.offset, j, at(ws.offset, m - 1));
  bool moving = true;
  for (int sweep = 0; moving; ++sweep) {
    if (sweep == limit) return false;
    moving = false;
    for (int j = 0; j < padded; j += W) {
      if (lane_any(load_lane<L>(ws.open + j) != L(0))) moving |= lane_any(aberth_group<L>(ws, j));
    }
  }
  for (int j = 0; j < padded; j += W)
    if (lane_any(nearest_origin<L>(ws, j)))
      for (int polish = 0; polish < 2; ++polish) aberth_group<L>(ws, j);

  T re = 0, im = 0, size = 0;
  for (int j = 0; j < m; ++j) {
    re += ((ws.origin.re[j] - ws.pole.re[j]) + ws.offset.re[j]) - ws.weight.re[j];
    im += ((ws.origin.im[j] - ws.pole.im[j]) + ws.offset.im[j]) - ws.weight.im[j];
    size += lane_abs(ws.pole.re[j]) + lane_abs(ws.pole.im[j]) + lane_abs(ws.weight.re[j]) + lane_abs(ws.weight.im[j]);
  }
  return lane_abs(re) + lane_abs(im) <= T(64) * Machine<T>::ulp * T(m) * size;
}

// The roots of a real matrix are made real or conjugate pairs: each is its own partner or that of the nearest conjugate.
template <class T>
SK_STEP void make_conjugate(AberthWorkspace<T>& ws) {
  const int m = ws.poles;
  for (int j = 0; j < m; ++j) ws.open[j] = T(1);
  for (int j = 0; j < m; ++j) {
    if (ws.open[j] == T(0)) continue;
    ws.open[j] = T(0);
    T least = T(2) * lane_abs(ws.offset.im[j]);
    int partner = j;
    for (int k = j + 1; k < m; ++k) {
      const T distance = lane_abs((ws.origin.re[j] - ws.origin.re[k]) + (ws.offset.re[j] - ws.offset.re[k])) + lane_abs(ws.offset.im[j] + ws.offset.im[k]);
      if (ws.open[k] != T(0) && distance < least) {
        least = distance;
        partner = k;
      }
    }
    ws.open[partner] = T(0);
    if (partner == j) {
      ws.offset.im[j] = T(0);
      continue;
    }
    ws.nearest[partner] = ws.nearest[j];
    ws.origin.re[partner] = ws.origin.re[j];
    ws.offset.re[partner] = ws.offset.re[j];
    ws.offset.im[partner] = -ws.offset.im[j];
  }
}

}  // namespace sk
