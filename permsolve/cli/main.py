"""The commands: every failure becomes one line on stderr and an exit code."""

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from permsolve.cli.apply import apply
from permsolve.cli.bound import bound
from permsolve.cli.check import check
from permsolve.cli.compress import compress
from permsolve.cli.exit_codes import EPILOG, ExitCode
from permsolve.cli.gpu_report import gpu_report
from permsolve.cli.inspect import inspect
from permsolve.cli.lossless import lossless
from permsolve.cli.permute_checkpoint import permute_checkpoint
from permsolve.cli.solve import solve
from permsolve.cli.solvers import solvers
from permsolve.cli.streams import discard_stdout
from permsolve.cli.text import printable
from permsolve.errors import MissingPackageError, PermsolveError, SolverUnavailableError, UnsupportedProblemError

# Typer brings its own click; the base class of its usage errors is reached through the one it exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_TOO_LARGE = "out of memory: the matrix is too large for this machine"
# The variable that asks for the traceback of an internal error.
_TRACEBACK = "PERMSOLVE_TRACEBACK"


class _Commands(TyperGroup):
    """The commands, which are listed when one is asked for that does not exist."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None for what looks like an option."""
        found = super().get_command(ctx, cmd_name)
        if found is None and not cmd_name.startswith("-"):
            ctx.fail(f"No such command {cmd_name!r}: choose one of {', '.join(self.list_commands(ctx))}")
        return found


app = typer.Typer(
    name="permsolve",
    cls=_Commands,
    help="Re-order the columns of weight matrices so that N:M sparsity keeps more of them.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from permsolve import __version__

        typer.echo(f"permsolve {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Re-order the columns of weight matrices so that N:M sparsity keeps more of them."""


for command in (solve, apply, check, inspect, bound, lossless, solvers, permute_checkpoint, compress, gpu_report):
    app.command(epilog=EPILOG)(command)


@cache
def _command() -> Any:
    """The commands as click has them, whose making costs more than running a small one."""
    return get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name.

    Returns
    -------
    int
        The exit code (:class:`permsolve.cli.exit_codes.ExitCode`).
    """
    wanted = list(arguments) or ["--help"]
    try:
        with _remarks(quiet=not {"-q", "--quiet"}.isdisjoint(wanted)), warnings.catch_warnings():
            if not sys.warnoptions:
                # Numpy's remarks about overflow or old headers: the model checks what comes of them, in one line.
                warnings.simplefilter("ignore")
            code = _command()(args=wanted, prog_name="permsolve", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        return _fail(_usage_message(error), ExitCode.WRONG_INPUT, error)
    except (UnsupportedProblemError, SolverUnavailableError, MissingPackageError) as error:
        return _fail(str(error), ExitCode.SOLVER_REFUSES, error)
    except (BrokenPipeError, SystemExit):  # rich and click turn a broken pipe into an exit; nothing else exits
        discard_stdout()
        return ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted: nothing was written", ExitCode.INTERRUPTED)
    except MemoryError as error:
        return _fail(_TOO_LARGE, ExitCode.WRONG_INPUT, error)
    except OSError as error:
        if error.errno == errno.ENOMEM:  # what a memory map says
            return _fail(_TOO_LARGE, ExitCode.WRONG_INPUT, error)
        where = f"{error.filename}: " if error.filename else "reading or writing failed: "
        return _fail(f"{where}{error.strerror or error}", ExitCode.WRONG_INPUT, error)
    except PermsolveError as error:
        return _fail(str(error), ExitCode.WRONG_INPUT, error)
    except Exception as error:
        return _internal_error(error)
    if code == ExitCode.INTERRUPTED and not isinstance(code, ExitCode):
        # Ctrl-C that no command handled: typer swallows it and returns the bare number.
        return _fail("interrupted: nothing was written", ExitCode.INTERRUPTED)
    return code if isinstance(code, int) else ExitCode.OK


class _Remarks(logging.Handler):
    """Prints what the package logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        sys.stderr.write(f"permsolve: {printable(record.getMessage())}\n")


@contextmanager
def _remarks(*, quiet: bool) -> Iterator[None]:
    """Show warnings that the package logs, such as that compiled kernels can be kept nowhere."""
    handler = _Remarks(logging.ERROR if quiet else logging.WARNING)
    logger = logging.getLogger("permsolve")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _internal_error(error: Exception) -> int:
    """What nobody expected: its kind in a line, and how to see the place."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _fail("the system grants no more threads: raise its limit, or try --workers 1", ExitCode.WRONG_INPUT)
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    whose = "a fault of permsolve itself" if package in ("permsolve", "permsolve_solvers") else f"{package} failed"
    return _fail(f"{whose}: {kind} ({_TRACEBACK}=1 shows where)", ExitCode.INTERNAL_ERROR, error)


def _usage_message(error: Any) -> str:
    """What Typer says, and the value that it is about, which some of its versions leave in pydantic's error alone."""
    message: str = error.format_message()
    details = getattr(error.__cause__, "errors", None)
    return message if details is None else f"{message}: got {details()[0]['input']!r}"


def _fail(message: str, code: ExitCode, error: BaseException | None = None) -> int:
    """Say what failed and, from the notes of an error, what was kept all the same."""
    whole = "; ".join([message, *getattr(error, "__notes__", ())])
    line = printable(" ".join(whole.split()))
    sys.stderr.write(f"permsolve: error: {line}\n")
    return code
