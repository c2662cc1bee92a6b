"""Numbers in what somebody else has written: as many digits as they need, and no more."""

LARGEST = 1 << 62
"""No kernel counts to more, and no record holds it."""


def number(text: str, most: int) -> int | None:
    """Read a whole number from 0 to `most` in plain digits; None for anything else."""
    digits = text.lstrip("0") or text[:1]
    # Python takes digits of all scripts, and gives up on thousands of them.
    if not (text.isascii() and text.isdigit()) or len(digits) > len(str(most)):
        return None
    value = int(digits)
    return value if value <= most else None
