"""Benchmarks that work wherever the package is installed: registry, accuracy gate, interleaved runner, table."""
