"""Amounts as people write them: sizes, rates, spans of time, counts and shares of processors.

    size   = number [ "K" | "M" | "G" | "T" ] [ [ "i" ] "B" ]            powers of 1024
    rate   = size | number [ "k" | "M" | "G" | "T" ] "bit"               of bits powers of 1000
    span   = number ( "s" | "m" | "h" | "d" | "w" )
    count  = digit { digit }
    number = 1 to 15 digits [ "." 1 to 15 digits ]

Only in a span lower and upper case differ. What is beyond whole bytes or seconds is cut off.
"""

import re
from collections.abc import Callable

import msgspec

from builder.model.errors import RecipeError
from builder.model.numbers import LARGEST, number

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
SIZE = rf"^{_NUMBER}[KMGTkmgt]?(?:[Ii]?[Bb])?\Z"
"""A size, as a pattern for those who write settings."""
SIZE_WORDS = "bytes, or with `K`, `M`, `G` or `T` powers of 1024, such as `20G`"

# Compiled when something is read: most commands that load this read none.
_SIZE = rf"({_NUMBER})([KMGT]?)(?:i?B)?"
_BITS = rf"({_NUMBER})([KMGT]?)bit"
_SPAN = rf"({_NUMBER})([smhdw])"
_ANY_CASE = re.IGNORECASE | re.ASCII
_POWERS = ("", "K", "M", "G", "T")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount that is asked for: of what kind, and from how much to how much."""

    kind: str
    """Such as `a size`."""
    how: str = ""
    """How it is written."""
    value: Callable[[str], int | None]
    """Reads one; None for what is none."""
    shown: Callable[[int], str] = str
    least: int
    most: int | None = None

    def read(self, text: str, option: str = "", *, otherwise: str = "") -> int:
        """Read what was given, to an option; RecipeError says what else is allowed."""
        value = self.value(text)
        if value is None or value < self.least or (self.most is not None and value > self.most):
            raise _refused(option, text, f"{self.kind}{self._bounds(value)}", self.how, otherwise)
        return value

    def _bounds(self, value: int | None) -> str:
        usual = value is None or value < self.least
        if self.most is not None and not (usual and self.most == LARGEST):
            return f" from {self.shown(self.least)} to {self.shown(self.most)}"
        return f" of at least {self.shown(self.least)}" if self.least else ""


def size(least: int = 0, most: int | None = None) -> Amount:
    """Ask for a number of bytes."""
    how = "write it as `512M` or `2G`"
    return Amount(kind="a size", how=how, value=_bytes, shown=brief, least=least, most=most)


def rate(least: int, most: int) -> Amount:
    """Ask for a number of bytes a second."""
    how = "write bytes a second as `10M`, or bits as `100Mbit`"
    return Amount(kind="a rate", how=how, value=_rate, shown=brief, least=least, most=most)


def span() -> Amount:
    """Ask for a number of seconds."""
    how = "write it as `30m`, `12h`, `1d` or `2w`"
    return Amount(
        kind="a span of time", how=how, value=_seconds, shown=lambda most: f"{most}s", least=1
    )


def count(least: int, most: int = LARGEST) -> Amount:
    """Ask for a whole number."""
    return Amount(kind="a number", value=_count, least=least, most=most)


def processors(text: str, option: str = "", *, otherwise: str = "") -> float:
    """Read a share of processors, such as `1.5`."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.01 <= share <= 1 << 20:  # also false of `nan`
        raise _refused(option, text, "a number of at least 0.01", "", otherwise)
    return share


def seconds(text: str) -> float | None:
    """Read a span of time that may have no length; None for what is none."""
    found = re.fullmatch(_SPAN, text)
    return float(found[1]) * _SECONDS[found[2]] if found else None


def brief(size: int) -> str:
    """Write a size as it may be typed: 16777216 is `16M`."""
    power = 0
    while size and size % 1024 == 0 and power + 1 < len(_POWERS):
        size, power = size // 1024, power + 1
    return f"{size}{_POWERS[power]}"


def _refused(option: str, text: str, wanted: str, how: str, otherwise: str) -> RecipeError:
    given = f"{option} {text}" if option else text
    words = [how] if how else []
    words += [f"`{otherwise}`" if how else f"write a number, or `{otherwise}`"] if otherwise else []
    return RecipeError(f"`{given}` is not {wanted}", hint=", or ".join(words) or None)


def _bytes(text: str) -> int | None:
    found = re.fullmatch(_SIZE, text, _ANY_CASE)
    return int(float(found[1]) * 1024 ** _power(found)) if found else None


def _rate(text: str) -> int | None:
    found = re.fullmatch(_BITS, text, _ANY_CASE)
    return int(float(found[1]) * 1000 ** _power(found)) // 8 if found else _bytes(text)


def _power(found: re.Match[str]) -> int:
    return _POWERS.index(found[2].upper())


def _seconds(text: str) -> int | None:
    found = seconds(text)
    return None if found is None else int(found)


def _count(text: str) -> int | None:
    return number(text, 10 * LARGEST)
