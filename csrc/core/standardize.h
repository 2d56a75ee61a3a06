// Eigenvalues of a quasi-triangular group: every 2x2 diagonal block is brought to standard form (xLANV2), all lanes
// that hold a block at the same place together.
#pragma once
#include "tile.h"

namespace sk {

template <class L>
struct StandardBlock {
  L a, b, c, d, cs, sn;  // [a b; c d] = [cs sn; -sn cs] [A B; C D] [cs -sn; sn cs]
};

// xLANV2: c = 0 (two real eigenvalues) or a = d and sign(b) != sign(c) (a complex pair a +- i sqrt|b| sqrt|c|).
// No product here may be contracted into a fused multiply-add: that changed branches and cost half the digits in LAPACK
// (issue 1031).  The lane operators never contract.
template <class L>
SK_HD StandardBlock<L> standardize_block(L a, L b, L c, L d) {
  using T = real_t<L>;
  const L zero(0), one(1), half(T(0.5));
  mask_t<L> negative_b = b < zero, negative_c = c < zero;
  mask_t<L> opposite = (negative_b & !negative_c) | (negative_c & !negative_b);
  mask_t<L> triangular = c == zero;
  mask_t<L> swap = !triangular & (b == zero);
  L temp = a - d;
  mask_t<L> standard = !triangular & !swap & (temp == zero) & opposite;
  mask_t<L> rest = !(triangular | swap | standard);

  L p = half * temp, ab = lane_abs(b), ac = lane_abs(c);
  L bcmax = lane_max(ab, ac), bcmis = lane_min(ab, ac);
  bcmis = lane_select(opposite, -bcmis, bcmis);
  L scale = lane_max(lane_abs(p), bcmax);
  scale = lane_select(scale == zero, one, scale);
  L z = p / scale * p + bcmax / scale * bcmis;
  mask_t<L> real_pair = rest & (z >= L(T(4) * Machine<T>::ulp));
  mask_t<L> equalize = rest & !real_pair;

  // Two distinct real eigenvalues.
  L zr = lane_select(real_pair, z, one);
  zr = p + lane_copysign(lane_sqrt(scale) * lane_sqrt(zr), p);
  zr = lane_select(real_pair, zr, one);
  L tau = lane_hypot(c, zr);
  tau = lane_select(real_pair, tau, one);
  StandardBlock<L> r;
  r.a = lane_select(real_pair, d + zr, a);
  r.d = lane_select(real_pair, d - bcmax / zr * bcmis, d);
  r.b = lane_select(real_pair, b - c, b);
  r.c = lane_select(real_pair, zero, c);
  r.cs = lane_select(real_pair, zr / tau, one);
  r.sn = lane_select(real_pair, c / tau, zero);

  r.a = lane_select(swap, d, r.a);
  r.d = lane_select(swap, a, r.d);
  r.b = lane_select(swap, -c, r.b);
  r.c = lane_select(swap, zero, r.c);
  r.cs = lane_select(swap, zero, r.cs);
  r.sn = lane_select(swap, one, r.sn);
  if (!lane_any(equalize)) return r;

  // Complex, or real and nearly equal: make the diagonal equal.
  L sigma = b + c;
  L t = lane_select(equalize, lane_hypot(sigma, temp), one);
  t = lane_select(t == zero, one, t);
  L cs = lane_sqrt(half * (one + lane_abs(sigma) / t));
  L sn = -(p / (t * cs)) * lane_copysign(one, sigma);
  L aa = a * cs + b * sn, bb = b * cs - a * sn, cc = c * cs + d * sn, dd = d * cs - c * sn;
  L ea = aa * cs + cc * sn, eb = bb * cs + dd * sn, ec = cc * cs - aa * sn, ed = dd * cs - bb * sn;
  L mid = half * (ea + ed);
  ea = ed = mid;
  mask_t<L> lower = equalize & (ec != zero) & (eb == zero);  // reducible: swap rows and columns
  mask_t<L> same = ((eb > zero) & (ec > zero)) | ((eb < zero) & (ec < zero));
  mask_t<L> split = equalize & same;  // two nearly equal real eigenvalues
  L sab = lane_sqrt(lane_abs(eb)), sac = lane_sqrt(lane_abs(ec));
  L q = lane_copysign(sab * sac, ec);
  L sum = lane_abs(eb + ec);
  L tr = one / lane_sqrt(lane_select(split, sum, one));
  L cs1 = sab * tr, sn1 = sac * tr;
  L cs2 = lane_select(split, cs * cs1 - sn * sn1, lane_select(lower, -sn, cs));
  L sn2 = lane_select(split, cs * sn1 + sn * cs1, lane_select(lower, cs, sn));
  r.a = lane_select(equalize, lane_select(split, mid + q, ea), r.a);
  r.d = lane_select(equalize, lane_select(split, mid - q, ed), r.d);
  L nb = lane_select(split, eb - ec, lane_select(lower, -ec, eb));
  r.b = lane_select(equalize, nb, r.b);
  r.c = lane_select(equalize, lane_select(split | lower, zero, ec), r.c);
  r.cs = lane_select(equalize, cs2, r.cs);
  r.sn = lane_select(equalize, sn2, r.sn);
  return r;
}

// Standardises all blocks; rotates the rest of T and Z when the Schur form is wanted; fills wr, wi.
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
    StandardBlock<L> s = standardize_block(h(i - 1, i - 1), h(i - 1, i), lane_select(block, h(i, i - 1), L(0)), h(i, i));
    L im = lane_sqrt(lane_abs(s.b)) * lane_sqrt(lane_abs(s.c));
    wr[i - 1] = lane_select(block, s.a, wr[i - 1]);
    wr[i] = lane_select(block, s.d, wr[i]);
    wi[i - 1] = lane_select(block, im, wi[i - 1]);
    wi[i] = lane_select(block, L(0) - im, wi[i]);  // not -im: a real eigenvalue's imaginary part is +0
    h(i - 1, i - 1) = lane_select(block, s.a, h(i - 1, i - 1));
    h(i - 1, i) = lane_select(block, s.b, h(i - 1, i));
    h(i, i - 1) = lane_select(block, s.c, h(i, i - 1));
    h(i, i) = lane_select(block, s.d, h(i, i));
    if (!Schur) continue;
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
