"""Documents: plain JSON values with some arrays, as .json (all of it text) or .npz (arrays apart)."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError, PermsolveError
from permsolve.io.tensors_out import write_tensors
from permsolve.io.writing import atomic_write

Document = dict[str, Any]


def json_text(value: object, indent: int | None = None) -> str:
    """A value as JSON, which knows finite numbers only: others become ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.

    ``float`` reads these texts as the numbers that they stand for.
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def write_document(
    target: Path, key: str, document: Document, take_arrays: Callable[[Document], dict[str, NDArray[Any]]]
) -> None:
    """Write a document; the file appears whole or not at all, and nothing is pickled.

    Parameters
    ----------
    target : Path
        Ends in ``.json`` or ``.npz``.
    key : str
        Name of the text in a .npz.
    document : dict
        What to write.
    take_arrays : callable
        Takes out of the document what a .npz holds as arrays, and returns it by name.

    Raises
    ------
    FileFormatError
        When the name ends in neither.
    """
    if target.suffix.lower() == ".json":
        text = json_text(document, indent=1) + "\n"
        atomic_write(target, lambda stream: stream.write(text.encode()))
    elif target.suffix.lower() == ".npz":
        arrays = take_arrays(document)
        rest = np.frombuffer(json_text(document).encode(), np.uint8)
        write_tensors(target, {**arrays, key: rest})
    else:
        raise FileFormatError(f"cannot tell the format of {target.name!r}: name it .json or .npz")


def read_document(
    source: Path, key: str, put_arrays: Callable[[Document, Mapping[str, NDArray[Any]]], None]
) -> Document:
    """Read what :func:`write_document` wrote; within :func:`permsolve.io.reading.reading`.

    Parameters
    ----------
    source : Path
        The file.
    key : str
        Name of the text in a .npz.
    put_arrays : callable
        Puts the arrays of a .npz where they belong.
    """
    document: Document
    if source.suffix.lower() == ".npz":
        with source.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            document = json.loads(archive[key].tobytes())
            put_arrays(document, archive)
    else:
        document = json.loads(source.read_bytes())
    return document


@contextmanager
def understanding(document: Mapping[str, Any], kind: str, form: str, version: int) -> Iterator[None]:
    """Turn what is wrong with a document into one clear error.

    Parameters
    ----------
    document : mapping
        What is being made sense of.
    kind : str
        What it should be, for the message: ``"a report"``.
    form, version
        The format that it must say it has.

    Raises
    ------
    FileFormatError
        When something is missing, has the wrong type, or is of another format.
    """
    try:
        if document["format"] != form or document["format_version"] != version:
            raise FileFormatError(f"not {kind} of format version {version}")
        yield
    except FileFormatError:
        raise
    except KeyError as error:
        raise FileFormatError(f"not {kind}: it has no {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError, PermsolveError) as error:
        raise FileFormatError(f"not {kind}: {error}") from error
