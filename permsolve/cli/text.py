"""Text from files and file names, made safe for a line of output."""


def printable(text: str) -> str:
    """``text`` with control characters and undecodable bytes escaped, so that it stays on its line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
