// The symmetric kernels and their launcher under emulation.
#include "cuda/eigh_launch.cuh"

namespace sk {
template SK_EIGH_OF_TRIANGLE(float);
template SK_EIGH_OF_TRIANGLE(double);
template SK_EIGH_OF_TRIANGLE(Complex<float>);
template SK_EIGH_OF_TRIANGLE(Complex<double>);
}  // namespace sk

namespace {

template <class E, bool Vectors>
int solve(const sk::TriangleSource<E>& source, int64_t batch, int n, const sk::SymmetricOutputs<E>& out, int team) {
  using namespace sk;
  const int entries = jacobi_entries(n, Vectors);
  auto shared = [&](int threads) { return eigh_block(team, threads, entries, int(sizeof(E))); };
  switch (team) {
    case 0: return eigh_of_triangle<E>(source, batch, n, out, nullptr);
    case 4: return eigh_on_teams<E, WarpTeam<4>, Vectors>(source, batch, n, out, shared(64), nullptr);
    case 32: return eigh_on_teams<E, WarpTeam<32>, Vectors>(source, batch, n, out, shared(64), nullptr);
    default: return eigh_on_teams<E, BlockTeam, Vectors>(source, batch, n, out, shared(team), nullptr);
  }
}

template <class E>
int solve(const void* a, int dims, const int64_t* sizes, const int64_t* strides, bool upper, int64_t batch, int n, void* values, void* vectors, int32_t* info, int team) {
  using Entry = typename sk::Memory<E>::type;
  sk::TriangleSource<E> source{{static_cast<const Entry*>(a), {dims, {}, {}}, strides[dims], strides[dims + 1]}, upper};
  for (int d = 0; d < dims; ++d) source.matrices.batch.sizes[d] = sizes[d], source.matrices.batch.strides[d] = strides[d];
  const sk::SymmetricOutputs<E> out{static_cast<sk::lane_of<E>*>(values), static_cast<Entry*>(vectors), info};
  return vectors ? solve<E, true>(source, batch, n, out, team) : solve<E, false>(source, batch, n, out, team);
}

}  // namespace

// A (sizes, n, n) in any strides, those of the matrices last.  team: threads of a matrix; 0: what the table says.
extern "C" int eigh(int64_t double_precision, int64_t complex, const void* a, int64_t dims, const int64_t* sizes, const int64_t* strides, int64_t upper, int64_t batch, int64_t n,
                    void* values, void* vectors, int32_t* info, int64_t team) {
  auto go = complex ? (double_precision ? solve<sk::Complex<double>> : solve<sk::Complex<float>>) : (double_precision ? solve<double> : solve<float>);
  return go(a, int(dims), sizes, strides, upper != 0, batch, int(n), values, vectors, info, int(team));
}

extern "C" int eigh_table(int64_t n, int64_t entry_bytes, int64_t vectors, int64_t* tuning) {
  const sk::EighTuning t = sk::eigh_tuning(int(n), int(entry_bytes), vectors != 0);
  const int64_t row[] = {t.team, t.threads, t.matrices, t.entries, t.shared_bytes};
  for (int i = 0; i < 5; ++i) tuning[i] = row[i];
  return sk::eigh_limits(int(entry_bytes)).block;
}
