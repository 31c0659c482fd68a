"""CUDA kernels of the exchange matrix.

An entry is a sum over rows of ``max(t, x)``, t a threshold and x an entry of the column that comes in. As
``max(t, x) = (t + x + |t - x|) / 2`` and the sums of whole columns cancel in every exchange of columns, the kernel sums
``|t - x|``: two additions, the absolute value being a modifier of the second one's operand. On compute capability 8.0
and 9.0 an SM issues 64 minima or maxima per clock but twice as many additions (9.0; CUDA C++ Programming Guide,
arithmetic instructions), so that an entry and row takes 2/128 of a clock and not 3/128.

The product is tiled like a matrix product, which it is but for the operation. A block of 16 x 16 threads owns TILE x
TILE entries, 8 x 8 per thread in registers, so that a value read from shared memory serves 8 entries: per row a thread
reads 16 values and does 128 additions. Members and columns of a thread lie 16 apart, so that the threads of a warp
read 16 neighbouring columns and 2 members: no bank conflicts. A slab of DEPTH rows of both sides is copied to shared
memory at once; saliencies are stored columns first, so that 16 threads read 64 neighbouring bytes. In shared memory
rows are TILE + 2 values apart: of a warp that writes 16 rows of 2 neighbouring columns each thread meets another bank.
Accumulators are tuples, not local arrays, so that no compiler can leave them in memory. Indices are cast to unsigned
where it counts: signed ones may be negative to numba, which keeps the compiler from folding offsets into the loads.
Compiled for compute capability 9.0 (numba-cuda 0.30, ptxas 13.5) the innermost loop has 158 instructions, of which 128
are the additions, and touches no local memory.

Sums in float32 are cut into spans of SPAN rows. Of each the sum for the member's own column, computed in float64, is
subtracted at once: what is added up over the spans is as small as the entry. Where tiles are too few for the GPU, as
those of an assignment move are, the spans are shared among several blocks (grid z), and their parts added up after.
"""

from numba import config, cuda, float32, float64, int64, uint64

SIDE = 16
TILE = 128
DEPTH = 16
SPAN = 512
LANES = 128
# Rows of a group that a block scores.
STRETCH = 8192
# Of the search for the best partner of each column: so many members and columns per block.
STRIP = 8
WIDTH = 32
# So many registers let two blocks share an SM; the simulator has none and does not know the option.
_TWO_BLOCKS = {} if getattr(config, "ENABLE_CUDASIM", 0) else {"max_registers": 128}
# Shapes in shared memory must be constants of the module.
_SLAB = (DEPTH, TILE + 2)
_TURNED = (WIDTH, STRIP + 1)
_FOUND = (STRIP, WIDTH)


@cuda.jit
def probe(out):
    """Write a one: what runs at all can run this."""
    out[0] = 1


@cuda.jit(device=True, inline="always")
def _largest_of_others(x, group, own, n, r):
    """The n-th largest of a group in one row without its member ``own``.

    It has fewer than n greater and at least n equal or greater ones among the others: by comparing all pairs, without
    local arrays, for any N:M.
    """
    found = float32(0.0)
    for a in range(group.shape[0]):
        value = x[group[a], r]
        above = 0
        level = 0
        for b in range(group.shape[0]):
            if b != own:
                other = x[group[b], r]
                if other > value:
                    above += 1
                elif other == value:
                    level += 1
        if a != own and above < n <= above + level:
            found = value
    return found


@cuda.jit(device=True, inline="always")
def _second_of_others(x, group, own, r):
    """The same for 2:4, a median of three, without branches."""
    row = uint64(r)
    a = x[uint64(group[uint64(own + 1) % 4]), row]
    b = x[uint64(group[uint64(own + 2) % 4]), row]
    c = x[uint64(group[uint64(own + 3) % 4]), row]
    return max(min(a, b), min(max(a, b), c))


@cuda.jit
def thresholds(x, groups, members, n, out):
    """Write into ``out[k]`` the n-th largest, per row, of a group without its k-th chosen member.

    Grid: x covers the rows, y the rows of ``out``; those beyond the members are set to zero.
    """
    r = cuda.grid(1)
    k = cuda.blockIdx.y
    if r >= x.shape[1]:
        return
    if k >= members.shape[0]:
        out[k, r] = 0
        return
    group = groups[members[k, 0]]
    own = members[k, 1]
    out[k, r] = (
        _second_of_others(x, group, own, r)
        if n == 2 and group.shape[0] == 4
        else _largest_of_others(x, group, own, n, r)
    )


@cuda.jit(device=True, inline="always")
def _sum_of_lanes(partial, lane, total):
    """Leave in ``partial[0]`` the sum of what all LANES threads of a block have, always in the same order."""
    partial[lane] = total
    cuda.syncthreads()
    reach = LANES // 2
    while reach > 0:
        if lane < reach:
            partial[lane] += partial[lane + reach]
        cuda.syncthreads()
        reach //= 2


@cuda.jit
def own_differences(x, groups, members, t, out):
    """Write into ``out[k, s]`` the sum of ``|t[k] - x[own column]|`` over the s-th span of rows; a block per (k, s)."""
    partial = cuda.shared.array(LANES, float64)
    k = cuda.blockIdx.x
    s = cuda.blockIdx.y
    lane = cuda.threadIdx.x
    column = groups[members[k, 0], members[k, 1]]
    total = float64(0.0)
    for r in range(s * SPAN + lane, min((s + 1) * SPAN, x.shape[1]), LANES):
        total += float64(abs(t[k, r] - x[column, r]))
    _sum_of_lanes(partial, lane, total)
    if lane == 0:
        out[k, s] = float32(partial[0])


@cuda.jit(device=True, inline="always")
def _largest(x, group, n, r):
    """Sum of the n largest of a group in one row: those with fewer than n ahead, equals in the order of the group."""
    total = float64(0.0)
    for a in range(group.shape[0]):
        value = x[group[a], r]
        ahead = 0
        for b in range(group.shape[0]):
            other = x[group[b], r]
            if other > value or (other == value and b < a):
                ahead += 1
        if ahead < n:
            total += float64(value)
    return total


@cuda.jit(device=True, inline="always")
def _two_of_four(x, group, r):
    """The same for 2:4 without branches, in some 75 instructions where the general way takes 1500."""
    row = uint64(r)
    a = x[uint64(group[0]), row]
    b = x[uint64(group[1]), row]
    c = x[uint64(group[2]), row]
    d = x[uint64(group[3]), row]
    high1 = max(a, b)
    high2 = max(c, d)
    second = max(min(high1, high2), max(min(a, b), min(c, d)))
    return float64(max(high1, high2)) + float64(second)


@cuda.jit
def kept(x, groups, n, out):
    """Write into ``out[g, s]`` what a group keeps of the s-th stretch of rows, in float64; a block per (g, s)."""
    partial = cuda.shared.array(LANES, float64)
    g = cuda.blockIdx.x
    s = cuda.blockIdx.y
    lane = cuda.threadIdx.x
    m = groups.shape[1]
    total = float64(0.0)
    for r in range(s * STRETCH + lane, min((s + 1) * STRETCH, x.shape[1]), LANES):
        total += _two_of_four(x, groups[g], r) if n == 2 and m == 4 else _largest(x, groups[g], n, r)
    _sum_of_lanes(partial, lane, total)
    if lane == 0:
        out[g, s] = partial[0]


@cuda.jit(device=True, inline="always")
def _four(values, k, first):
    """Four values of a row in shared memory, SIDE apart."""
    k = uint64(k)
    return (
        values[k, uint64(first)],
        values[k, uint64(first + SIDE)],
        values[k, uint64(first + 2 * SIDE)],
        values[k, uint64(first + 3 * SIDE)],
    )


@cuda.jit(device=True, inline="always")
def _add(s, t, x):
    """Add to sixteen sums the differences of four thresholds and four entries."""
    return (
        s[0] + abs(t[0] - x[0]),
        s[1] + abs(t[0] - x[1]),
        s[2] + abs(t[0] - x[2]),
        s[3] + abs(t[0] - x[3]),
        s[4] + abs(t[1] - x[0]),
        s[5] + abs(t[1] - x[1]),
        s[6] + abs(t[1] - x[2]),
        s[7] + abs(t[1] - x[3]),
        s[8] + abs(t[2] - x[0]),
        s[9] + abs(t[2] - x[1]),
        s[10] + abs(t[2] - x[2]),
        s[11] + abs(t[2] - x[3]),
        s[12] + abs(t[3] - x[0]),
        s[13] + abs(t[3] - x[1]),
        s[14] + abs(t[3] - x[2]),
        s[15] + abs(t[3] - x[3]),
    )


@cuda.jit(device=True, inline="always")
def _put_one(out, row, j, width, own, opens, total):
    """Add half of (sum - own) to an entry, if there is such a column; by the span that opens the sum it is set."""
    if j < width:
        part = float32(0.5) * (total - own)
        z = cuda.blockIdx.z
        out[z, row, j] = part if opens else out[z, row, j] + part


@cuda.jit(device=True, inline="always")
def _put_row(out, targets, own, k, j, width, span, opens, a, b, c, d):
    """Four entries of a member, SIDE apart, if there is such a member."""
    if k < targets.shape[0]:
        row = targets[k]
        held = own[k, span]
        _put_one(out, row, j, width, held, opens, a)
        _put_one(out, row, j + SIDE, width, held, opens, b)
        _put_one(out, row, j + 2 * SIDE, width, held, opens, c)
        _put_one(out, row, j + 3 * SIDE, width, held, opens, d)


@cuda.jit(device=True, inline="always")
def _put(out, targets, own, k, j, width, span, opens, s):
    """Sixteen entries: four members and four columns, SIDE apart."""
    _put_row(out, targets, own, k, j, width, span, opens, s[0], s[1], s[2], s[3])
    _put_row(out, targets, own, k + SIDE, j, width, span, opens, s[4], s[5], s[6], s[7])
    _put_row(out, targets, own, k + 2 * SIDE, j, width, span, opens, s[8], s[9], s[10], s[11])
    _put_row(out, targets, own, k + 3 * SIDE, j, width, span, opens, s[12], s[13], s[14], s[15])


@cuda.jit(**_TWO_BLOCKS)
def exchange_rows(x, t, own, columns, targets, width, each, out):
    """Write ``out[z, targets[k], j] = sum(|t[k] - x[columns[j]]| - |t[k] - x[own column]|) / 2``, summed over part z.

    Grid: x covers the columns, y the members, TILE a block; z are the parts, ``each`` spans of rows each. Rows, members
    and columns are filled up to whole slabs and tiles, so that loads need no conditions.

    Parameters
    ----------
    x : float32 (columns with padding, rows filled up to a multiple of DEPTH by zeros)
        Saliency, columns first.
    t : float32 (count filled up to a multiple of TILE by zeros, rows like x)
        Thresholds of the members.
    own : float32 (count, spans)
        See :func:`own_differences`.
    columns : int64 (width filled up to a multiple of TILE by any columns,)
        The columns that may come in.
    targets : int64 (count,)
        Row of ``out`` for each member.
    width : int
        Number of columns.
    each : int
        Spans of a part.
    out : float32 (parts, any, width)
        Receives the entries.
    """
    ts = cuda.shared.array(_SLAB, float32)
    xs = cuda.shared.array(_SLAB, float32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    rows = x.shape[1]
    first_member = cuda.blockIdx.y * TILE + ty
    first_column = cuda.blockIdx.x * TILE
    zero = float32(0.0)
    zeros = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    opening = cuda.blockIdx.z * each
    for span in range(opening, min(opening + each, (rows + SPAN - 1) // SPAN)):
        s00 = zeros
        s01 = zeros
        s10 = zeros
        s11 = zeros
        for start in range(span * SPAN, min((span + 1) * SPAN, rows), DEPTH):
            r = uint64(start + tx)
            for a in range(0, TILE, SIDE):
                ts[uint64(tx), uint64(a + ty)] = t[uint64(first_member + a), r]
                xs[uint64(tx), uint64(a + ty)] = x[uint64(columns[uint64(first_column + a + ty)]), r]
            cuda.syncthreads()
            for depth in range(DEPTH):
                t0 = _four(ts, depth, ty)
                t1 = _four(ts, depth, ty + 4 * SIDE)
                x0 = _four(xs, depth, tx)
                x1 = _four(xs, depth, tx + 4 * SIDE)
                s00 = _add(s00, t0, x0)
                s01 = _add(s01, t0, x1)
                s10 = _add(s10, t1, x0)
                s11 = _add(s11, t1, x1)
            cuda.syncthreads()
        k = first_member
        j = first_column + tx
        opens = span == opening
        _put(out, targets, own, k, j, width, span, opens, s00)
        _put(out, targets, own, k, j + 4 * SIDE, width, span, opens, s01)
        _put(out, targets, own, k + 4 * SIDE, j, width, span, opens, s10)
        _put(out, targets, own, k + 4 * SIDE, j + 4 * SIDE, width, span, opens, s11)


@cuda.jit
def add_parts(parts, targets, out):
    """Write into ``out[targets[k], j]`` the sum of ``parts[:, k, j]``; grid: x covers j, y is k."""
    j = cuda.grid(1)
    k = cuda.blockIdx.y
    if j < parts.shape[2]:
        total = float32(0.0)
        for z in range(parts.shape[0]):
            total += parts[z, k, j]
        out[targets[k], j] = total


@cuda.jit
def best_partners(e, where, real, gains, partners):
    """For each column the column of another group with which a swap gains most, the first of equals; -1 when none does.

    A block owns STRIP members and walks over all columns, WIDTH at once; of the transposed entries it reads STRIP
    neighbouring ones, a whole sector of memory, and turns them in shared memory.

    Parameters
    ----------
    e : float32 (columns, columns)
        Exchange matrix.
    where : int64 (columns,)
        Group of each column.
    real : int
        Columns below it may move.
    gains : float32 (columns,)
        Receives what the swap gains, 0 when none does.
    partners : int64 (columns,)
        Receives the other column.
    """
    turned = cuda.shared.array(_TURNED, float32)
    found = cuda.shared.array(_FOUND, float32)
    found_at = cuda.shared.array(_FOUND, int64)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    width = e.shape[0]
    first = cuda.blockIdx.x * STRIP
    i = first + ty
    flat = ty * WIDTH + tx
    across = flat // STRIP
    along = flat % STRIP
    best = float32(0.0)
    best_at = -1
    for begin in range(0, width, WIDTH):
        if begin + across < width and first + along < width:
            turned[across, along] = e[begin + across, first + along]
        cuda.syncthreads()
        j = begin + tx
        if i < real and j < real and where[i] != where[j]:
            gain = e[i, j] + turned[tx, ty]
            if gain > best:
                best = gain
                best_at = j
        cuda.syncthreads()
    found[ty, tx] = best
    found_at[ty, tx] = best_at
    cuda.syncthreads()
    if tx == 0 and i < width:
        for other in range(1, WIDTH):
            gain = found[ty, other]
            at = found_at[ty, other]
            if gain > best or (gain == best and 0 <= at < best_at):
                best = gain
                best_at = at
        gains[i] = best
        partners[i] = best_at
