"""What users call; `spectral_kernels` re-exports it."""
