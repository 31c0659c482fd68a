"""What every two halves of groups would keep together, compiled."""

import numpy as np

from permsolve.jit import njit

# Rows at a time, and halves whose rows stay in the first-level cache while the others pass by.
BLOCK = 256
TILE = 8
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf"}  # saliencies are finite: sums may be vectorised


@njit(cache=True, nogil=True)
def _largest_sums(x, half, start, length, carry, out):
    """Write into ``out[t]`` the sum per row of the t largest entries of a half; members of -1 do not count."""
    levels = out.shape[0] - 1
    out[:, :length] = 0
    for position in range(half.shape[0]):
        if half[position] < 0:
            continue
        carry[:length] = x[half[position], start : start + length]
        for k in range(1, min(levels, position + 1) + 1):
            row = out[k]
            for r in range(length):
                value = carry[r]
                held = row[r]
                row[r] = max(value, held)
                carry[r] = min(value, held)
    for k in range(2, levels + 1):
        below = out[k - 1]
        row = out[k]
        for r in range(length):
            row[r] += below[r]


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _kept_1(a1, b1):
    total = np.float32(0.0)
    for r in range(a1.shape[0]):
        total += max(a1[r], b1[r])
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _kept_2(a1, a2, b1, b2):
    total = np.float32(0.0)
    for r in range(a1.shape[0]):
        total += max(max(a2[r], b2[r]), a1[r] + b1[r])
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _kept(a, b, n, length, best):
    """In general: t of the n kept come from one half, the others from the other half; the best t is right."""
    levels = a.shape[0] - 1
    least = n - levels
    one = a[least]
    other = b[levels]
    for r in range(length):
        best[r] = one[r] + other[r]
    for t in range(least + 1, levels + 1):
        one = a[t]
        other = b[n - t]
        for r in range(length):
            best[r] = max(best[r], one[r] + other[r])
    total = np.float32(0.0)
    for r in range(length):
        total += best[r]
    return total


@njit(cache=True, nogil=True)
def pair_values(x, halves, levels, n, apart, part, parts, out):
    """Add to ``out[i, j]`` and ``out[j, i]`` what halves i < j keep together.

    With ``levels`` the most of a group's n kept entries that can lie in one half, a row of two halves keeps the
    largest ``A[t] + B[n - t]``, n - levels <= t <= levels, where A and B are sums of a half's largest entries.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows), C order
        Saliency, columns first, >= 0 and finite.
    halves : ndarray of int64, shape (H, size)
        Columns of each half; -1 for none.
    levels, n : int
        See above.
    apart : bool
        Leave out pairs within the first H / 2 halves and within the last H / 2 ones.
    part, parts : int
        Which tiles of i to compute: numbers part, part + parts, ...
    out : ndarray of float64, shape (H, H)
        Zeros at first where this part writes.
    """
    rows = x.shape[1]
    count = halves.shape[0]
    block = min(BLOCK, rows)
    sums = np.empty((count, levels + 1, block), np.float32)
    scratch = np.empty(block, np.float32)
    last = count // 2 if apart else count
    for start in range(0, rows, block):
        length = min(block, rows - start)
        for i in range(count):
            _largest_sums(x, halves[i], start, length, scratch, sums[i])
        for begin in range(part * TILE, last, parts * TILE):
            end = min(begin + TILE, last)
            for j in range(last if apart else begin + 1, count):
                b = sums[j]
                for i in range(begin, min(end, j)):
                    a = sums[i]
                    if n == 1:
                        kept = _kept_1(a[1, :length], b[1, :length])
                    elif n == 2 and levels == 2:
                        kept = _kept_2(a[1, :length], a[2, :length], b[1, :length], b[2, :length])
                    else:
                        kept = _kept(a, b, n, length, scratch)
                    out[i, j] += np.float64(kept)
                    out[j, i] = out[i, j]
