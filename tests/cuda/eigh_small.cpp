// One kernel of each mapping of the symmetric solver, for the sanitizers: they take long to compile.
#include "cuda/eigh_launch.cuh"

namespace {

template <class E>
struct Batch {
  sk::TriangleSource<E> source;
  sk::SymmetricOutputs<E> out;
  int64_t batch;

  Batch(const void* a, int64_t batch, int n, bool upper, void* values, void* vectors, int32_t* info)
      : source{{static_cast<const typename sk::Memory<E>::type*>(a), {1, {batch}, {int64_t(n) * n}}, n, 1}, upper},
        out{static_cast<sk::lane_of<E>*>(values), static_cast<typename sk::Memory<E>::type*>(vectors), info},
        batch(batch) {}
};

sk::EighTuning of_team(int n, int team, int threads, int bytes) {
  return sk::eigh_block(team, threads, sk::jacobi_entries(n, true), bytes);
}

}  // namespace

// Contiguous A (batch, n, n), float64 or complex128.  mapping: 1 registers (n = 3, float64), 8 lanes (complex128), 64 threads (float64).
extern "C" int eigh_small(int64_t mapping, const void* a, int64_t batch, int64_t n, int64_t upper, void* values, void* vectors, int32_t* info) {
  using namespace sk;
  if (mapping == 8) {
    const Batch<Complex<double>> b(a, batch, int(n), upper != 0, values, vectors, info);
    return eigh_on_teams<Complex<double>, WarpTeam<8>, true>(b.source, batch, int(n), b.out, of_team(int(n), 8, 64, 16), nullptr);
  }
  const Batch<double> b(a, batch, int(n), upper != 0, values, vectors, info);
  if (mapping == 1) return eigh_in_registers<double, 3, true>(b.source, batch, b.out, eigh_tuning(3, 8, true), nullptr);
  return eigh_on_teams<double, BlockTeam, true>(b.source, batch, int(n), b.out, of_team(int(n), 64, 64, 8), nullptr);
}
