"""Definitions in plain PyTorch, one file per op: slow, short, and what every backend is tested against."""
