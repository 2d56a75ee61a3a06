// Shifts for matrices of three and four rows: eigenvalues of the window, from its characteristic polynomial.
//
// The trailing 2x2 block gives shifts that converge quadratically once they are near; from afar a window of three or four rows
// takes about five sweeps.  The roots of its cubic or quartic cost less than one.  They need not be accurate for the
// eigenvalues to be: a shift only decides how fast the subdiagonal falls, and nothing is read off the polynomial.
#pragma once
#include "francis_start.h"

namespace sk {

// The real root of y^3 + p y = s that is the farthest from the other two.  The start is within a tenth where p < 0, and within
// a third else; Newton's steps square that.
template <class L>
SK_HD L farthest_root(L p, L s) {
  using T = real_t<L>;
  const L r = lane_cbrt_estimate(lane_max(lane_abs(s), L(Machine<T>::safmin))), c = r * r;
  const mask_t<L> spread = p < L(0);
  L y = lane_select(spread, lane_copysign(lane_sqrt(lane_select(spread, c - p, L(1))), s), s / lane_select(spread, L(1), p + c));
  SK_UNROLL
  for (int i = 0; i < (sizeof(T) == 4 ? 3 : 4); ++i) {
    const L square = y * y, slope = lane_fma(L(3), square, p);
    y = y - lane_fma(square + p, y, -s) / lane_select(slope == L(0), L(1), slope);
  }
  return y;
}

// The roots of x^2 - sum x + product.
template <class L>
SK_HD Shifts<L> roots_of_quadratic(L sum, L product) {
  const L half = sum * L(0.5), disc = lane_fma(half, half, -product), root = lane_sqrt(lane_abs(disc));
  const mask_t<L> real = disc >= L(0);
  const L apart = lane_select(real, root, L(0));
  return {half + apart, half - apart, lane_select(real, L(0), root)};
}

// Of a traceless Hessenberg matrix of three rows: the real eigenvalue that is the farthest from the others, twice.
template <class L>
SK_HD Shifts<L> shifts_of_window(const L (&h)[3][3]) {
  const L lower = lane_fma(h[1][1], h[2][2], -(h[1][2] * h[2][1]));
  const L p = lane_fma(h[0][0], h[1][1] + h[2][2], lower) - h[0][1] * h[1][0];
  const L det = lane_fma(h[0][0], lower, h[1][0] * lane_fma(h[0][2], h[2][1], -(h[0][1] * h[2][2])));
  const L root = farthest_root(p, det);
  return {root, root, L(0)};
}

// Of a traceless Hessenberg matrix of four rows: the roots of one real factor of y^4 + p y^2 + q y + r, which is
// (y^2 + a y + b)(y^2 - a y + c) with a^2 the largest root of z^3 + 2 p z^2 + (p^2 - 4 r) z - q^2 (Ferrari).
template <class L>
SK_HD Shifts<L> shifts_of_window(const L (&h)[4][4]) {
  using T = real_t<L>;
  const L upper = lane_fma(h[0][0], h[1][1], -(h[0][1] * h[1][0])), lower = lane_fma(h[2][2], h[3][3], -(h[2][3] * h[3][2]));
  const L leading = lane_fma(h[2][2], upper, h[2][1] * lane_fma(h[1][0], h[0][2], -(h[0][0] * h[1][2])));   // minor of rows 0, 1, 2
  const L trailing = lane_fma(h[1][1], lower, h[2][1] * lane_fma(h[1][3], h[3][2], -(h[1][2] * h[3][3])));  // of rows 1, 2, 3
  const L corner = lane_fma(h[0][2], h[3][3], -(h[0][3] * h[3][2]));
  const L p = lane_fma(h[0][0] + h[1][1], h[2][2] + h[3][3], upper + lower) - h[1][2] * h[2][1];
  const L q = -(lane_fma(h[3][3], upper, lane_fma(h[0][0], lower, leading)) + trailing);
  const L r = lane_fma(h[0][0], trailing, h[1][0] * lane_fma(h[2][1], corner, -(h[0][1] * lower)));
  // z = w - 2 p / 3, w^3 + linear w = s: of its real roots the farthest, or the upper one of the others
  const L third = p * L(T(1.0 / 3)), linear = lane_fma(L(-4), r, -(p * third));
  const L s = lane_fma(q, q, L(T(2.0 / 3)) * p * lane_fma(third, third, L(-4) * r));
  L w = farthest_root(linear, s);
  const L disc = lane_fma(L(-3) * w, w, L(-4) * linear);
  w = lane_max(w, lane_select(disc > L(0), (lane_sqrt(lane_abs(disc)) - w) * L(0.5), w));
  const L a = lane_sqrt(lane_max(w - third - third, L(0)));
  return roots_of_quadratic(-a, lane_fma(a, a, p - q / lane_select(a > L(0), a, L(1))) * L(0.5));
}

// Lanes whose window has M rows, in a matrix of M rows or one more, get its eigenvalues as shifts.
template <int M, class L>
SK_HD void shift_windows_of(Tile<L> h, const FrancisState<L>& st, mask_t<L> wanted, Shifts<L>& shifts) {
  using T = real_t<L>;
  const mask_t<L> here = wanted & (st.hi - st.lo == L(M - 1)), shifted = st.lo == L(1);
  if (!lane_any(here)) return;
  L w[M][M], mean(0), peak(Machine<T>::safmin);
  for (int i = 0; i < M; ++i)
    for (int j = i ? i - 1 : 0; j < M; ++j) {
      w[i][j] = h.n == M ? h(i, j) : lane_select(shifted, h(i + 1, j + 1), h(i, j));
      peak = lane_max(peak, lane_abs(w[i][j]));
    }
  const L scale = lane_pow2_floor(peak), inverse = lane_pow2_inverse(scale);  // no product over- or underflows
  for (int i = 0; i < M; ++i) {
    for (int j = i ? i - 1 : 0; j < M; ++j) w[i][j] = w[i][j] * inverse;
    mean = lane_fma(w[i][i], L(T(1.0 / M)), mean);
  }
  for (int i = 0; i < M; ++i) w[i][i] = w[i][i] - mean;
  const Shifts<L> found = shifts_of_window(w);
  const mask_t<L> sane = here & (lane_abs(found.rt1r) + lane_abs(found.rt2r) + lane_abs(found.rt1i) < L(8 * M));  // not NaN; |w| < 2
  shifts.rt1r = lane_select(sane, (found.rt1r + mean) * scale, shifts.rt1r);
  shifts.rt2r = lane_select(sane, (found.rt2r + mean) * scale, shifts.rt2r);
  shifts.rt1i = lane_select(sane, found.rt1i * scale, shifts.rt1i);
}

// Better shifts for matrices of up to four rows, in the first sweeps after a deflation (one for three rows, two for four);
// then the trailing block's are as good.  In larger matrices the lanes come to their small windows one by one, and the roots
// cost more than the sweeps they save.
template <class L>
SK_HD void shift_small_windows(Tile<L> h, const FrancisState<L>& st, mask_t<L> active, Shifts<L>& shifts) {
  const mask_t<L> early = active & (st.stalled <= L(real_t<L>(h.n - 2)));
  shift_windows_of<3>(h, st, early, shifts);
  if (h.n == 4) shift_windows_of<4>(h, st, early, shifts);
}

}  // namespace sk
