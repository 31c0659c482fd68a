"""Exceptions raised by permsolve; all derive from :class:`PermsolveError`."""


class PermsolveError(Exception):
    """Base of every error that permsolve raises on purpose."""


class InvalidPatternError(PermsolveError, ValueError):
    """The text or numbers given do not make an N:M pattern."""


class InvalidProblemError(PermsolveError, ValueError):
    """The weight or saliency given cannot be a permutation problem."""


class InvalidSolutionError(PermsolveError, ValueError):
    """A permutation does not fit its problem."""


class InvalidOptionError(PermsolveError, ValueError):
    """An argument of :func:`permsolve.solve` or an option of a solver has a value it cannot have."""


class MemoryLimitError(InvalidOptionError):
    """A memory limit is less than what one layer needs alone, or memory ran out.

    Attributes
    ----------
    limit : int or None
        Bytes; None where memory ran out.
    needed : int
        Bytes that the layer needs alone, or that all sums need at a time.
    layer : str
        Name of the weight, or of the one that needs most.
    alone : bool
        Whether memory ran out for this layer alone, so that no limit would have helped.
    """

    def __init__(self, limit: int | None, needed: int, layer: str, alone: bool = False) -> None:
        super().__init__(limit, needed, layer, alone)
        self.limit, self.needed, self.layer, self.alone = limit, needed, layer, alone

    def __str__(self) -> str:
        if self.alone:
            return (
                f"out of memory: the moments of {self.layer} alone need {self.needed} bytes: leave it out with exclude="
            )
        if self.limit is None:
            return (
                f"out of memory: the moments need {self.needed} bytes at a time, those of {self.layer} the most: give "
                "a smaller memory_limit= (bytes at a time) with spool= (a folder), smaller batches, or leave layers "
                "out with exclude="
            )
        return (
            f"memory_limit={self.limit} is less than the {self.needed} bytes that {self.layer} needs alone: give more, "
            "leave it out with exclude=, or calibrate with moments='diagonal'"
        )


class UnknownSolverError(PermsolveError, LookupError):
    """No solver is registered under the name given."""


class UnknownSaliencyError(PermsolveError, LookupError):
    """No saliency is registered under the name given."""


class SolverUnavailableError(PermsolveError, ImportError):
    """The solver is known, but a package that it needs is not installed."""


class UnsupportedProblemError(PermsolveError, ValueError):
    """The solver cannot take this problem (its size or its pattern)."""


class FileFormatError(PermsolveError, ValueError):
    """A file cannot be read as what it should be."""


class InvalidCertificateError(PermsolveError, ValueError):
    """A result or its proof does not hold: what :func:`permsolve.verify` found wrong."""


class InvalidNetworkError(PermsolveError, ValueError):
    """A network, or one of its weights, cannot be pruned as it is."""


class MissingPackageError(PermsolveError, ImportError):
    """A feature needs a package that is not installed."""


class UntraceableError(PermsolveError, ValueError):
    """A model cannot be turned into a graph of operators."""


class InvalidSpecError(PermsolveError, ValueError):
    """Axis groups, or a report of a permutation, contradict themselves or do not fit a model."""


class VerificationError(PermsolveError, RuntimeError):
    """A permuted network would compute something else; its weights are as they were before."""
