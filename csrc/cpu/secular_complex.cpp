// spectral_kernels::secular_complex on CPU tensors: one matrix after another, each by the solver that its entries allow.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>
#include <vector>

#include "../core/ehrlich_aberth.h"
#include "eig.h"
#include "eig_complex.h"
#include "parallel.h"
#include "secular.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// In double precision for float32 too: offsets are squared, and the iteration is a small part of what a dense solver costs.
class Solver {
  using L = sk::SimdLane<double, sk::register_bytes / 8, 1>;
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

 public:
  explicit Solver(int n)
      : n_(n), memory_(sk::AberthWorkspace<double>::bytes(n)), ws_(n, memory_.get()), real_(n), values_(n), offsets_(n), origins_(n) {
    memset(memory_.get(), 0, sk::AberthWorkspace<double>::bytes(n));
  }

  // emit(j, eigenvalue, origin, offset), complex numbers as two arguments.  T: of the entries, `components` numbers each.
  template <class T, class Emit>
  void solve(const T* d, const T* p, int components, Emit&& emit) {
    double largest = 0;
    bool finite = true, real = true, positive = false, negative = false;
    for (int i = 0; i < n_; ++i) {
      const double dr = d[components * i], di = components == 2 ? d[2 * i + 1] : 0, pr = p[components * i], pi = components == 2 ? p[2 * i + 1] : 0;
      ws_.d.re[i] = dr;
      ws_.d.im[i] = di;
      ws_.p.re[i] = pr;
      ws_.p.im[i] = pi;
      for (double x : {dr, di, pr, pi}) {
        finite = finite && sk::lane_abs(x) <= sk::Machine<double>::largest;
        largest = sk::lane_max(largest, sk::lane_abs(x));
      }
      real = real && di == 0 && pi == 0;
      positive = positive || pr > 0;
      negative = negative || pr < 0;
    }
    if (!finite) {
      for (int j = 0; j < n_; ++j) emit(j, nan, nan, j, nan, nan);
    } else if (real && !(positive && negative)) {
      real_.values(ws_.d.re, ws_.p.re, values_.data(), origins_.data(), offsets_.data());
      for (int j = 0; j < n_; ++j) emit(j, values_[j], 0.0, origins_[j], offsets_[j], 0.0);
    } else {
      roots(d, components, largest, real, emit);
    }
  }

 private:
  int n_;
  sk::Scratch memory_;
  sk::AberthWorkspace<double> ws_;
  sk::SecularSolver<double> real_;
  std::vector<double> values_, offsets_;
  std::vector<int64_t> origins_;

  template <class T, class Emit>
  void roots(const T* d, int components, double largest, bool real, Emit&& emit) {
    sk::aberth_poles<L>(ws_, largest);
    if (ws_.poles > 0 && !sk::aberth_roots<L>(ws_)) dense();
    if (real) sk::make_conjugate(ws_);
    const double unit = std::ldexp(1.0, ws_.exponent);
    auto entry = [&](int i, int part) { return part < components ? double(d[components * i + part]) : 0.0; };
    int j = 0;
    for (; j < ws_.poles; ++j) {
      const int i = ws_.of_pole[ws_.nearest[j]];
      const double re = ws_.offset.re[j] * unit, im = ws_.offset.im[j] * unit;
      emit(j, entry(i, 0) + re, entry(i, 1) + im, i, re, im);
    }
    for (int k = 0; k < ws_.deflated; ++k, ++j) {
      const int i = ws_.deflated_index[k];
      emit(j, entry(i, 0), entry(i, 1), i, 0.0, 0.0);
    }
  }

  // The poles' matrix with b = c = sqrt(|weight|) but for the phase, by the dense solver.
  void dense() {
    const int m = ws_.poles;
    std::vector<double> A(2 * size_t(m) * m), w(2 * size_t(m));
    for (int i = 0; i < m; ++i)
      for (int k = 0; k < m; ++k) {
        const double size = std::hypot(ws_.weight.re[k], ws_.weight.im[k]), ratio = std::sqrt(std::hypot(ws_.weight.re[i], ws_.weight.im[i]) / size);
        A[2 * (size_t(i) * m + k)] = ratio * ws_.weight.re[k] + (i == k ? ws_.pole.re[i] : 0);
        A[2 * (size_t(i) * m + k) + 1] = ratio * ws_.weight.im[k] + (i == k ? ws_.pole.im[i] : 0);
      }
    int32_t info = 0;
    const sk::StridedSource<double> source{A.data(), {nullptr, nullptr, 0, m, 1}};
    sk::EigSolver<false, sk::Complex<double>, sk::StridedSource<double>>(source, m).solve(0, 1, {false, false, true}, {w.data(), nullptr, nullptr, &info});
    for (int j = 0; j < m; ++j) {
      double least = std::numeric_limits<double>::infinity();
      for (int i = 0; i < m; ++i) {
        const double re = w[2 * j] - ws_.pole.re[i], im = w[2 * j + 1] - ws_.pole.im[i], square = re * re + im * im;
        if (!(square < least) && i > 0) continue;
        least = square;
        ws_.nearest[j] = i;
        ws_.origin.re[j] = ws_.pole.re[i];
        ws_.offset.re[j] = re;
        ws_.offset.im[j] = im;
      }
    }
  }
};

template <class T>
void run(const Tensor& d, const Tensor& p, int64_t batch, int n, int components, Tensor& eigenvalues, Tensor& origin, Tensor& offset) {
  const T *d_data = static_cast<const T*>(d.const_data_ptr()), *p_data = static_cast<const T*>(p.const_data_ptr());
  T *values = static_cast<T*>(eigenvalues.mutable_data_ptr()), *offsets = static_cast<T*>(offset.mutable_data_ptr());
  int64_t* origins = static_cast<int64_t*>(origin.mutable_data_ptr());
  sk::for_each_chunk(batch, [&] {
    return [&, solver = Solver(n)](int64_t begin, int64_t end) mutable {
      for (int64_t b = begin; b < end; ++b)
        solver.solve(d_data + b * n * components, p_data + b * n * components, components,
                     [&, at = b * n](int j, double re, double im, int64_t i, double offset_re, double offset_im) {
                       values[2 * (at + j)] = T(re);
                       values[2 * (at + j) + 1] = T(im);
                       origins[at + j] = i;
                       offsets[2 * (at + j)] = T(offset_re);
                       offsets[2 * (at + j) + 1] = T(offset_im);
                     });
    };
  });
}

// d, p (..., n) real or complex -> eigenvalues (..., n) complex, origin (..., n) int64, offset (..., n) complex.
std::tuple<Tensor, Tensor, Tensor> secular_complex(const Tensor& d, const Tensor& p) {
  const auto sizes = d.sizes(), other = p.sizes();
  const int64_t dims = d.dim();
  bool same = dims >= 1 && p.dim() == dims && p.scalar_type() == d.scalar_type();
  for (int64_t i = 0; same && i < dims; ++i) same = sizes[i] == other[i];
  STD_TORCH_CHECK(same, "spectral_kernels::secular_complex: expected d and p of the same shape (..., n) and dtype");
  const ScalarType dtype = d.scalar_type();
  const bool single = dtype == ScalarType::Float || dtype == ScalarType::ComplexFloat;
  const bool complex = dtype == ScalarType::ComplexFloat || dtype == ScalarType::ComplexDouble;
  STD_TORCH_CHECK(single || complex || dtype == ScalarType::Double, "spectral_kernels::secular_complex: expected float32, float64, complex64 or complex128");
  const std::vector<int64_t> shape(sizes.begin(), sizes.end());
  const int64_t n = shape.back(), batch = n > 0 ? d.numel() / n : 0;
  const ScalarType result = single ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
  Tensor eigenvalues = torch::stable::new_empty(d, shape, result), offset = torch::stable::new_empty(d, shape, result);
  Tensor origin = torch::stable::new_empty(d, shape, ScalarType::Long);
  const Tensor dc = torch::stable::contiguous(d), pc = torch::stable::contiguous(p);
  (single ? run<float> : run<double>)(dc, pc, batch, int(n), complex ? 2 : 1, eigenvalues, origin, offset);
  return {eigenvalues, origin, offset};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(spectral_kernels, CPU, m) { m.impl("secular_complex", TORCH_BOX(&secular_complex)); }
