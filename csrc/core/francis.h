// Francis' implicit double-shift QR iteration on a group of Hessenberg matrices (xLAHQR; Golub and Van Loan, 7.5).
//
// Every lane has its own window (lo, hi) and iteration count.  Each sweep runs over the union of the windows; a lane
// that has nothing to do at step k gets the reflector tau = 0, and selects keep its entries bit for bit.  Entries
// outside a lane's window may change by another lane's bounds, but only in the blocks that couple windows, which no
// eigenvalue depends on: so the eigenvalues are the same bits with and without the Schur form.
// 2x2 blocks are standardised after the iteration, all lanes together (standardize.h).
//
// N is the size where the compiler knows it, and 0 where it does not.  With N the matrices stay in registers and nothing
// branches on data: every lane takes every step of the whole matrix.  Without, tests that some lane must pass cut scans
// and sweeps short.  The operations on a lane are the same, to the bit.
#pragma once
#include "window_shifts.h"

namespace sk {

// Steps of a sweep that are done together.  The scalar lane takes as many as the compiler vectorises side by side.
template <class L>
constexpr int steps_per_block = width_v<L> == 1 ? 16 : 4;

// The reflector of step k, which annihilates (x, y) below (alpha) in column k-1, and what is left in that column.
template <class L>
SK_HD Reflector3<L> next_reflector(Tile<L> h, const FrancisState<L>& st, const Bulge<L>& b, int k, L sub, L x, L y) {
  using T = real_t<L>;
  const L row = T(k);
  mask_t<L> on = (row >= b.start) & (row < st.hi);
  mask_t<L> begin = on & (row == b.start);
  mask_t<L> two = row >= st.hi - L(1);
  L third = lane_select(begin, b.v3, y), beta;
  Reflector3<L> r = reflector3(lane_select(begin, b.v1, sub), lane_select(begin, b.v2, x), lane_select(two, L(0), third), on, beta);
  if (k == 0) return r;
  // xLAHQR multiplies by 1 - t1 where a bulge starts inside a window: negating would be wrong after underflow
  h(k, k - 1) = lane_select(begin, sub * (L(1) + r.minus_t1), lane_select(on, beta, sub));
  h(k + 1, k - 1) = lane_select(on, L(0), x);
  if (k + 2 <= st.last) h(k + 2, k - 1) = lane_select(on, L(0), y);
  return r;
}

// Rows k..k+2 of columns k and k+1 at step k: the part of the bulge that the next reflector waits for, in registers.
template <class L>
struct BulgeWindow {
  L w[3][2];
};

// Step k on the window: the reflector from the left and from the right, the window one further down, the next reflector.
// Stores row k and column k; everything else of rows and columns k..k+2 is for the caller.
template <class L>
SK_HD Reflector3<L> step_window(Tile<L> h, const FrancisState<L>& st, const Bulge<L>& bulge, int k, const Reflector3<L>& r, BulgeWindow<L>& win) {
  L(&w)[3][2] = win.w;
  L c0 = h(k, k + 2), c1 = h(k + 1, k + 2), c2 = h(k + 2, k + 2);
  apply3(r, w[0][0], w[1][0], w[2][0]);
  apply3(r, w[0][1], w[1][1], w[2][1]);
  apply3(r, c0, c1, c2);
  apply3(r, w[1][0], w[1][1], c1);
  apply3(r, w[2][0], w[2][1], c2);
  L d0(0), d1(0), d2(0);
  if (k + 3 <= st.last) {
    d2 = h(k + 3, k + 2);
    apply3(r, d0, d1, d2);
  }
  Reflector3<L> next = next_reflector(h, st, bulge, k + 1, w[1][0], w[2][0], d0);
  apply3(r, w[0][0], w[0][1], c0);
  h(k, k) = w[0][0], h(k, k + 1) = w[0][1], h(k, k + 2) = c0;
  win = {{{w[1][1], c1}, {w[2][1], c2}, {d1, d2}}};
  return next;
}

// The last step, k = last - 1, of two rows and columns.
template <class L>
SK_HD void finish_window(Tile<L> h, int k, const Reflector3<L>& r, BulgeWindow<L>& win) {
  L(&w)[3][2] = win.w;
  apply2(r, w[0][0], w[1][0]);
  apply2(r, w[0][1], w[1][1]);
  apply2(r, w[0][0], w[0][1]);
  apply2(r, w[1][0], w[1][1]);
  h(k, k) = w[0][0], h(k, k + 1) = w[0][1], h(k + 1, k) = w[1][0], h(k + 1, k + 1) = w[1][1];
}

// One implicit double-shift sweep, chasing the bulge down the union of the windows.  Steps go in blocks of P.  Within a
// diagonal block each reflector is applied at once, and the next one is computed as soon as its column is final, so that
// its square root and divisions overlap the updates.  Everywhere else whole chains of reflectors are applied: from the
// left to the columns that the next block needs, from the right to rows above the blocks and to Z when all are known.
template <bool Schur, class L>
SK_HD void francis_sweep(Tile<L> h, Tile<L> zt, const FrancisState<L>& st, const Bulge<L>& bulge, int first, int top, Reflector3<L>* r) {
  constexpr int P = steps_per_block<L>;
  const int n = h.n, ld = h.ld, last = st.last, right = Schur ? n : last + 1;
  BulgeWindow<L> window;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 2; ++j) window.w[i][j] = h(first + i, first + j);
  Reflector3<L> q = next_reflector(h, st, bulge, first, first ? h(first, first - 1) : L(0), L(0), L(0));
  int reached = first;  // columns below it have had all reflectors so far
  for (int k0 = first; k0 < last; k0 += P) {
    const int end = k0 + P < last ? k0 + P : last, edge = end + 2 <= last ? end + 2 : last + 1;
    apply_chain_to_all<P>(r + first, k0 - first, false, h.row(first), ld, 1, reached, edge);
    reached = edge;
    for (int k = k0; k < end; ++k) {
      r[k] = q;
      L* column = h.a + k;
      if (k + 1 == last) {
        finish_window(h, k, q, window);
        for (int i = k0; i < k; ++i) apply2(q, column[i * ld], column[i * ld + 1]);
        break;
      }
      Reflector3<L> next = step_window(h, st, bulge, k, q, window);
      L *r0 = h.row(k), *r1 = h.row(k + 1), *r2 = h.row(k + 2);
      SK_INDEPENDENT
      for (int j = k + 3; j < edge; ++j) apply3(q, r0[j], r1[j], r2[j]);
      for (int i = k0; i < k; ++i) apply3(q, column[i * ld], column[i * ld + 1], column[i * ld + 2]);
      q = next;
    }
  }
  const int count = last - first;
  apply_chain_to_all<P>(r + first, count, true, h.a + first, 1, ld, top, first);
  for (int k = first + P; k < last; k += P) apply_chain_to_all<P>(r + k, last - k, true, h.a + k, 1, ld, k - P, k);
  if (!Schur) return;
  apply_chain_to_all<P>(r + first, count, true, h.row(first), ld, 1, reached, right);
  apply_chain_to_all<P>(r + first, count, true, zt.row(first), ld, 1, 0, n);
}

// The same of a matrix in registers: one block of steps, all rows and columns.
template <bool Schur, int N, class L>
SK_HD void francis_sweep_in_registers(Tile<L> h, Tile<L> zt, const FrancisState<L>& st, const Bulge<L>& bulge) {
  BulgeWindow<L> window{{{h(0, 0), h(0, 1)}, {h(1, 0), h(1, 1)}, {h(2, 0), h(2, 1)}}};
  Reflector3<L> q = next_reflector(h, st, bulge, 0, L(0), L(0), L(0));
  SK_UNROLL
  for (int k = 0; k + 2 < N; ++k) {
    Reflector3<L> next = step_window(h, st, bulge, k, q, window);
    SK_UNROLL
    for (int j = k + 3; j < N; ++j) apply3(q, h(k, j), h(k + 1, j), h(k + 2, j));
    SK_UNROLL
    for (int i = 0; i < k; ++i) apply3(q, h(i, k), h(i, k + 1), h(i, k + 2));
    SK_UNROLL
    for (int j = 0; Schur && j < N; ++j) apply3(q, zt(k, j), zt(k + 1, j), zt(k + 2, j));
    q = next;
  }
  finish_window(h, N - 2, q, window);
  SK_UNROLL
  for (int i = 0; i + 2 < N; ++i) apply2(q, h(i, N - 2), h(i, N - 1));
  SK_UNROLL
  for (int j = 0; Schur && j < N; ++j) apply2(q, zt(N - 2, j), zt(N - 1, j));
}

template <int N, class L>
SK_HD void copy_tile(Tile<L> from, Tile<L> to) {
  SK_UNROLL
  for (int i = 0; i < N; ++i) {
    SK_UNROLL
    for (int j = 0; j < N; ++j) to(i, j) = from(i, j);
  }
}

// Iterates until every lane is quasi-triangular or out of iterations.  Returns, per lane, 0 or 1 + the index of the last
// eigenvalue that was not found.
template <bool Schur, int N, class L>
SK_HD L francis_iterations(Tile<L> h, Tile<L> zt, Reflector3<L>* r, Tile<L> home) {
  using T = real_t<L>;
  const int n = N > 0 ? N : h.n;
  const L smlnum(Machine<T>::safmin * (T(n) / Machine<T>::ulp));
  const L limit(T(30 * (n > 10 ? n : 10)));
  FrancisState<L> st;
  st.hi = L(T(n - 1));
  st.last = n - 1;
  st.lo = st.stalled = st.failed = L(0);
  st.h11 = st.h21 = st.h12 = st.h22 = L(0);
  if (N == 0) {
    L norm2(0);
    for (int i = 0; i < n; ++i)
      for (int j = i ? i - 1 : 0; j < n; ++j) norm2 = lane_fma(h(i, j), h(i, j), norm2);
    st.small_product = L(T(48) * Machine<T>::ulp) * norm2 * lane_sqrt(norm2);
  }
  for (;;) {
    deflate_and_find_windows<N>(h, st, smlnum);
    mask_t<L> active = st.hi >= L(0);
    if (!lane_any(active)) return st.failed;
    st.stalled = lane_select(active, st.stalled + L(1), L(0));
    const bool stalling = lane_any(st.stalled >= L(10));
    if (stalling) {
      mask_t<L> give_up = active & (st.stalled > limit);
      st.failed = lane_select(give_up, st.hi + L(1), st.failed);
      st.hi = lane_select(give_up, L(-1), st.hi);
      active = st.hi >= L(0);
      if (!lane_any(active)) return st.failed;
    }
    if (N == 0) st.last = int(lane_hmax(st.hi));
    capture_trailing_block<N>(h, st, active);
    if (stalling) {  // by way of memory: in all other steps h and st stay in registers
      if (N > 0) copy_tile<N>(h, home);
      FrancisState<L> state = st;
      exceptional_shifts(home, state);
      st.h11 = state.h11, st.h12 = state.h12, st.h21 = state.h21, st.h22 = state.h22;
    }
    Shifts<L> shifts = double_shift(st);
    if (n <= 4) shift_small_windows(h, st, active, shifts);
    const int top = N > 0 ? 0 : lowest_row(st.lo, active, n);
    const Bulge<L> bulge = start_bulge<N>(h, st, shifts, top);
    if (N > 0) {
      francis_sweep_in_registers<Schur, N>(h, zt, st, bulge);
    } else {
      const int first = lowest_row(bulge.start, active, n);
      francis_sweep<Schur>(h, zt, st, bulge, first, Schur ? 0 : top, r);
    }
  }
}

// Hessenberg matrices in memory, through registers.
template <int N, class L>
SK_STEP L francis_in_registers(Tile<L> home) {
  L entries[N * N];
  Reflector3<L> chain[N];
  const Tile<L> h{entries, N, N};
  copy_tile<N>(home, h);
  const L failed = francis_iterations<false, N>(h, h, chain, home);
  copy_tile<N>(h, home);
  return failed;
}

template <bool Schur, class L>
SK_STEP L francis(Tile<L> h, Tile<L> zt, Reflector3<L>* r) {
  if (!Schur && h.n == 3) return francis_in_registers<3>(h);
  if (!Schur && h.n == 4) return francis_in_registers<4>(h);
  return francis_iterations<Schur, 0>(h, zt, r, h);
}

}  // namespace sk
