"""Test matrices by name and LAPACK's test ratios: shared by the tests and by the accuracy gate of the benchmarks."""
