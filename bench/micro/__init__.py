"""Micro-benchmarks of the kernels."""
