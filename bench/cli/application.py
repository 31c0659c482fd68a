"""All commands under one name."""

import typer

from bench.cli.best_known import best_known
from bench.cli.instances import instances
from bench.cli.making import example, picture
from bench.cli.micro import micro
from bench.cli.plans import plans
from bench.cli.readme_table import readme_table
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.scoreboard import scoreboard
from bench.cli.train import train

app = typer.Typer(
    help="Compare solvers: run a plan, then make a report of its rows.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
for command in (run, report, plans, instances, scoreboard, best_known, readme_table, train, micro, example, picture):
    app.command()(command)
