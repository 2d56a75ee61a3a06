// What the eigenvalue ops are on every device: checks of the arguments and allocation of the results.  A device's file solves.
#pragma once
#include <tuple>

#include "batch_axes.h"

namespace sk {

using torch::headeronly::ScalarType;

inline bool single_precision(ScalarType t) { return t == ScalarType::Float || t == ScalarType::ComplexFloat; }
inline bool complex_entries(ScalarType t) { return t == ScalarType::ComplexFloat || t == ScalarType::ComplexDouble; }

inline void check_size(const char* op, const char* size, int64_t n, int64_t largest) {
  STD_TORCH_CHECK(n <= largest, "spectral_kernels::", op, ": the kernels of this device and dtype serve ", size, " <= ", largest, ", got ", n);
}

// Square matrices (..., n, n) of a dtype that the solvers know.
struct Matrices {
  BroadcastShape batch;
  int64_t n;
  bool single, complex;

  Matrices(const char* op, const Tensor& A) {
    const auto sizes = A.sizes();
    const int64_t dims = A.dim();
    STD_TORCH_CHECK(dims >= 2 && sizes[dims - 1] == sizes[dims - 2], "spectral_kernels::", op, ": expected matrices of shape (..., n, n)");
    batch.add(A, 2);
    n = sizes[dims - 1];
    single = single_precision(A.scalar_type()), complex = complex_entries(A.scalar_type());
    STD_TORCH_CHECK(single || complex || A.scalar_type() == ScalarType::Double, "spectral_kernels::", op, ": expected float32, float64, complex64 or complex128");
  }
  bool empty() const { return batch.count() == 0 || n == 0; }
};

// Results of a non-symmetric eigenproblem of size n: eigenvalues (..., n), right and left eigenvectors (..., n, n) or (0,), info (...) int32.
struct EigTensors {
  Tensor values, right, left, info;

  EigTensors(const Tensor& like, const BroadcastShape& batch, int64_t n, bool single, bool with_left, bool with_right)
      : values(torch::stable::new_empty(like, batch.with({n}), single ? ScalarType::ComplexFloat : ScalarType::ComplexDouble)),
        right(vectors(like, batch, n, with_right)),
        left(vectors(like, batch, n, with_left)),
        info(torch::stable::new_empty(like, batch.sizes(), ScalarType::Int)),
        with_left_(with_left),
        with_right_(with_right) {
    if (n == 0) torch::stable::zero_(info);
  }
  // Vectors are written column-major, as LAPACK and torch have them.
  std::tuple<Tensor, Tensor, Tensor, Tensor> as_torch_has_them() const {
    return {values, with_right_ ? torch::stable::transpose(right, -2, -1) : right, with_left_ ? torch::stable::transpose(left, -2, -1) : left, info};
  }

 private:
  Tensor vectors(const Tensor& like, const BroadcastShape& batch, int64_t n, bool wanted) const {
    return torch::stable::new_empty(like, wanted ? batch.with({n, n}) : std::vector<int64_t>{0}, values.scalar_type());
  }
  bool with_left_, with_right_;
};

// Results of a symmetric one: real eigenvalues (..., n), eigenvectors (..., n, n) or (0,), info (...) int32.
struct EighTensors {
  Tensor values, vectors, info;

  EighTensors(const Tensor& A, const Matrices& m, bool with_vectors)
      : values(torch::stable::new_empty(A, m.batch.with({m.n}), m.single ? ScalarType::Float : ScalarType::Double)),
        vectors(torch::stable::new_empty(A, with_vectors ? m.batch.with({m.n, m.n}) : std::vector<int64_t>{0})),
        info(torch::stable::new_empty(A, m.batch.sizes(), ScalarType::Int)),
        with_vectors_(with_vectors) {
    if (m.n == 0) torch::stable::zero_(info);
  }
  std::tuple<Tensor, Tensor, Tensor> as_torch_has_them() const { return {values, with_vectors_ ? torch::stable::transpose(vectors, -2, -1) : vectors, info}; }

 private:
  bool with_vectors_;
};

// Factors of Jacobians: weight (G, n, n), coefficient (..., S, G, n), diagonal (..., S, S, n), all of one dtype; eigenvalues (..., S n).
struct JacobianFactors {
  BroadcastShape batch;
  int64_t size;  // S n
  bool single;

  JacobianFactors(const Tensor& weight, const Tensor& coefficient, const Tensor& diagonal) {
    const int64_t dims = coefficient.dim();
    bool same = weight.dim() == 3 && dims >= 3 && diagonal.dim() == dims;
    if (same) {
      const auto w = weight.sizes(), c = coefficient.sizes(), d = diagonal.sizes();
      const int64_t gates = w[0], n = w[1], parts = c[dims - 3];
      same = w[2] == n && c[dims - 2] == gates && c[dims - 1] == n && d[dims - 3] == parts && d[dims - 2] == parts && d[dims - 1] == n;
      for (int64_t i = 0; i < dims - 3; ++i) same = same && c[i] == d[i];
      size = parts * n;
    }
    STD_TORCH_CHECK(same, "spectral_kernels::jacobian_eig: expected weight (G, n, n), coefficient (..., S, G, n) and diagonal (..., S, S, n)");
    const ScalarType dtype = weight.scalar_type();
    single = dtype == ScalarType::Float;
    STD_TORCH_CHECK((single || dtype == ScalarType::Double) && coefficient.scalar_type() == dtype && diagonal.scalar_type() == dtype,
                    "spectral_kernels::jacobian_eig: expected float32 or float64, all of one dtype");
    batch.add(coefficient, 3);
  }
  bool empty() const { return batch.count() == 0 || size == 0; }
};

// Factors of Householder products: beta (..., m), k (..., m, n), of one dtype; the core's eigenvalues (..., m).
struct HouseholderFactors {
  BroadcastShape batch;
  int64_t m;
  bool single;

  HouseholderFactors(const Tensor& beta, const Tensor& k) {
    STD_TORCH_CHECK(beta.dim() >= 1 && k.dim() >= 2 && k.sizes()[k.dim() - 2] == beta.sizes()[beta.dim() - 1],
                    "spectral_kernels::householder_eigvals: expected beta (..., m) and k (..., m, n)");
    m = beta.sizes()[beta.dim() - 1];
    const ScalarType dtype = k.scalar_type();
    single = dtype == ScalarType::Float;
    STD_TORCH_CHECK((single || dtype == ScalarType::Double) && beta.scalar_type() == dtype,
                    "spectral_kernels::householder_eigvals: expected float32 or float64, all of one dtype");
    batch.add(beta, 1);
    batch.add(k, 2);
  }
  bool empty() const { return batch.count() == 0 || m == 0; }
};

}  // namespace sk
