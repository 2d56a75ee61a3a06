// Eigenvectors of T by back-substitution and of A by back-transformation (xTREVC3, xGEBAK, the end of xGEEV for complex).
//
// V columns are solved together: an entry of T, once loaded, serves all of them, and their sums are independent chains.  Vector v of
// a block stands at x[k * V + v]; X and Y are Complex<L>*, or what is indexed like it.
#pragma once
#include "complex_workspace.h"

namespace sk {

constexpr int vectors_at_once = 4;

// Multiplies rows from..to of vector v by a real factor.
template <int V, class L, class X>
SK_HD void rescale(X x, int v, int from, int to, L factor) {
  for (int k = from; k <= to; ++k) x[k * V + v] = x[k * V + v] * factor;
}

// Solves (T - lambda_v) x_v = 0 for the columns v of a block, column bottom - v, rows bottom .. 0:
//     x_i = -(sum_{k>i} t_ik x_k) / (t_ii - lambda), x = 1 in the column itself and 0 below it.
// Where the quotient would exceed vector_bound, the vector so far is scaled so that it is about one (xLATRS by hand).
template <int V, class L, class X>
SK_STEP void back_substitute(ColumnTile<Complex<L>> t, int bottom, int count, X x) {
  using T = real_t<L>;
  const L zero(0), bound(Machine<T>::vector_bound);
  Complex<L> lambda[V];
  L smin[V];
  for (int v = 0; v < V; ++v) {
    const int j = bottom - (v < count ? v : count - 1);
    lambda[v] = t(j, j);
    smin[v] = lane_max(L(Machine<T>::ulp) * cabs1(lambda[v]), L(Machine<T>::pivot_floor));
  }
  for (int i = bottom; i >= 0; --i) {
    Complex<L> sum[V];
    for (int v = 0; v < V; ++v) sum[v] = {zero, zero};
    for (int k = i + 1; k <= bottom; ++k) {
      const Complex<L> a = t(i, k);
      for (int v = 0; v < V; ++v) sum[v] = multiply_add(a, x[k * V + v], sum[v]);
    }
    for (int v = 0; v < V; ++v) {
      const int j = bottom - v;
      if (i >= j || v >= count) {
        x[i * V + v] = {L(T(i == j ? 1 : 0)), zero};
        continue;
      }
      Divisor<L> pivot = divisor(t(i, i) - lambda[v], smin[v]);
      mask_t<L> over = cabs1(sum[v]) > bound * pivot.size;
      if (lane_any(over)) {
        L down = lane_select(over, lane_pow2_floor(pivot.size / lane_select(over, cabs1(sum[v]), L(1))), L(1));
        rescale<V>(x, v, i + 1, j, down);
        sum[v] = sum[v] * down;
      }
      x[i * V + v] = -(sum[v] / pivot);
    }
  }
}

// Rows i .. i+R-1 of y = Z x.
template <int R, int V, class L, class X, class Y>
SK_HD void back_transform_rows(ColumnTile<Complex<L>> z, int i, int bottom, X x, Y y) {
  Complex<L> sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = {L(0), L(0)};
  for (int k = 0; k <= bottom; ++k) {
    const Complex<L>* zk = z.col(k) + i;
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(zk[r], x[k * V + v], sum[r][v]);
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) y[(i + r) * V + v] = sum[r][v];
}

// Undoes the balancing (times scale, or its inverse for left vectors) and normalises vector v: 2-norm one, the largest
// component real.  A power of two first keeps the squares in range.
template <int V, class L, class Y>
SK_STEP void normalize(const L* scale, bool left, int n, int v, Y y) {
  using T = real_t<L>;
  L peak(0);
  for (int i = 0; i < n; ++i) {
    Complex<L>& a = y[i * V + v];
    a = a * (left ? L(1) / scale[i] : scale[i]);
    peak = lane_max(peak, largest_part(a));
  }
  L gain = L(1) / lane_pow2_floor(lane_max(peak, L(Machine<T>::safmin)));
  L total(0), best(-1), place(0);
  Complex<L> largest{L(1), L(0)};
  for (int i = 0; i < n; ++i) {
    Complex<L>& a = y[i * V + v];
    a = a * gain;
    L square = abs_squared(a);
    total = total + square;
    mask_t<L> larger = square > best;
    best = lane_select(larger, square, best);
    place = lane_select(larger, L(T(i)), place);
    largest = complex_select(larger, a, largest);
  }
  // a vector that a failed iteration left zero stays zero
  L norm = lane_sqrt(lane_select(total > L(0), total, L(1))), size = lane_sqrt(lane_select(best > L(0), best, L(1)));
  Complex<L> turn = conj(largest) * (L(1) / size);
  L inverse = L(1) / norm;
  for (int i = 0; i < n; ++i) {
    Complex<L>& a = y[i * V + v];
    Complex<L> turned = (a * turn) * inverse;
    a = {turned.re + L(0), lane_select(place == L(T(i)), L(0), turned.im + L(0))};  // + 0: no negative zeros
  }
}

// All right eigenvectors of A from T (h) and Z.  emit(column, v, y) receives vector v of a block as column `column`.
template <class L, class Emit>
SK_HD void eigenvectors(const Workspace<Complex<L>>& ws, bool left, Emit&& emit) {
  const int n = ws.h.n;
  Complex<L>*x = ws.x, *y = ws.x + vectors_at_once * n;
  for (int bottom = n - 1; bottom >= 0; bottom -= vectors_at_once) {
    const int count = bottom + 1 < vectors_at_once ? bottom + 1 : vectors_at_once;
    back_substitute<vectors_at_once>(ws.h, bottom, count, x);
    int i = 0;
    for (; i + 2 <= n; i += 2) back_transform_rows<2, vectors_at_once>(ws.z, i, bottom, x, y);
    for (; i < n; ++i) back_transform_rows<1, vectors_at_once>(ws.z, i, bottom, x, y);
    for (int v = 0; v < count; ++v) {
      normalize<vectors_at_once>(ws.scale, left, n, v, y);
      emit(bottom - v, v, y);
    }
  }
}

// Left eigenvectors are right eigenvectors of A^H = Z T^H Z^H.  Reversing rows and columns makes T^H upper triangular
// again, in place: t(i, j) <-> conj t(n-1-j, n-1-i), and Z's columns stand in reverse order.
template <class L>
SK_STEP void reflect_for_left(Workspace<Complex<L>>& ws) {
  const int n = ws.h.n;
  for (int i = 0; i < n; ++i)
    for (int j = i; i + j < n; ++j) {
      Complex<L>&a = ws.h(i, j), &b = ws.h(n - 1 - j, n - 1 - i);
      Complex<L> t = conj(a);
      a = conj(b);
      b = t;
    }
  for (int i = 0; i < n / 2; ++i)
    for (int r = 0; r < n; ++r) {
      Complex<L> t = ws.z(r, i);
      ws.z(r, i) = ws.z(r, n - 1 - i);
      ws.z(r, n - 1 - i) = t;
    }
}

}  // namespace sk
