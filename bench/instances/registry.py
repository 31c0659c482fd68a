"""Instances by name."""

from functools import partial
from pathlib import Path

from bench.instances.errors import unknown
from bench.instances.families import FAMILIES
from bench.instances.files import file_instances
from bench.instances.instance import Instance
from bench.instances.naming import Generated, join_pattern, split_pattern, split_variant
from bench.instances.trained import trained_instance, trained_names
from bench.instances.variants import VARIANTS
from permsolve import Pattern


def get_instance(name: str, pattern: Pattern | str | None = None, cache: Path | None = None) -> Instance:
    """The instance called ``name``; its weight is not made yet.

    Parameters
    ----------
    name : str
        ``FAMILY-ROWSxCOLUMNS@SEED`` (``uniform`` and seed 1 unless given), ``digits`` or ``NETWORK/LAYER``, each
        with ``~PERCENT`` at the end for that share of the smallest entries set to zero, ``~noisePERCENT`` for noise
        of that share of the standard deviation, and ``+N:M`` for another pattern than 2:4.
    pattern : Pattern or str, optional
        The pattern, for a name that does not say it.
    cache : Path, optional
        Folder of trained networks; that of the environment variable PERMSOLVE_BENCH_CACHE when not given.

    Raises
    ------
    UnknownInstanceError
        When the name means nothing, or what cannot be made.
    InvalidPatternError
        When the pattern is impossible.

    Examples
    --------
    >>> instance = get_instance("128x64@1")
    >>> instance.name, instance.load()
    ('uniform-128x64@1', Problem(128 x 64, 2:4))
    >>> get_instance("planted-8x16@3", "1:2").name
    'planted-8x16@3+1:2'
    """
    stem, parsed = split_pattern(name, pattern)
    base, variant = split_variant(stem)
    if variant is not None:
        return _varied(get_instance(base, parsed, cache), variant)
    generated = Generated.parse(stem)
    if generated is None:
        if stem not in trained_names():
            raise unknown("instance", stem, [*(f"{family}-128x64@1" for family in FAMILIES), *trained_names()])
        return trained_instance(stem, parsed, cache)
    if generated.family not in FAMILIES:
        raise unknown("family of instances", generated.family, FAMILIES)
    family = FAMILIES[generated.family]
    arguments = (generated.rows, generated.columns, generated.seed, parsed)
    return Instance(
        join_pattern(str(generated), parsed),
        generated.family,
        generated.rows,
        generated.columns,
        parsed,
        partial(family.generate, *arguments),
        None if family.optimum is None else partial(family.optimum, *arguments),
    )


def find_instance(name: str, file: Path | None = None, cache: Path | None = None) -> Instance:
    """The instance that has this whole name, from the user's own file when that is where it comes from.

    Raises
    ------
    UnknownInstanceError
        When neither the file nor the generators know the name.
    FileFormatError, OSError
        When the file cannot be read.
    """
    if file is None:
        return get_instance(name, None, cache)
    stem, pattern = split_pattern(name, None)
    base, variant = split_variant(stem)
    if variant is not None:
        return _varied(find_instance(join_pattern(base, pattern), file), variant)
    found = {instance.name: instance for instance in file_instances(file, pattern=pattern)}
    whole = join_pattern(stem, pattern)
    if whole not in found:
        raise unknown(f"instance in {file}:", whole, found)
    return found[whole]


def _varied(instance: Instance, variant: tuple[str, float]) -> Instance:
    kind, share = variant
    return VARIANTS[kind](instance, share)
