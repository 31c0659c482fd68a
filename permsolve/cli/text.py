"""Numbers, file names and text from files, made fit for a line of output."""


def printable(text: str) -> str:
    """``text`` with control characters and undecodable bytes escaped, so that it stays on its line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def amount(value: float) -> str:
    """A saliency with the digits that tell orders of its columns apart, however small or large it is."""
    return f"{value:.8g}"
