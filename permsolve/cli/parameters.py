"""Parameters that several commands share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from permsolve.errors import InvalidOptionError

Source = Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, .npz or .safetensors file.", show_default=False)]
PatternText = Annotated[str, typer.Option("--pattern", help="N:M, with 1 <= N < M <= 32.")]
Tensor = Annotated[
    str | None,
    typer.Option(
        "--tensor",
        "--key",
        help="Which tensor of a .safetensors or .npz file; not needed where only one can be permuted.",
        show_default=False,
    ),
]
SaliencyName = Annotated[
    str,
    typer.Option(
        "--saliency",
        help="What a weight is worth: magnitude or squared; with --inputs wanda, ria, obd or obs, too.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        help="Moments of what the layer reads (.npy, or .npz or .safetensors by name of the weight): mean squares "
        "(features,) or second moments (features, features), with a leading axis of groups for a grouped convolution.",
        show_default=False,
    ),
]


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Solver options given as ``name=value``; what looks like a number, a truth value or a JSON object becomes one.

    Raises
    ------
    InvalidOptionError
        When one has no ``=``, or begins like an object and is none.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidOptionError(f"--option {pair!r}: write it as name=value")
        try:
            options[name.strip().replace("-", "_")] = _value(text.strip())
        except (ValueError, RecursionError) as error:
            raise InvalidOptionError(f"--option {pair!r}: not a JSON object: {error}") from error
    return options


def _value(text: str) -> Any:
    if text.startswith("{"):
        return json.loads(text, parse_constant=_refused)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _refused(constant: str) -> None:
    """NaN and infinities, which Python's reader takes: no JSON can hold them again."""
    raise ValueError(f"it has no {constant}")
