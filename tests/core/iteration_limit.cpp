// What the Francis iteration does with a lane that never deflates: the screen for NaN is left out, so the count must stop it.
#include <cstdio>
#include <limits>
#include <vector>

#include "core/eig.h"
#include "cpu/lane_simd.h"

// The lane value of entry (i, j): an upper Hessenberg matrix whose trailing 1x1 block stands alone; lane `bad` has a NaN on top.
template <class L>
L francis_info(int n, int bad, double* last) {
  std::vector<L> storage(sk::Workspace<L>::lanes_needed(n, false));
  std::vector<uint16_t> perm(sk::width_v<L> * n);
  sk::Workspace<L> ws(storage.data(), perm.data(), n, false);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) ws.h(i, j) = L(i > j + 1 || (i == n - 1 && j < i) ? 0.0 : 1.0 + i + 2 * j);
  sk::lane_set(ws.h(0, 0), bad, std::numeric_limits<double>::quiet_NaN());
  L info = sk::francis<false>(ws.h, ws.zt, ws.chain);
  *last = sk::lane_get(ws.h(n - 1, n - 1), bad);
  return info;
}

void report(int n) {
  double last;
  double scalar = francis_info<double>(n, 0, &last);
  std::printf("scalar %d %g\n", int(scalar), last);
  using Lane = sk::SimdLane<double, 2, 2>;
  Lane info = francis_info<Lane>(n, 2, &last);
  std::printf("lanes");
  for (int w = 0; w < 4; ++w) std::printf(" %d", int(sk::lane_get(info, w)));
  std::printf(" %g\n", last);
}

int main() {
  report(5);
  report(4);  // in registers, where every step is of the whole matrix
}
