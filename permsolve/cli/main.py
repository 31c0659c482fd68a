"""The entry point: every failure becomes one line on stderr and an exit code."""

import os
import sys
from collections.abc import Sequence

import typer

from permsolve.cli.apply import apply
from permsolve.cli.check import check
from permsolve.cli.exit_codes import EPILOG, ExitCode
from permsolve.cli.inspect import inspect
from permsolve.cli.solve import solve
from permsolve.cli.solvers import solvers
from permsolve.errors import PermsolveError, SolverUnavailableError, UnsupportedProblemError

# Typer brings its own click; the base class of its usage errors is reached through the one it exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="permsolve",
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


for command in (solve, apply, check, inspect, solvers):
    app.command(epilog=EPILOG)(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` when not given.

    Returns
    -------
    int
        The exit code (:class:`permsolve.cli.exit_codes.ExitCode`).
    """
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if not wanted:
        wanted = ["--help"]
    try:
        code = app(args=wanted, prog_name="permsolve", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        return _fail(error.format_message(), ExitCode.WRONG_INPUT)  # type: ignore[attr-defined]
    except (UnsupportedProblemError, SolverUnavailableError) as error:
        return _fail(str(error), ExitCode.SOLVER_REFUSES)
    except BrokenPipeError:
        # The reader went away (`| head`): what is buffered must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted: nothing was written", ExitCode.INTERRUPTED)
    except MemoryError:
        return _fail("out of memory: the matrix is too large for this machine", ExitCode.WRONG_INPUT)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", ExitCode.WRONG_INPUT)
    except PermsolveError as error:
        return _fail(str(error), ExitCode.WRONG_INPUT)
    return code if isinstance(code, int) else ExitCode.OK


def _fail(message: str, code: ExitCode) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"permsolve: error: {line}\n")
    return code
