"""Benchmarks and example data; never shipped."""
