// Jacobi's method for symmetric and Hermitian matrices: the rotation that annihilates one entry, which entries are negligible, and an order of
// the rotations in which n / 2 of them act on different rows at a time.  Golub and Van Loan, section 8.5; Rutishauser, The Jacobi method for
// real symmetric matrices (1966), whose form of the angle and of the update of the diagonal these are; Hermitian: Goldstine and Horwitz (1959).
// Small eigenvalues of positive definite matrices come out to high relative accuracy: Demmel and Veselic (1992).
#pragma once
#include "entry.h"

namespace sk {

// J = [c s; -conj(s) c] in columns p and q, c > 0 real, applied as three shears, 3 fused operations for real entries:
//     x -= conj(t) y,   y += s x,   x -= conj(t) y,   t = s / (1 + c)
template <class E>
struct JacobiRotation {
  E minus_t, s;

  // (x, y) <- (x, y) J: two entries of a row of A or of the eigenvectors
  SK_HD void columns(E& x, E& y) const {
    x = conj_multiply_add(minus_t, y, x);
    y = multiply_add(s, x, y);
    x = conj_multiply_add(minus_t, y, x);
  }
  // (x, y)^T <- J^H (x, y)^T: two entries of a column
  SK_HD void rows(E& x, E& y) const {
    x = multiply_add(minus_t, y, x);
    y = conj_multiply_add(s, x, y);
    x = multiply_add(minus_t, y, x);
  }
};

template <class L>
SK_HD L squared_modulus(L a) {
  return a * a;
}
template <class L>
SK_HD L squared_modulus(Complex<L> a) {
  return abs_squared(a);
}

// |a_pq|^2 <= eps^2 |a_pp a_qq|, as xSTEQR has it of a subdiagonal entry, or too small to be squared.
template <class L>
SK_HD mask_t<L> is_negligible(L app, L square, L aqq) {
  using T = real_t<L>;
  constexpr T eps = Machine<T>::ulp / 2;
  return square <= lane_fma(L(eps * eps), lane_abs(app * aqq), L(Machine<T>::safmin / Machine<T>::ulp));
}

// The rotation with J^H [app apq; conj(apq) aqq] J diagonal and an angle of at most 45 degrees, and that diagonal; the identity where apq is
// negligible.  With r = |aqq - app| + sqrt(|aqq - app|^2 + 4 |apq|^2) the tangent is +-2 |apq| / r: no modulus is needed, only its square.
template <class E>
SK_HD JacobiRotation<E> jacobi_rotation(lane_of<E>& app, E apq, lane_of<E>& aqq) {
  using L = lane_of<E>;
  const L one(1), zero(0), square = squared_modulus(apq);
  const mask_t<L> skip = is_negligible(app, square, aqq);
  const L gap = aqq - app, size = lane_abs(gap);
  const L r = size + lane_sqrt(lane_fma(L(4), square, size * size));
  const L k = lane_copysign(L(2) / lane_select(skip, one, r), gap);
  const L change = lane_select(skip, zero, k * square);
  const L c = one / lane_sqrt(lane_fma(k, change, one)), sine = lane_select(skip, zero, k * c);
  app = app - change;
  aqq = aqq + change;
  const E s = apq * sine;
  return {s * (-one / (one + c)), s};
}

// A tournament of n players, every two of whom meet once in its rounds: with odd n player r pauses in round r, with even n it meets the last one; then
// r + k and r - k meet, in the cycle of the others.
struct Tournament {
  int n;
  SK_HD constexpr int cycle() const { return n % 2 ? n : n - 1; }
  SK_HD constexpr int rounds() const { return n < 2 ? 0 : cycle(); }
  SK_HD constexpr int pairs() const { return n / 2; }
  struct Pair {
    int p, q;
  };
  SK_HD constexpr Pair pair(int round, int index) const {
    const int k = n % 2 ? index + 1 : index;
    if (k == 0) return {round, n - 1};
    const int p = round + k, q = round - k;
    return {p < cycle() ? p : p - cycle(), q < 0 ? q + cycle() : q};
  }
};

// The lower triangle row by row, without gaps.  Every entry above the diagonal is the conjugate of the one that is kept.
template <class E>
struct Triangle {
  E* a;
  static constexpr SK_HD int size(int n) { return n * (n + 1) / 2; }
  static constexpr SK_HD int row(int i) { return i * (i + 1) / 2; }
  SK_HD E& lower(int i, int j) const { return a[row(i) + j]; }  // j <= i
};

}  // namespace sk
