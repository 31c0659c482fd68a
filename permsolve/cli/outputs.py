"""Where results go: checked, and their space held, before any work is done; kept whatever happens meanwhile."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from permsolve.cli.text import printable
from permsolve.errors import InvalidOptionError
from permsolve.io.writing import Output, atomic_write, obstacle

STDOUT = "-"


def check_output(path: str | Path | None, option: str, suffixes: Iterable[str], *taken: Path | None) -> None:
    """Refuse an output that could not be written at the end, or that would replace an input.

    Parameters
    ----------
    path : path_like or None
        Where the output shall go; None and ``-`` are fine.
    option : str
        What it was given as, for the message.
    suffixes : iterable of str
        What its name may end in.
    *taken : Path or None
        Files that it must not be, and folders that it must not be in: what the command reads, and other outputs.

    Raises
    ------
    InvalidOptionError
        With the reason.
    """
    if path is None or path == STDOUT:
        return
    target = Path(path)
    allowed = tuple(suffixes)
    if target.suffix.lower() not in allowed:
        raise InvalidOptionError(f"{option} {target}: name it {' or '.join(allowed)}")
    for place in filter(None, taken):
        if target.exists() and place.exists() and target.samefile(place):
            raise InvalidOptionError(f"{option} {target}: that is the input; choose another name")
        if Path(os.path.realpath(place)) in Path(os.path.realpath(target)).parents:
            raise InvalidOptionError(f"{option} {target}: that is inside of {place}; choose another folder")
    if (reason := obstacle(target)) is not None:
        raise InvalidOptionError(f"{option} {target}: {reason}")
    folder = target.parent if not target.is_symlink() else Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise InvalidOptionError(f"{option} {target}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise InvalidOptionError(f"{option} {target}: the folder {folder} cannot be written to")


@contextmanager
def held(path: str | Path | None, space: int) -> Iterator[Output | None]:
    """The output at a path, with so many bytes held for it; None for none and for ``-``.

    Nothing is left of one that was not written.

    Raises
    ------
    OSError
        When it could not be written.
    """
    if path is None or path == STDOUT:
        yield None
        return
    with Output(path, space) as output:
        yield output


Writer = Callable[[str | os.PathLike[str]], object]


def keep_all(*results: tuple[Output | None, Writer]) -> None:
    """Write what a search has found, each to its output; to another place where that can no longer be written.

    Parameters
    ----------
    *results : tuple of Output or None and callable
        Outputs, and what writes each of them to a path; None is passed over.

    Raises
    ------
    OSError
        When one was written elsewhere, with the place, or could not be written at all.
    """
    failures = []
    for output, write in results:
        if output is None:
            continue
        try:
            write(output)
        except OSError as error:
            place = _elsewhere(Path(output).name, write)
            failures.append(OSError(error.errno, f"{error.strerror or error}: {_kept_at(place)}", os.fspath(output)))
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"{other.filename}: {other.strerror}")
        raise first


def print_kept(text: str) -> None:
    """Print a result as JSON; keep it in a file where standard output does not take it.

    Raises
    ------
    BrokenPipeError
        When the reader of it went away.
    OSError
        When it was written elsewhere, with the place, or could not be written at all.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        place = _elsewhere("result.json", lambda path: atomic_write(path, lambda stream: stream.write(text.encode())))
        raise OSError(error.errno, f"{error.strerror or error}: {_kept_at(place)}", "standard output") from error


def _kept_at(place: Path | None) -> str:
    return "and no other place takes it" if place is None else f"it was written to {printable(str(place))}"


def _elsewhere(name: str, write: Writer) -> Path | None:
    """Write what has no place any more to a folder of its own; where it lies, None when no disk takes it."""
    for around in (tempfile.gettempdir(), os.path.expanduser("~")):
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="permsolve-", dir=around))
            try:
                write(folder / name)
            except OSError:
                folder.rmdir()
                raise
            return folder / name
    return None
