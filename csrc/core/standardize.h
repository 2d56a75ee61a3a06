// Eigenvalues of a quasi-triangular group: every 2x2 diagonal block is brought to standard form (xLANV2), all lanes
// that hold a block at the same place together.
#pragma once
#include "tile.h"

namespace sk {

// The eigenvalues first +- i im and second -+ i im of [a b; c d], and what their standard form is made of.
template <class L>
struct BlockEigenvalues {
  L first, second, im;
  mask_t<L> swap;       // b = 0: the eigenvalues are d and a
  mask_t<L> real_pair;  // two distinct real ones
  mask_t<L> close;      // complex, or real and nearly equal: (a + d)/2 +- the root of `product`
  L shift;              // of a real pair: first - d
  L product;            // ((a - d)/2)^2 + b c
};

// xLANV2's eigenvalues, of a +- root of ((a - d)/2)^2 + b c, in units of a power of two.  xLANV2 takes those of the close
// ones from the rotated block, to the same accuracy with seven more roots and divisions.
// No product here may be contracted into a fused multiply-add: that changed branches and cost half the digits in LAPACK
// (issue 1031).  The lane operators never contract.
template <class L>
SK_HD BlockEigenvalues<L> block_eigenvalues(L a, L b, L c, L d) {
  using T = real_t<L>;
  const L zero(0), one(1), half(T(0.5));
  BlockEigenvalues<L> e;
  mask_t<L> triangular = c == zero;
  e.swap = !triangular & (b == zero);
  mask_t<L> rest = !(triangular | e.swap), opposite = ((b < zero) & (c >= zero)) | ((c < zero) & (b >= zero));
  L p = half * (a - d), ab = lane_abs(b), ac = lane_abs(c);
  L bcmax = lane_max(ab, ac), bcmis = lane_min(ab, ac);
  bcmis = lane_select(opposite, -bcmis, bcmis);
  L unit = lane_pow2_floor(lane_max(lane_max(lane_abs(p), bcmax), L(Machine<T>::safmin)));
  L inverse = lane_pow2_inverse(unit);
  L ps = p * inverse, z = ps * ps + bcmax * inverse * (bcmis * inverse);
  e.real_pair = rest & (z * unit >= L(T(4) * Machine<T>::ulp));
  e.close = rest & !e.real_pair;
  e.product = z * unit * unit;

  L root = unit * lane_sqrt(lane_abs(z)), mid = half * (a + d);
  e.shift = lane_select(e.real_pair, p + lane_copysign(root, p), one);
  mask_t<L> complex_pair = e.close & (z < zero);
  L difference = lane_select(complex_pair, zero, root);
  e.first = lane_select(e.close, mid + difference, lane_select(e.real_pair, d + e.shift, lane_select(e.swap, d, a)));
  e.second = lane_select(e.close, mid - difference, lane_select(e.real_pair, d - bcmax / e.shift * bcmis, lane_select(e.swap, a, d)));
  e.im = lane_select(complex_pair, root, zero);
  return e;
}

template <class L>
struct StandardBlock {
  L b, c, cs, sn;  // [first b; c second] = [cs sn; -sn cs] [A B; C D] [cs -sn; sn cs]
};

// The rotation to xLANV2's standard form: c = 0 (two real eigenvalues), or equal diagonal entries and sign(b) != sign(c).
template <class L>
SK_HD StandardBlock<L> standardize_block(L a, L b, L c, L d, const BlockEigenvalues<L>& e) {
  using T = real_t<L>;
  const L zero(0), one(1), half(T(0.5));
  StandardBlock<L> r;
  L tau = lane_select(e.real_pair, lane_hypot(c, e.shift), one);
  r.b = lane_select(e.swap, -c, lane_select(e.real_pair, b - c, b));
  r.c = lane_select(e.swap | e.real_pair, zero, c);
  r.cs = lane_select(e.swap, zero, lane_select(e.real_pair, e.shift / tau, one));
  r.sn = lane_select(e.swap, one, lane_select(e.real_pair, c / tau, zero));
  L temp = a - d, sigma = b + c;
  mask_t<L> equalize = e.close & ((temp != zero) | (e.product >= zero));  // the others are in standard form
  if (!lane_any(equalize)) return r;

  // Complex, or real and nearly equal: make the diagonal equal.  Only the ratio of temp and sigma counts; in skew-symmetric
  // matrices both are rounding errors, which may be too small for a product to keep its digits.
  const L lift = lane_pow2_inverse(lane_pow2_floor(lane_max(lane_max(lane_abs(temp), lane_abs(sigma)), L(Machine<T>::safmin))));
  temp = temp * lift, sigma = sigma * lift;
  L p = half * temp;
  L t = lane_select(equalize, lane_hypot(sigma, temp), one);
  t = lane_select(t == zero, one, t);
  L cs = lane_sqrt(half * (one + lane_abs(sigma) / t));
  L sn = -(p / (t * cs)) * lane_copysign(one, sigma);
  L aa = a * cs + b * sn, bb = b * cs - a * sn, cc = c * cs + d * sn, dd = d * cs - c * sn;
  L eb = bb * cs + dd * sn, ec = cc * cs - aa * sn;
  // The smaller of the two again from the product of both, which the eigenvalues come from.
  mask_t<L> above = lane_abs(eb) >= lane_abs(ec);
  L large = lane_select(above, eb, ec);
  L small = e.product / lane_select(equalize & (large != zero), large, one);
  eb = lane_select(above, eb, small);
  ec = lane_select(above, small, ec);
  mask_t<L> split = equalize & (e.product >= zero);  // two nearly equal real eigenvalues
  L sab = lane_sqrt(lane_abs(eb)), sac = lane_copysign(lane_sqrt(lane_abs(ec)), ec);
  L sum = lane_abs(eb + ec);
  mask_t<L> diagonal = sum == zero;
  L tr = one / lane_sqrt(lane_select(split & !diagonal, sum, one));
  L cs1 = lane_select(diagonal, one, sab * tr), sn1 = lane_select(diagonal, zero, sac * tr);
  r.b = lane_select(equalize, lane_select(split, eb - ec, eb), r.b);
  r.c = lane_select(equalize, lane_select(split, zero, ec), r.c);
  r.cs = lane_select(equalize, lane_select(split, cs * cs1 - sn * sn1, cs), r.cs);
  r.sn = lane_select(equalize, lane_select(split, cs * sn1 + sn * cs1, sn), r.sn);
  return r;
}

// Standardises all blocks, rotating the rest of T and Z, where the Schur form is wanted; fills wr, wi.
template <bool Schur, class L>
SK_STEP void standardize_blocks(Tile<L> h, Tile<L> zt, L* wr, L* wi) {
  const int n = h.n;
  for (int i = 0; i < n; ++i) {
    wr[i] = h(i, i);
    wi[i] = L(0);
  }
  for (int i = n - 1; i >= 1; --i) {
    mask_t<L> block = h(i, i - 1) != L(0);
    if (!lane_any(block)) continue;
    const L a = h(i - 1, i - 1), b = h(i - 1, i), c = lane_select(block, h(i, i - 1), L(0)), d = h(i, i);
    const BlockEigenvalues<L> e = block_eigenvalues(a, b, c, d);
    wr[i - 1] = lane_select(block, e.first, wr[i - 1]);
    wr[i] = lane_select(block, e.second, wr[i]);
    wi[i - 1] = lane_select(block, e.im, wi[i - 1]);
    wi[i] = lane_select(block, L(0) - e.im, wi[i]);  // not -im: a real eigenvalue's imaginary part is +0
    if (!Schur) continue;
    const StandardBlock<L> s = standardize_block(a, b, c, d, e);
    h(i - 1, i - 1) = lane_select(block, e.first, a);
    h(i - 1, i) = lane_select(block, s.b, b);
    h(i, i - 1) = lane_select(block, s.c, h(i, i - 1));
    h(i, i) = lane_select(block, e.second, d);
    L cs = lane_select(block, s.cs, L(1)), sn = lane_select(block, s.sn, L(0));
    auto rotate = [&](L& x, L& y) {  // xROT
      L t = lane_fma(cs, x, sn * y);
      y = lane_fma(cs, y, -(sn * x));
      x = t;
    };
    for (int j = i + 1; j < n; ++j) rotate(h(i - 1, j), h(i, j));
    for (int j = 0; j < i - 1; ++j) rotate(h(j, i - 1), h(j, i));
    for (int j = 0; j < n; ++j) rotate(zt(i - 1, j), zt(i, j));
  }
}

}  // namespace sk
