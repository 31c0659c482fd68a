"""Permute a whole network so that N:M keeps more of it, without changing its function."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from math import inf
from time import perf_counter

from torch import nn

from permsolve.api import checked_seed, checked_time_limit, checked_workers, default_seconds
from permsolve.checks import require
from permsolve.errors import InvalidNetworkError, InvalidProblemError
from permsolve.networks.applying import check_movable, put_, take_
from permsolve.networks.calibration.calibration import Calibration
from permsolve.networks.claims import Claims
from permsolve.networks.coverage import covered, moved, output_orders, reasons
from permsolve.networks.fitting import check_fits
from permsolve.networks.gathering import gathered_weight, insert_, obstacle, with_gathers
from permsolve.networks.interleaving import Interleaved, interleaved
from permsolve.networks.matrices import Matrices
from permsolve.networks.ordering import ROUNDING, Ordering
from permsolve.networks.prunable import NameFilter, PrunableWeight, layouts_of, prunable_weights
from permsolve.networks.pruning.mask import NMMask
from permsolve.networks.report import Report
from permsolve.networks.solving import SHORTEST, solve_all
from permsolve.networks.spec import INPUT_AXIS, Positions, Spec
from permsolve.networks.stacking import Stack, consumers_of, stack
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace import trace
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import check_module
from permsolve.networks.trace.tensors import strange
from permsolve.networks.transaction import all_or_nothing, apart, transaction
from permsolve.networks.verify import Reference
from permsolve.networks.worth import Worth
from permsolve.networks.writing import check_present
from permsolve.pattern import Pattern
from permsolve.registry import get_solver
from permsolve.result import Result
from permsolve.saliency import AnySaliency, get_saliency
from permsolve.stopping import StoppingCriterion

Solved = tuple[Stack, Positions, Result]

# Largest share of the time limit that is left to groups that are ordered where they stand.
_RESERVED = 0.25


@undisturbed
@all_or_nothing
def permute_(
    model: nn.Module,
    example_inputs: ExampleInputs,
    pattern: Pattern | str = "2:4",
    *,
    solver: str = "auto",
    time_limit: float | None = 60.0,
    stop: StoppingCriterion | Sequence[StoppingCriterion] | None = None,
    seed: int = 0,
    workers: int | None = None,
    saliency: AnySaliency = "magnitude",
    calibration: Calibration | None = None,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    verify: bool = True,
    gather: str = "never",
    free_outputs: Sequence[int | str] = (),
    executor: Executor | None = None,
    spec: Spec | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Permute, in place, every axis of a network that may be permuted, so that N:M keeps as much as possible.

    Parameters
    ----------
    model : Module
        The model. Its parameters and buffers are re-ordered; its function stays.
    example_inputs : tuple, dict, Tensor, Call, or list of these
        Arguments of a call: a tuple of positional ones, a dict of those by name, or a tensor, the only one; or a
        :class:`~permsolve.networks.Call`, which can also name another method. A list holds several calls: a model
        with several entry points or kinds of inputs needs them, since parameters that no call reaches stay as they
        are, and so does every axis that they may share (``report.notes`` says which).
    pattern : Pattern or str, default "2:4"
        The pattern.
    solver : str, default "auto"
        Name of a registered solver. Axes whose channels stand among those of others (after a channel shuffle) have no
        problem of their own and are ordered where they stand, when all others are (see
        :mod:`permsolve.networks.interleaving`).
    time_limit : float or None, default 60
        Seconds of search for the whole network, shared by work; None for as many as :func:`permsolve.solve` would take
        for all axes, by their sizes, or, with ``stop``, for no limit.
    stop : stopping criterion or sequence of them, optional
        Ends the search of each axis (see :mod:`permsolve.stopping`). With ``time_limit=None`` and
        ``stop=MaxIterations(n)`` equal seeds give equal permutations on every machine, however busy it is.
    seed, workers
        See :func:`permsolve.solve`.
    saliency : str, callable or Saliency, default "magnitude"
        What each weight is worth (see :meth:`permsolve.Problem.from_weight`).
    calibration : Calibration, optional
        What the layers read (:func:`permsolve.networks.calibrate`), for a calibrated saliency: of all layers that weigh
        in. Afterwards ``calibration.permuted(report)`` is that of the permuted model.
    include, exclude : str, iterable of str, or callable, optional
        Which layers will be pruned, by name (see :func:`permsolve.networks.prune_`): only they weigh in. Others follow.
    verify : bool, default True
        Whether to compare outputs before and after, on copies in float64.
    gather : {"never", "allowed"}, default "never"
        Whether a layer that is to be pruned, and whose input its producers cannot deliver in the order that it wants,
        may get a :class:`~permsolve.networks.gathering.Gather` in front (its submodule ``input_gather``): an
        index-select in every call, whose cost is in ``report.gathered``. Layers that gain nothing by it get none.
    free_outputs : sequence of int or str, optional
        Outputs, by position or name, that may come out in another order; the report says in which.
    executor : Executor, optional
        Where to solve axes side by side: any of ``concurrent.futures``, or of a cluster.
    spec : Spec, optional
        The axis groups, from :func:`trace` or written by hand, instead of a trace. Its names and shapes must be the
        model's. What it says of parameters that the example does not reach is taken as said.
    progress : callable, optional
        Called with the numbers of problems solved and of problems in all.

    Returns
    -------
    Report
        What was permuted and gained.

    Raises
    ------
    UntraceableError
        When the model cannot be exported and no ``spec`` is given.
    VerificationError
        When outputs differ, or something moves that belongs to no axis group that the example reaches; then every
        weight is as before, bit for bit.
    InvalidSpecError
        When ``spec`` is not that of this model.
    InvalidNetworkError
        When weights are under masks of :func:`permsolve.networks.prune_`, or have no values yet, or when the model is
        no module, or cannot be copied or called for verification.
    InvalidOptionError, InvalidPatternError, InvalidProblemError, UnknownSolverError
        When an argument cannot be used, a weight holds NaN or infinity, or its calibration is missing or does not fit.

    Notes
    -----
    Memory: beside the model one stacked problem in float32 (rows times columns of one axis group) at a time, or all of
    them with an executor; then, for an axis that is ordered where it stands, all of the weights that read it in
    float32; with ``verify`` one copy of the model in float64 (``python -m bench.networks.memory`` measures it). Tracing
    takes the shapes only.

    Ctrl-C ends all of it, as an error does: every weight is as before then, bit for bit. On an executor, searches that
    have begun go on to their time limit, and the others are taken back.

    Only what the example makes the model do is traced. Parameters that it does not reach hold every axis that their
    code may share (:mod:`permsolve.networks.trace.reach` says how that is known). But a branch without parameters of
    its own, such as one for inputs of another shape or a method that returns a hidden tensor, shows nowhere in the
    model: give its call as a further example.
    """
    parsed = Pattern.parse(pattern)
    worth = Worth(get_saliency(saliency), calibration)
    get_solver(solver)
    checked_time_limit(time_limit)
    checked_workers(workers)
    seed = checked_seed(seed)
    require(gather in ("never", "allowed"), "gather", "'never' or 'allowed'", gather)
    require(spec is None or isinstance(spec, Spec), "spec", "a Spec, as networks.trace returns", spec)
    require(executor is None or callable(getattr(executor, "submit", None)), "executor", "an Executor", executor)
    require(progress is None or callable(progress), "progress", "a function", progress)
    check_module(model)
    if spec is not None:
        check_fits(model, spec)
        spec = replace(spec, layouts=layouts_of(model, spec.aliases))
    _refuse_masks(model)
    check_present(model)
    chosen = _chosen(model, include, exclude)
    worth = worth.checked(chosen)
    before = sum(_kept(weight, parsed, worth) for weight in chosen)
    traced = spec if spec is not None else trace(model, example_inputs, free_outputs=free_outputs)
    check_movable(model, traced)
    reference = Reference(model, example_inputs, seed) if verify else None
    stacks = _stacks(traced, chosen, parsed)
    wanted, obstacles = _to_gather(model, traced, chosen, stacks, parsed) if gather == "allowed" else ((), {})
    planned = with_gathers(model, traced, wanted)
    stacks = _stacks(planned, chosen, parsed)
    waiting = _interleaved(planned, chosen, stacks, parsed)
    if time_limit is None:
        works = [one.work for one in stacks] + [one.work for one in waiting]
        time_limit = sum(map(default_seconds, works)) if stop is None else inf
    share = _reserved(stacks, waiting)
    reserved = time_limit * share if share else 0.0
    deadline = perf_counter() + time_limit
    results = solve_all(
        stacks, parsed, worth, solver=solver, time_limit=time_limit * (1.0 - share), stop=stop, seed=seed,
        workers=workers, executor=executor, progress=progress,
    )  # fmt: skip
    solved = [(one, one.permutation(result.permutation), result) for one, result in zip(stacks, results, strict=True)]
    gathered = _worthwhile(wanted, solved, parsed, worth)
    groups = with_gathers(model, traced, gathered)
    among = _interleaved(groups, chosen, stacks, parsed)
    names = {one.group.name for one in stacks} | {one.group.name for one in among}
    ordering = Ordering(model, groups, names, chosen, parsed, worth)
    permutations = ordering.permutations
    with transaction() as search:
        insert_(model, groups, gathered)
        returned = {
            one.group.name: result
            for one, permutation, result in solved
            if one.group.name in ordering.groups and ordering.put(one.group.name, permutation)
        }
        ordering.improve(among, max(SHORTEST, reserved, deadline - perf_counter()), seed)
        kept = ordering.reports(returned)
        orders = output_orders(groups, permutations)
        error = None
        if reference is not None:
            search.undo()  # the model is as it was while copies of it are compared
            with apart():
                error = reference.error(
                    lambda copy: put_(copy, groups, permutations, gathered),
                    lambda copy: take_(copy, groups, permutations, gathered),
                    orders,
                )
            claims = Claims(model, groups, permutations)
            put_(model, groups, permutations, gathered)
            claims.check(model)
        matrices = Matrices.of(model)
        everything = matrices.weights
        permuted = {weight.name: entries for weight in everything if (entries := moved(weight, groups, permutations))}
        return Report(
            pattern=parsed,
            spec=groups,
            groups=kept,
            permuted_inputs=tuple(permuted),
            coverage=_share(sum(permuted.values()), matrices.multiplied),
            share=_share(sum(permuted.values()), matrices.entries),
            skipped=reasons(matrices, chosen, groups, permutations, parsed, obstacles),
            value_before=before,
            value_after=sum(_kept(weight, parsed, ordering.worth) for weight in chosen),
            max_relative_error=error,
            outputs=orders,
            gathered={name: traced.readers[name].entries for name in gathered},
            notes={**groups.notes, **(reference.notes if reference is not None else {}), **worth.notes()},
        )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _refuse_masks(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, NMMask):
            raise InvalidNetworkError(
                f"{name.partition('.parametrizations.')[0]} is under a mask of prune_, and a permutation would break "
                "up its groups: permute before pruning, or make the zeros final with networks.finalize_ first"
            )


def _chosen(model: nn.Module, include: NameFilter | None, exclude: NameFilter | None) -> tuple[PrunableWeight, ...]:
    """The weights that weigh in: those that are chosen, not empty, and dense real tensors."""
    weights = prunable_weights(model, include, exclude)
    return tuple(weight for weight in weights if weight.tensor.numel() and strange(weight.tensor) is None)


def _kept(weight: PrunableWeight, pattern: Pattern, worth: Worth) -> float:
    """What N:M keeps of a weight; one that cannot be scored is named."""
    try:
        return worth.kept(weight, pattern)
    except InvalidProblemError as error:
        raise InvalidProblemError(f"{weight.name}: {error}") from error


def _stacks(spec: Spec, chosen: Sequence[PrunableWeight], pattern: Pattern) -> list[Stack]:
    stacks = (stack(group, consumers_of(group, chosen, spec.aliases), pattern) for group in spec.groups)
    return [one for one in stacks if one is not None]


def _interleaved(
    spec: Spec, chosen: Sequence[PrunableWeight], stacks: Sequence[Stack], pattern: Pattern
) -> list[Interleaved]:
    known = {one.group.name: one for one in stacks}
    found = (
        interleaved(group, consumers_of(group, chosen, spec.aliases), known.get(group.name), pattern)
        for group in spec.groups
    )
    return [one for one in found if one is not None]


def _reserved(stacks: Sequence[Stack], among: Sequence[Interleaved]) -> float:
    """Share of the time that is left to groups that are ordered where they stand, which ends by itself, and soon."""
    work, rest = sum(one.work for one in stacks), sum(one.work for one in among)
    return min(_RESERVED, rest / (work + rest)) if rest else 0.0


def _to_gather(
    model: nn.Module, spec: Spec, chosen: Sequence[PrunableWeight], stacks: Sequence[Stack], pattern: Pattern
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Weights with columns that no problem orders, and why some of them cannot be read through a gather."""
    wanted, obstacles = [], {}
    for weight in chosen:
        names = {one.group.name for one in stacks if any(part.weight is weight for part, _ in one.parts)}
        if weight.tensor.shape[INPUT_AXIS] <= pattern.m or covered(weight, spec, names).all():
            continue
        why = obstacle(model, spec, weight.parameter)
        owner = spec.aliases.get(weight.parameter or weight.name, weight.parameter or weight.name)
        if why is None:
            wanted.append(owner)
        else:
            obstacles[owner] = why
    return tuple(wanted), obstacles


def _worthwhile(wanted: Sequence[str], solved: Sequence[Solved], pattern: Pattern, worth: Worth) -> tuple[str, ...]:
    """Those of the weights that N:M keeps more of in an order of their own."""
    found: dict[str, None] = {}
    for one, permutation, _ in solved:
        owner = gathered_weight(one.group)
        if owner is not None and owner in wanted:
            (consumer, _), *_ = one.parts
            order = consumer.use.order(permutation, consumer.tensor.shape[INPUT_AXIS])
            problem = consumer.problem(pattern, worth)
            if problem.value(order) > problem.baseline * (1 + ROUNDING):
                found[owner] = None
    return tuple(found)
