// The single-shift QR iteration of one complex matrix by a team (core/complex_qr.h has the algorithm and its sources; team_francis.cuh
// how threads share a sweep).
#pragma once
#include "../core/complex_qr.h"
#include "team_francis.cuh"

namespace sk {

// Rotation k in rotations[k - first] where Schur is set.
template <bool Schur, class Team, class T>
__device__ __forceinline__ void qr_sweep(const Team& team, const Workspace<Complex<T>>& ws, bool active, int lo, int hi, int first, Complex<T> v) {
  const ColumnTile<Complex<T>> h = ws.h;
  WindowShare<Team> share(team, lo, hi, first);
  Rotation<T> previous = Rotation<T>::identity();
  Complex<T> x0{T(0), T(0)}, bulge = v, pending = x0;
  if (active) x0 = h(first, first);
  T coupling(1);  // the subdiagonal entry that step k annihilates is coupling * size * phase
  int k = first;
  while (team.together(active && k < hi)) {
    team.sync();
    if (!active || k >= hi) continue;
    Complex<T> c0 = h(k, k + 1), c1 = h(k + 1, k + 1);
    const Complex<T> phase = ws.sub.phase[k];
    const T size = ws.sub.size[k];
    T beta;
    const Rotation<T> r = rotation_of(bulge * conj(phase), coupling * size, true, beta);
    if (k > first && share.was_mine()) h(k - 1, k) = pending;
    for (int x = lo + share.rank; x <= hi; x += share.size) {
      if (x > k + 1) r.rows(h(k, x), h(k + 1, x));
      if (x < k) r.columns(h(x, k), h(x, k + 1));
    }
    Complex<T> x1 = conj(previous.a) * (phase * size);
    r.rows(x0, x1);
    r.rows(c0, c1);
    r.columns(x0, c0);
    r.columns(x1, c1);
    if (share.mine()) {
      h(k, k) = x0;
      if (k > first) {
        ws.sub.size[k - 1] = beta;
        ws.sub.phase[k - 1] = phase;
      } else if (k > lo) {  // a bulge that starts inside a window turns the entry above it
        const T shrink = modulus(r.a);
        ws.sub.phase[k - 1] = conj(phase_of(r.a, shrink)) * ws.sub.phase[k - 1];
        ws.sub.size[k - 1] = shrink * ws.sub.size[k - 1];
      }
      if (Schur) ws.rotations[k - first] = r;
    }
    pending = c0;
    x0 = c1;
    bulge = x1;
    coupling = r.b;
    previous = r;
    share.advance();
    ++k;
  }
  team.sync();
  if (active && share.was_mine()) {
    const T left = modulus(bulge);
    h(hi - 1, hi) = pending;
    h(hi, hi) = x0;
    ws.sub.size[hi - 1] = left;
    ws.sub.phase[hi - 1] = phase_of(bulge, left);
  }
  team.sync();
}

// The rotations of one sweep, from the right on rows above the window and on Z, from the left on columns right of it.
template <class Team, class T>
__device__ __forceinline__ void apply_rotations(const Team& team, const Workspace<Complex<T>>& ws, bool active, int lo, int hi, int first) {
  if (active) {
    const Sweep<T> sweep{ws.rotations, first, hi};
    for (int r = team.rank(); r < lo; r += team.size()) rotate_rows<1>(ws.h, r, sweep);
    for (int j = hi + 1 + team.rank(); j < ws.h.n; j += team.size()) rotate_columns<1>(ws.h, j, sweep);
    for (int r = team.rank(); r < ws.h.n; r += team.size()) rotate_rows<1>(ws.z, r, sweep);
  }
  team.sync();
}

// Iterates until the matrix is triangular or out of iterations.  Returns 0, or 1 + the index of the last eigenvalue that was not found.
template <bool Schur, class Team, class T>
__device__ __forceinline__ int single_shift_qr(const Team& team, const Workspace<Complex<T>>& ws) {
  const int n = ws.h.n;
  const T smlnum = Machine<T>::safmin * (T(n) / Machine<T>::ulp);
  IterationState st{n - 1, 0, 0, 0};
  for (;;) {
    deflate_and_find_window(
        team, st, 1, [&](int k) { return negligible_subdiagonal(ws, k, true, cabs1(ws.h(k - 1, k - 1)), cabs1(ws.h(k, k)), smlnum); },
        [&](int k) { ws.sub.size[k - 1] = T(0); });
    if (!team.together(st.hi >= 0)) return st.failed;
    const bool active = count_iteration(st, n);
    const int lo = st.lo, hi = st.hi;
    Complex<T> shift{T(0), T(0)}, v = shift;
    if (active) {
      const QrState<T> block{T(hi), T(lo), T(st.stalled), T(0)};
      shift = wilkinson_shift<0>(ws, block);
      exceptional_shifts(ws, block, shift);
    }
    const int first = first_where(team, active, hi - 1, -1, lo, [&](int m) {
      const Complex<T> d = ws.h(m, m);
      return may_start_at(ws.sub, m, d - shift, cabs1(d), cabs1(ws.h(m + 1, m + 1)));
    });
    if (active) v = ws.h(first, first) - shift;
    qr_sweep<Schur>(team, ws, active, lo, hi, first, v);
    if (Schur) apply_rotations(team, ws, active, lo, hi, first);
  }
}

}  // namespace sk
