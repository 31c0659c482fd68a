"""Which versions a result was made with."""

from importlib.metadata import PackageNotFoundError, version


def versions(*names: str) -> dict[str, str]:
    """Version of each distribution, ``not installed`` where there is none, as in a checkout that was not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
