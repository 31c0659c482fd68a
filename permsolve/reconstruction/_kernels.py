"""Parts of matrices of moments, and exchanges of kept and dropped inputs in the tableau of a regression."""

import numpy as np

from permsolve.jit import njit


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def fit_rows(matrix, mask, target, fitted):
    """Solve ``matrix[s][:, s] x = target[r, s]`` for what each row keeps; ValueError where that is not definite."""
    for r in range(mask.shape[0]):
        support = np.flatnonzero(mask[r])
        count = support.shape[0]
        if count == 0:
            continue
        square = np.empty((count, count))
        for i in range(count):
            source = matrix[support[i]]
            for j in range(count):
                square[i, j] = source[support[j]]
        factor = np.linalg.cholesky(square)  # lower, column by column
        x = target[r][support]
        for j in range(count):
            x[j] /= factor[j, j]
            for i in range(j + 1, count):
                x[i] -= factor[i, j] * x[j]
        for j in range(count - 1, -1, -1):
            total = x[j]
            for i in range(j + 1, count):
                total -= factor[i, j] * x[i]
            x[j] = total / factor[j, j]
        for i in range(count):
            fitted[r, support[i]] = x[i]


@njit(cache=True, nogil=True, error_model="numpy")
def descend(tableau, column, error, kept, free, groups, tolerance):
    """Make the best exchange again and again, in place; True when none gains any more, False when out of room."""
    width = column.shape[0]
    count, m = groups.shape
    inside = np.zeros((count, m, m))  # the entries of the tableau within the groups, up to date
    for g in range(count):
        for a in range(m):
            for b in range(m):
                if groups[g, a] >= 0 and groups[g, b] >= 0:
                    inside[g, a, b] = tableau[groups[g, a], groups[g, b]]
    columns = np.empty((width, width))  # of the pivots, as they were when these were made
    pivots = np.empty(width, np.int64)
    signs = np.empty(width)
    made = 0
    while made + 2 <= width:
        best = -tolerance * error
        best_in = best_out = -1
        for g in range(count):
            for a in range(m):
                j = groups[g, a]
                if j < 0 or kept[j] or not free[j]:
                    continue
                spread = inside[g, a, a]
                step = column[j] / spread
                for b in range(m):
                    i = groups[g, b]
                    if i < 0 or not kept[i]:
                        continue
                    cross = inside[g, a, b]
                    left = column[i] - cross * step
                    change = left * left / (cross * cross / spread - inside[g, b, b]) - column[j] * step
                    if change < best:
                        best, best_in, best_out = change, j, i
        if best_in < 0:
            return True
        error += best
        for chosen, sign in ((best_in, 1.0), (best_out, -1.0)):
            _column(tableau, columns, pivots, signs, made, chosen)
            pivots[made], signs[made] = chosen, sign
            _pivot(inside, groups, columns[made], column, chosen, sign)
            kept[chosen] = sign > 0.0
            made += 1
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _column(tableau, columns, pivots, signs, made, chosen):
    """Write a column of the tableau as it is after the pivots into ``columns[made]``."""
    current = columns[made]
    start = 0
    current[:] = tableau[chosen]
    for t in range(made - 1, -1, -1):
        if pivots[t] == chosen:  # the pivot made it anew
            scale = signs[t] / columns[t, chosen]
            current[:] = columns[t] * scale
            current[chosen] = -1.0 / columns[t, chosen]
            start = t + 1
            break
    for t in range(start, made):
        pivot = pivots[t]
        factor = columns[t, chosen] / columns[t, pivot]
        current -= columns[t] * factor
        current[pivot] = signs[t] * factor


@njit(cache=True, nogil=True, error_model="numpy")
def _pivot(inside, groups, pivoted, column, chosen, sign):
    """Sweep on an input (sign 1) or back (-1): what is kept up to date."""
    count, m = groups.shape
    scale = 1.0 / pivoted[chosen]
    for g in range(count):
        for a in range(m):
            i = groups[g, a]
            if i < 0:
                continue
            factor = pivoted[i] * scale
            for b in range(m):
                j = groups[g, b]
                if j < 0:
                    continue
                if i == chosen:
                    inside[g, a, b] = -scale if j == chosen else sign * pivoted[j] * scale
                elif j == chosen:
                    inside[g, a, b] = sign * factor
                else:
                    inside[g, a, b] -= factor * pivoted[j]
    factor = column[chosen] * scale
    column -= pivoted * factor
    column[chosen] = sign * factor
