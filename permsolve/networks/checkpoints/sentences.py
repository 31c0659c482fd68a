"""Folders of `sentence-transformers`: a model of `transformers`, and modules that read what it returns."""

import json
from pathlib import Path
from typing import Any

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading

MODULES = "modules.json"
# Modules of the package itself, which see the features that the ones before them return, and no weights.
_OWN = "sentence_transformers."


def module_folders(path: Path) -> list[str]:
    """Folders of the modules that ``modules.json`` names beside the model itself; none where there is no such file.

    Raises
    ------
    FileFormatError
        When the file cannot be read, or a module is code that nobody knows.
    """
    file = path / MODULES
    if not file.is_file():
        return []
    with reading(file, "a list of modules"):
        modules: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(modules, list):
            raise FileFormatError("it holds no list")
        kinds = {str(module["path"]).strip("/"): str(module["type"]) for module in modules}
    for folder, kind in kinds.items():
        if not kind.startswith(_OWN):
            raise FileFormatError(
                f"{file}: {kind} is code of its own, which may read what is permuted: permute the model in Python with "
                "permsolve.networks.permute_"
            )
        if ".." in Path(folder).parts or Path(folder).is_absolute():
            raise FileFormatError(f"{file}: the module {folder} is outside of the folder")
    return [folder for folder in kinds if folder not in ("", ".")]


def read_by_modules(path: Path) -> bool:
    """Whether the folder is one of `sentence-transformers`, whose modules read inner states of the model."""
    return (path / MODULES).is_file()
