"""The entry point: every failure becomes one line on stderr and an exit code."""

import errno
import sys
import warnings
from collections.abc import Sequence
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
from permsolve.cli.streams import discard_stdout, prepare_streams
from permsolve.cli.text import printable
from permsolve.errors import MissingPackageError, PermsolveError, SolverUnavailableError, UnsupportedProblemError

# Typer brings its own click; the base class of its usage errors is reached through the one it exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_TOO_LARGE = "out of memory: the matrix is too large for this machine"


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
    prepare_streams()
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if not wanted:
        wanted = ["--help"]
    try:
        with warnings.catch_warnings():
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
    if code == ExitCode.INTERRUPTED and not isinstance(code, ExitCode):
        # Ctrl-C that no command handled: typer swallows it and returns the bare number.
        return _fail("interrupted: nothing was written", ExitCode.INTERRUPTED)
    return code if isinstance(code, int) else ExitCode.OK


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
