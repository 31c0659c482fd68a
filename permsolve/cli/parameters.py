"""Parameters that several commands share."""

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
    """Solver options given as ``name=value``; values that look like numbers or truth values become them.

    Raises
    ------
    InvalidOptionError
        When one has no ``=``.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidOptionError(f"--option {pair!r}: write it as name=value")
        options[name.strip().replace("-", "_")] = _value(text.strip())
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
