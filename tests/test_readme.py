"""The README's examples run as printed."""

import doctest
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_python_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block, in order, in one namespace, gives what it says."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 4
    if find_spec("torch") is None:
        blocks = [block for block in blocks if not re.search(r"import torch|networks\.|\bmodel\b", block)]
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README", str(README), 0)
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize().failed == 0
    assert runner.summarize().attempted > 15


def test_pictures_exist() -> None:
    """What the README shows is there."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text())
    assert pictures
    assert all((README.parent / picture).is_file() for picture in pictures)


def test_docstring_examples() -> None:
    """Examples in the docstrings of the public modules run too."""
    import permsolve.api
    import permsolve.pattern
    import permsolve.problem

    for module in (permsolve.api, permsolve.pattern, permsolve.problem):
        outcome = doctest.testmod(module)
        assert outcome.attempted > 0
        assert outcome.failed == 0
