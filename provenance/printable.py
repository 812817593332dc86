"""Text from outside, as it may be shown."""


def printable(text: str, limit: int = 200) -> str:
    """Text from outside, cut to ``limit`` characters, with what a terminal would obey shown escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:limit])
