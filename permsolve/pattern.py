"""N:M sparsity patterns."""

import re
from dataclasses import dataclass

from permsolve.checks import is_whole
from permsolve.errors import InvalidPatternError

MAX_M = 32


@dataclass(frozen=True, slots=True, order=True)
class Pattern:
    """Keep at most ``n`` of every ``m`` consecutive entries of a row.

    Parameters
    ----------
    n : int
        Entries kept in each group, ``1 <= n < m``.
    m : int
        Entries in each group, ``m <= 32``.

    Raises
    ------
    InvalidPatternError
        When the numbers do not satisfy ``1 <= n < m <= 32``.

    Examples
    --------
    >>> Pattern.parse("2:4")
    Pattern(n=2, m=4)
    >>> str(Pattern(1, 2))
    '1:2'
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not (is_whole(self.n) and is_whole(self.m)):
            raise InvalidPatternError(
                f"a pattern needs two integers, got {self.n!r} and {self.m!r}; for example Pattern(2, 4)"
            )
        object.__setattr__(self, "n", int(self.n))
        object.__setattr__(self, "m", int(self.m))
        if not 1 <= self.n < self.m <= MAX_M:
            raise InvalidPatternError(
                f"pattern {self.n}:{self.m} is impossible: choose 1 <= N < M <= {MAX_M}, for example 2:4"
            )

    @classmethod
    def parse(cls, text: "str | Pattern") -> "Pattern":
        """Read a pattern written as ``"N:M"``; a :class:`Pattern` is returned as it is.

        Raises
        ------
        InvalidPatternError
            When the text is not two integers joined by a colon, or they make no pattern.
        """
        if isinstance(text, Pattern):
            return text
        match = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", text, re.ASCII) if isinstance(text, str) else None
        if match is None:
            raise InvalidPatternError(f"cannot read {text!r} as a pattern: write it as N:M, for example 2:4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    def group_count(self, columns: int) -> int:
        """Number of groups that ``columns`` columns fall into; the last one may be short."""
        return -(-columns // self.m)

    def kept_per_row(self, columns: int) -> int:
        """Number of entries of a row of ``columns`` entries that the pattern keeps."""
        full, rest = divmod(columns, self.m)
        return full * self.n + min(self.n, rest)
