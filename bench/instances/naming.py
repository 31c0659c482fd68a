"""Names of generated instances: ``FAMILY-ROWSxCOLUMNS@SEED``, and ``~VARIANT+N:M`` at the end of any name."""

import re
from dataclasses import dataclass

from bench.instances.errors import UnknownInstanceError
from permsolve import Pattern
from permsolve.errors import InvalidPatternError

DEFAULT_FAMILY = "uniform"
DEFAULT_SEED = 1
DEFAULT_PATTERN = Pattern(2, 4)
# What numpy's legacy generator takes.
MAX_SEED = 2**32 - 1

# Words of the variants, before their percentage.
ZEROS, NOISE = "", "noise"

_VARIANT = re.compile(rf"(?P<kind>{NOISE}|{ZEROS})(?P<percent>\d{{1,2}}(?:\.\d)?)", re.ASCII)
_GENERATED = re.compile(
    r"(?:(?P<family>[a-z]\w*)-)?(?P<rows>\d{1,7})x(?P<columns>\d{1,7})(?:@(?P<seed>\d{1,10}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Generated:
    """What the name of a generated instance says, its pattern apart."""

    family: str
    rows: int
    columns: int
    seed: int

    @classmethod
    def parse(cls, text: str) -> "Generated | None":
        """Read ``FAMILY-ROWSxCOLUMNS@SEED`` (uniform and seed 1 unless given); None when it is no such name.

        Raises
        ------
        UnknownInstanceError
            When a number in it is out of range.
        """
        match = _GENERATED.fullmatch(text)
        if match is None:
            return None
        rows, columns = int(match["rows"]), int(match["columns"])
        seed = DEFAULT_SEED if match["seed"] is None else int(match["seed"])
        if rows == 0 or columns == 0:
            raise UnknownInstanceError(f"{text}: a matrix needs at least one row and one column")
        if seed > MAX_SEED:
            raise UnknownInstanceError(f"{text}: a seed is at most {MAX_SEED}")
        return cls(match["family"] or DEFAULT_FAMILY, rows, columns, seed)

    def __str__(self) -> str:
        return f"{self.family}-{self.rows}x{self.columns}@{self.seed}"


def split_pattern(name: str, pattern: Pattern | str | None) -> tuple[str, Pattern]:
    """The name without its pattern, and the pattern: the name's, else the one given, else 2:4.

    Raises
    ------
    UnknownInstanceError
        When the name's own pattern is impossible, or another one than the pattern given.
    InvalidPatternError
        When the pattern given is impossible.
    """
    given = None if pattern is None else Pattern.parse(pattern)
    stem, plus, suffix = name.partition("+")
    if not plus:
        return stem, given or DEFAULT_PATTERN
    try:
        own = Pattern.parse(suffix)
    except InvalidPatternError as error:
        raise UnknownInstanceError(f"{name}: {error}") from error
    if given is not None and given != own:
        raise UnknownInstanceError(f"{name} has a pattern of its own: it cannot have {given}")
    return stem, own


def split_variant(stem: str) -> tuple[str, tuple[str, float] | None]:
    """The name without its last ``~VARIANT``, and the variant: its word and its share; None when there is none.

    Raises
    ------
    UnknownInstanceError
        When what follows the last ``~`` is no variant.
    """
    base, tilde, text = stem.rpartition("~")
    if not tilde:
        return stem, None
    match = _VARIANT.fullmatch(text)
    if match is None:
        raise UnknownInstanceError(
            f"{stem}: write the percentage of zeros as a number below 100, for example ~65, and noise, in percent of "
            "the standard deviation, as ~noise1"
        )
    return base, (match["kind"], float(match["percent"]) / 100.0)


def join_variant(stem: str, kind: str, share: float) -> str:
    """The name with a variant at its end; the inverse of :func:`split_variant`."""
    return f"{stem}~{kind}{round(100.0 * share, 1):g}"


def join_pattern(stem: str, pattern: Pattern) -> str:
    """The whole name; 2:4 is not said."""
    return stem if pattern == DEFAULT_PATTERN else f"{stem}+{pattern}"
