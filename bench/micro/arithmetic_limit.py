"""How many maxima-and-additions one core of this machine can do when nothing has to be loaded."""

import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 8
CHAINS = 12


@intrinsic
def _register_loop(typing_context: Any, rounds: Any, start: Any) -> Any:
    """Run ``rounds`` iterations of CHAINS independent ``sum = max(sum, threshold) + step`` on vectors in registers."""
    signature = types.float32(types.intp, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rounds, start = arguments
        single = ir.FloatType()
        vector = ir.VectorType(single, LANES)
        index = ir.IntType(64)

        def splat(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        threshold = splat(start)
        step = splat(builder.fmul(start, start))
        entry = builder.block
        loop = builder.append_basic_block("loop")
        end = builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        counter = builder.phi(index)
        counter.add_incoming(ir.Constant(index, 0), entry)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        for value in sums:
            value.add_incoming(ir.Constant(vector, [0.0] * LANES), entry)
        after = []
        for value in sums:
            larger = builder.select(builder.fcmp_ordered(">", threshold, value), threshold, value)
            after.append(builder.fadd(step, larger))
        counted = builder.add(counter, ir.Constant(index, 1))
        counter.add_incoming(counted, loop)
        for value, new in zip(sums, after, strict=True):
            value.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", counted, rounds), loop, end)
        builder.position_at_end(end)
        total = after[0]
        for value in after[1:]:
            total = builder.fadd(total, value)
        result = ir.Constant(single, 0.0)
        for lane in range(LANES):
            result = builder.fadd(result, builder.extract_element(total, ir.Constant(ir.IntType(32), lane)))
        return result

    return signature, generate


@njit(nogil=True)
def _run(rounds, start):  # type: ignore[no-untyped-def]
    return _register_loop(rounds, np.float32(start))  # type: ignore[call-arg]


def arithmetic_limit(rounds: int = 4_000_000, repeats: int = 5) -> float:
    """Measured maxima-and-additions per second of one core, on float32 vectors held in registers."""
    _run(10, 0.5)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        _run(rounds, 0.5)
        best = min(best, time.perf_counter() - start)
    return rounds * CHAINS * LANES / best
