"""The kernels on a GPU: numba's CUDA target, imported on first use only.

Nothing here is needed on a machine without a GPU, and everything runs in numba's CUDA simulator
(``NUMBA_ENABLE_CUDASIM=1``), which is how it is tested there.
"""
