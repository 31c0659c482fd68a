"""M = 2: the whole problem is one maximum-weight perfect matching of the columns.

The complete graph is thinned without losing the optimum. The assignment problem on the symmetric matrix
of pair values is the relaxation of the matching without its odd-set constraints; its dual gives each column
a price such that no pair is worth more than its two prices. The prices add up to an upper bound ``U``, and a
perfect matching that uses a pair whose prices exceed its value by ``slack`` keeps at most ``U - slack``. So, once
a matching of value ``V`` is known, pairs of slack above ``U - V`` cannot be in a better one, and the optimum
among the rest is the optimum.
"""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # its sparse relative can take for ever on near-ties (bidding wars)

from permsolve.certificate import Certificate, Node
from permsolve.cores import Threads
from permsolve.permutation import to_groups
from permsolve.problem import ROUNDING, Problem
from permsolve.run import Run
from permsolve.solver import Outcome
from permsolve_solvers.matching.graph import Nodes, edges_of, perfect_matching
from permsolve_solvers.set_partition.branch import Branching

Matrix = NDArray[np.float64]

# Entries read between two looks at the clock, by each worker.
SLICE = 1 << 24
# Pairs per column, those of least slack, in the matching that is to give a good first value.
NEAR = 10
# Room for the rounding of prices and slacks, as a share of the bound: more than float64 sums of this size lose.
MARGIN = 1e-11
# Most pairs left whose optimality is proven again by duality, for the certificate, and seconds for that.
MOST_PROVEN = 20_000
PROOF_SECONDS = 5.0
# Rounds of the price computation; prices that are not final then are put right afterwards, only the bound is weaker.
MAX_ROUNDS = 1000


def solve_pairs(problem: Problem, run: Run) -> Outcome:
    """Find and prove the optimum of a problem with M = 2.

    The clock is looked at between the steps; an assignment or matching that has begun runs to its end.
    """
    weights = pair_values(problem, run)
    if weights is None or run.should_stop():
        return Outcome()
    scale = int(np.frexp(weights.max())[1])
    weights = np.ldexp(weights, -scale)
    np.fill_diagonal(weights, -np.inf)
    prices, successor = column_prices(weights)
    bound = float(prices.sum())
    safe = float(np.ldexp(bound, scale)) * (1.0 + ROUNDING)
    node = Node(np.ldexp(prices, scale)).stating(ROUNDING * safe / problem.group_count, problem.group_count)
    certificate = Certificate("duals", node.bound, (node,))
    outcome = Outcome(bound=safe, certificate=certificate)
    if run.should_stop():
        return outcome
    slack = prices[:, None] + prices
    slack -= weights
    size = weights.shape[0]
    partner = np.empty(size, np.int64)
    groups = to_groups(run.permutation, problem.pattern)
    partner[groups[:, 0]] = groups[:, 1]
    partner[groups[:, 1]] = groups[:, 0]
    count = min(NEAR, size - 1)
    near = np.argpartition(slack, count - 1, axis=1)[:, :count]
    first, second = edges_of(np.column_stack([near, successor]), partner)
    partner = perfect_matching(size, first, second, weights[first, second])
    _offer(partner, problem, run)
    run.iteration += 1
    value = float(weights[np.arange(size), partner].sum()) / 2.0
    if bound - value <= ROUNDING / 2.0 * bound:
        return Outcome(proven=True, certificate=certificate)
    left = np.triu(slack <= bound - value + MARGIN * bound, 1)
    left[first, second] = False
    if left.any():
        if run.should_stop():
            return outcome
        left[first, second] = True
        first, second = np.nonzero(left)
        partner = perfect_matching(size, first, second, weights[first, second])
        _offer(partner, problem, run)
        run.iteration += 1
        value = float(weights[np.arange(size), partner].sum()) / 2.0
    return Outcome(proven=True, certificate=_proof(problem, run, weights, prices, scale, value))


def _proof(
    problem: Problem, run: Run, weights: Matrix, prices: NDArray[np.float64], scale: int, value: float
) -> Certificate | None:
    """Prices of columns and odd sets that prove the optimum by duality, branching where triples are not enough.

    None when that would take too long, or there are too many pairs left.
    """
    slack = prices[:, None] + prices - weights
    first, second = np.nonzero(np.triu(slack <= prices.sum() - value + MARGIN * prices.sum(), 1))
    if first.shape[0] > MOST_PROVEN:
        return None
    end = perf_counter() + min(PROOF_SECONDS, run.remaining)
    search = Branching(
        weights.shape[0], value, lambda: run.interrupted or perf_counter() > end, lambda: end - perf_counter()
    )
    nodes = search.run(np.column_stack([first, second]), weights[first, second], float(prices.sum()))
    if search.open_bound > search.cutoff:
        return None
    # The prices leave the pairs that they overvalue by rounding.
    root = Node(prices, children=1).stating(
        max(0.0, -float(slack[~np.eye(slack.shape[0], dtype=bool)].min())), problem.group_count
    )
    tree = tuple(node.scaled(scale) for node in (root, *nodes))
    return Certificate("branching", run.value, tree)


def _offer(partner: Nodes, problem: Problem, run: Run) -> None:
    """Offer a matching; the padding column, the last one if there is one, and its partner go to the end."""
    first = np.flatnonzero(partner > np.arange(partner.shape[0]))
    first = first[np.argsort(partner[first] >= problem.columns, kind="stable")]
    run.offer(np.column_stack([first, partner[first]]).ravel()[: problem.columns])


def pair_values(problem: Problem, run: Run) -> Matrix | None:
    """What each pair of columns keeps, by the scorer, symmetric; None when the run stopped meanwhile."""
    size = problem.group_count * 2
    values = np.zeros((size, size))
    ones, others = np.triu_indices(size, 1)
    step = max(1, SLICE // (2 * problem.rows))

    def fill(start: int) -> None:
        one, other = ones[start : start + step], others[start : start + step]
        kept = problem.group_values(np.column_stack([one, other]))
        values[one, other] = kept
        values[other, one] = kept

    with Threads(run.workers) as pool:
        for begin in range(0, ones.shape[0], step * run.workers):
            if run.should_stop():
                return None
            list(pool.map(fill, range(begin, min(begin + step * run.workers, ones.shape[0]), step)))
    return values


def column_prices(weights: Matrix) -> tuple[NDArray[np.float64], Nodes]:
    """Prices with ``prices[i] + prices[j] >= weights[i, j]`` for all i != j, of (nearly) least sum.

    The optimal assignment is scipy's; its dual solution follows by the Bellman-Ford method, made symmetric.

    Parameters
    ----------
    weights : ndarray of float64, shape (size, size)
        Symmetric, with -inf on the diagonal.

    Returns
    -------
    prices : ndarray of float64, shape (size,)
        The prices.
    successor : ndarray of int64, shape (size,)
        The optimal assignment: cycles of pairs that are worth just their prices; the even ones can be matched.
    """
    size = weights.shape[0]
    _, chosen = linear_sum_assignment(weights, maximize=True)
    held = weights[np.arange(size), chosen]
    column = np.zeros(size)
    work = np.empty_like(weights)
    for _ in range(MAX_ROUNDS):
        np.add(weights, (column[chosen] - held)[:, None], out=work)
        raised = np.maximum(work.max(axis=0), column)
        if not (raised > column + 1e-15 * size).any():
            break
        column = raised
    row = held - column[chosen]
    prices: NDArray[np.float64] = (row + column) / 2.0
    # Each column's least price given the others: of any two columns, the later one sees to their pair.
    for i in range(size):
        prices[i] = 0.0
        prices[i] = (weights[i] - prices).max()
    return prices, chosen
