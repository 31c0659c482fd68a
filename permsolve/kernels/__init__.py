"""Numba kernels shared by the core and every solver: the one scorer and the exchange matrix.

Kernels take plain arrays and never validate; matrices are *columns first*, shape (columns, rows), so that a
column is contiguous. They release the GIL and run in one thread: callers share work among threads by
giving each its own slice of the output.
"""
